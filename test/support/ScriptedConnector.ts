/**
 * A connector whose every move a test decides, and which keeps its own account of what is open.
 */
import { Deferred, Effect, Exit } from "effect"
import * as Connector from "../../src/Resource/Connector.ts"

export interface Scripted {
  readonly key: string
  readonly id: number
  readonly died: Deferred.Deferred<void>
}

export interface Script {
  /** What happens in a dial, before the connection is there. */
  open: (key: string, attempt: number) => Effect.Effect<void, ScriptedFailure>
  check: (connection: Scripted) => Effect.Effect<void, ScriptedFailure>
  /** What happens while a connection closes. */
  close: (connection: Scripted) => Effect.Effect<void>
}

export class ScriptedFailure extends Error {
  readonly code: string
  constructor(code: string) {
    super(`scripted ${code}`)
    this.code = code
  }
}

export interface Ledger {
  attempts: number
  opened: number
  closed: number
  /** Open and not yet closed, by key. */
  readonly open: Map<string, number>
  dialling: number
  peakDialling: number
  /** Most connections that were dialled or open at once: of one key, and of all. */
  peakPerKey: number
  peakTotal: number
  readonly live: Set<Scripted>
}

const sum = (counts: Iterable<number>) => [...counts].reduce((total, count) => total + count, 0)

export const make = (script: Partial<Script> = {}) => {
  const steps: Script = { open: () => Effect.void, check: () => Effect.void, close: () => Effect.void, ...script }
  const ledger: Ledger = {
    attempts: 0,
    opened: 0,
    closed: 0,
    open: new Map(),
    dialling: 0,
    peakDialling: 0,
    peakPerKey: 0,
    peakTotal: 0,
    live: new Set()
  }
  const change = (key: string, by: number) => {
    ledger.open.set(key, (ledger.open.get(key) ?? 0) + by)
    ledger.peakPerKey = Math.max(ledger.peakPerKey, ledger.open.get(key) ?? 0)
    ledger.peakTotal = Math.max(ledger.peakTotal, sum(ledger.open.values()))
  }
  const connector = Connector.make({
    open: (key: string) =>
      Effect.gen(function*() {
        const attempt = ++ledger.attempts
        // A socket exists from the first step of its dial, so it is acquired before anything can go wrong.
        yield* Effect.acquireRelease(
          Effect.sync(() => change(key, 1)),
          () => Effect.sync(() => change(key, -1))
        )
        ledger.dialling++
        ledger.peakDialling = Math.max(ledger.peakDialling, ledger.dialling)
        yield* Effect.ensuring(steps.open(key, attempt), Effect.sync(() => ledger.dialling--))
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
      }),
    check: (connection: Scripted) => Effect.suspend(() => steps.check(connection)),
    closed: (connection: Scripted) => Deferred.await(connection.died)
  })
  const kill = (connection: Scripted) => Effect.sync(() => void Deferred.doneUnsafe(connection.died, Exit.void))
  return { connector, ledger, steps, kill, openNow: () => sum(ledger.open.values()) }
}
