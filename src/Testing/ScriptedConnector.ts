/**
 * A connector that follows a script of the test, and counts what is open.
 *
 * **When to use**
 *
 * Use in a test of how a program uses its connections, if a real socket would only make the test slow.
 *
 * **Example** (A server that refuses the first dial)
 *
 * ```ts
 * import { Effect } from "effect"
 * import * as ConnectionPool from "effect-sluice/ConnectionPool"
 * import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
 * import { ScriptedConnector } from "effect-sluice/Testing"
 *
 * const { connector, ledger } = ScriptedConnector.make({
 *   open: (_key, attempt) =>
 *     attempt === 1 ? Effect.fail(new ScriptedConnector.ScriptedFailure("ECONNREFUSED")) : Effect.void
 * })
 *
 * const program = Effect.gen(function*() {
 *   const pool = yield* ConnectionPool.make({ connector })
 *   return yield* ConnectionPool.use(pool, "db", (connection) => Effect.succeed(connection.id))
 * }).pipe(Effect.scoped, Effect.provide(ResourceMonitor.layer))
 *
 * const id = await Effect.runPromise(program)
 * const seen = [id, ledger.attempts, ledger.opened, ledger.closed]
 * seen // => [1, 2, 1, 1]
 * ```
 *
 * @since 0.1.0
 * @stability stable
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { safeMessage } from "../internal/SafeText.ts"
import { TaggedError } from "../internal/TaggedError.ts"
import * as Connector from "../Resource/Connector.ts"

/**
 * A connection of a scripted connector.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export interface Scripted {
  readonly key: string
  /** Counts the connections of its connector from 1. */
  readonly id: number
  /** Completes when the connection dies; {@link ScriptedConnector.kill} completes it. */
  readonly died: Deferred.Deferred<void>
}

/**
 * The steps of a script. A step that is left out succeeds at once. Steps may be replaced while connections are open.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export interface Script {
  /** Runs in a dial, before the connection exists. `attempt` counts all dials from 1. */
  open: (key: string, attempt: number) => Effect.Effect<void, ScriptedFailure>
  /** Runs as the check of an idle connection. */
  check: (connection: Scripted) => Effect.Effect<void, ScriptedFailure>
  /** Runs while a connection closes. */
  close: (connection: Scripted) => Effect.Effect<void>
}

/**
 * The failure of a step, with a code like those of Node's errors: `ECONNREFUSED` is retried, `EACCES` is not.
 *
 * @category errors
 * @since 0.1.0
 * @stability stable
 */
export class ScriptedFailure extends TaggedError("ScriptedFailure")<{ readonly code: string }> {
  constructor(code: string) {
    super({ code })
  }
  override get message(): string {
    return safeMessage(`scripted ${this.code}`)
  }
}

/**
 * The counts of a connector. Connections that are being dialed count as open, because a socket exists from the first step of
 * its dial.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export interface Ledger {
  attempts: number
  opened: number
  closed: number
  /** Open and not yet closed, by key. */
  readonly open: Map<string, number>
  dialling: number
  peakDialling: number
  /** The most connections that were being dialed or open at once: of one key, and of all. */
  peakPerKey: number
  peakTotal: number
  /** The connections that are open and not yet closing. */
  readonly live: Set<Scripted>
}

/**
 * A connector, with its script and its counts.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export interface ScriptedConnector {
  readonly connector: Connector.Connector<string, Scripted, ScriptedFailure>
  readonly ledger: Ledger
  /** The steps, which the test may replace. */
  readonly steps: Script
  /** Makes a connection die, as if its peer had closed it. */
  readonly kill: (connection: Scripted) => Effect.Effect<void>
  /** Connections that are being dialed or open. */
  readonly openNow: () => number
}

const sum = (counts: Iterable<number>): number => [...counts].reduce((total, count) => total + count, 0)

const emptyLedger = (): Ledger => ({
  attempts: 0,
  opened: 0,
  closed: 0,
  open: new Map(),
  dialling: 0,
  peakDialling: 0,
  peakPerKey: 0,
  peakTotal: 0,
  live: new Set()
})

const change = (ledger: Ledger, key: string, by: number): void => {
  ledger.open.set(key, (ledger.open.get(key) ?? 0) + by)
  ledger.peakPerKey = Math.max(ledger.peakPerKey, ledger.open.get(key) ?? 0)
  ledger.peakTotal = Math.max(ledger.peakTotal, sum(ledger.open.values()))
}

const opening = (ledger: Ledger, steps: Script, key: string) =>
  Effect.gen(function*() {
    const attempt = ++ledger.attempts
    // A socket exists from the first step of its dial, so it is acquired before a step can fail.
    yield* Effect.acquireRelease(
      Effect.sync(() => change(ledger, key, 1)),
      () => Effect.sync(() => change(ledger, key, -1))
    )
    ledger.dialling++
    ledger.peakDialling = Math.max(ledger.peakDialling, ledger.dialling)
    yield* Effect.ensuring(Effect.suspend(() => steps.open(key, attempt)), Effect.sync(() => ledger.dialling--))
    return yield* Effect.acquireRelease(
      Effect.sync((): Scripted => {
        const connection = { key, id: ++ledger.opened, died: Deferred.makeUnsafe<void>() }
        ledger.live.add(connection)
        return connection
      }),
      (connection) =>
        Effect.suspend(() => {
          ledger.live.delete(connection)
          return Effect.andThen(Effect.suspend(() => steps.close(connection)), Effect.sync(() => ledger.closed++))
        })
    )
  })

/**
 * Makes a connector that follows a script.
 *
 * @category constructors
 * @since 0.1.0
 * @stability stable
 */
export const make = (script: Partial<Script> = {}): ScriptedConnector => {
  const steps: Script = { open: () => Effect.void, check: () => Effect.void, close: () => Effect.void, ...script }
  const ledger = emptyLedger()
  return {
    connector: Connector.make({
      open: (key: string) => opening(ledger, steps, key),
      check: (connection: Scripted) => Effect.suspend(() => steps.check(connection)),
      closed: (connection: Scripted) => Deferred.await(connection.died)
    }),
    ledger,
    steps,
    kill: (connection) => Effect.sync(() => void Deferred.doneUnsafe(connection.died, Exit.void)),
    openNow: () => sum(ledger.open.values())
  }
}
