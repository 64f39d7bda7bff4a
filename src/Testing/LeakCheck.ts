/**
 * Fails a test, or a program, that leaves a connection or a lease open, and names the line that asked for it.
 *
 * **When to use**
 *
 * Use around a test, or around all tests of a project, so that whoever forgets to close something learns it at once and from
 * the test that did it.
 *
 * **Details**
 *
 * What is checked is what this library opens: connections of `TcpConnection` and `JsonRpcClient`, connections that a pool
 * opens, and leases. It is known by the context in which it was asked for and not by counting what the process has, so two
 * tests at once do not see each other's. Nothing of the runtime counts: not the descriptors that a first child process or a
 * first watched file leave behind, and not the sockets that `fetch` keeps for the next request. {@link Options.descriptors}
 * compares what the process has as well.
 *
 * **Example** (A connection that nobody closes)
 *
 * ```ts
 * import { Effect, Scope } from "effect"
 * import * as ConnectionPool from "effect-sluice/ConnectionPool"
 * import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
 * import { LeakCheck, ScriptedConnector } from "effect-sluice/Testing"
 *
 * const { connector } = ScriptedConnector.make()
 *
 * const program = Effect.gen(function*() {
 *   const pool = yield* ConnectionPool.make({ connector, drainTimeout: "50 millis" })
 *   // This scope is never closed, so the lease never ends.
 *   yield* Effect.provideService(ConnectionPool.get(pool, "db"), Scope.Scope, Scope.makeUnsafe())
 * }).pipe(LeakCheck.check({ within: "100 millis" }), Effect.provide(ResourceMonitor.layer))
 *
 * const error = await Effect.runPromise(Effect.flip(program))
 * error._tag // => "LeakError"
 * ```
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { dual } from "effect/Function"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { checkOptions } from "../internal/Options.ts"
import { expectWitness, Witness } from "../internal/Witness.ts"
import type { LeftOpen } from "../Monitor/Leak.ts"
import { ResourceMonitor } from "../Monitor/Service.ts"
import * as Descriptors from "./internal/DescriptorDiff.ts"
import { OpenResources } from "./internal/OpenResources.ts"

/**
 * What is checked, and how patiently.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /**
   * How long to wait for what is still closing when the effect has ended, in real time whatever the clock of the test; 0 or
   * more. A test that leaves nothing open does not wait. @default 3 seconds
   */
  readonly within?: Duration.Input | undefined
  /**
   * Also compare what descriptors the process has before and after: sockets, also those that are unref'd, files and pipes,
   * whoever opened them. It is for the whole process, so use it only where nothing else runs at the same time: in a program,
   * around a whole test file, or where tests run one after another. @default false
   */
  readonly descriptors?: boolean | undefined
}

/** One line for all that are alike, with the age of the first, which is the oldest. */
const grouped = (leaks: ReadonlyArray<LeftOpen>): ReadonlyArray<string> => {
  const groups = new Map<string, Array<LeftOpen>>()
  for (const leak of leaks) {
    const alike = [leak.kind, leak.label, leak.site, leak.span].join("\n")
    groups.set(alike, [...groups.get(alike) ?? [], leak])
  }
  return Array.from(
    groups.values(),
    ([first, ...others]) =>
      `  ${first?.message ?? ""}${others.length === 0 ? "" : `, and ${others.length} more like it`}`
  )
}

/**
 * Something was left open. Its message has a line for each, or for all of a kind from one place.
 *
 * @category errors
 * @since 0.1.0
 */
export class LeakError extends Data.TaggedError("LeakError")<{
  readonly leaks: ReadonlyArray<LeftOpen>
}> {
  readonly isRetryable = false
  override get message(): string {
    return [`${this.leaks.length} left open`, ...grouped(this.leaks)].join("\n")
  }
}

interface Settings {
  readonly within: number
  readonly descriptors: boolean
}

const settingsOf = (options: Options): Settings => ({
  within: Duration.toMillis(checkOptions("LeakCheck").duration("within", options.within ?? "3 seconds", { min: 0 })),
  descriptors: options.descriptors === true
})

/** What one check knows: what was opened in its context, and, if asked for, what the process had before. */
interface Check {
  readonly resources: OpenResources
  readonly process: Descriptors.Comparison | undefined
  readonly settings: Settings
}

const begin = (settings: Settings): Effect.Effect<Check> =>
  Effect.clockWith((clock) =>
    Effect.sync(() => {
      expectWitness()
      return {
        resources: new OpenResources(clock),
        process: settings.descriptors ? Descriptors.compare() : undefined,
        settings
      }
    })
  )

/** Waits for what is still closing, and returns what is left open then. Reported to the monitor, if there is one. */
const verdict = ({ resources, process, settings }: Check): Effect.Effect<void, LeakError> =>
  Effect.gen(function*() {
    yield* resources.settle(settings.within)
    const foreign = process === undefined ? [] : yield* process.settle(settings.within)
    const leaks = [...resources.leftOpen(), ...foreign]
    if (leaks.length === 0) return
    const context = yield* Effect.context<never>()
    const monitor = Context.getOrUndefined(context, ResourceMonitor)
    if (monitor !== undefined) yield* Effect.forEach(leaks, (leak) => monitor.reportLeak(leak), { discard: true })
    return yield* new LeakError({ leaks })
  })

/** Runs an effect in a fiber of its own, so that what it has forked has ended with it before anything is judged. */
const apart = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.flatMap(
    Effect.forkChild(self, { startImmediately: true }),
    (fiber) => Effect.onInterrupt(Fiber.join(fiber), () => Fiber.interrupt(fiber))
  )

const checkWith = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  settings: Settings
): Effect.Effect<A, E | LeakError, Exclude<R, Scope.Scope>> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      const begun = yield* begin(settings)
      const exit = yield* Effect.exit(
        restore(apart(Effect.provideService(Effect.scoped(self), Witness, begun.resources)))
      )
      const judged = yield* Effect.exit(verdict(begun))
      if (Exit.isSuccess(judged)) return yield* exit
      // What the effect failed with comes first: it may be why something was left open.
      return yield* Effect.failCause(Exit.isSuccess(exit) ? judged.cause : Cause.combine(exit.cause, judged.cause))
    })
  )

/**
 * Runs an effect and fails with {@link LeakError} when it has left something open. Both failures are kept if it fails itself.
 *
 * **Details**
 *
 * - The effect gets a scope and a fiber of its own. The scope is closed, and the fibers that it has forked are interrupted,
 *   before anything is judged.
 * - What it opens in a pool belongs to whoever made the pool, and what it borrows belongs to the effect: a test that shares
 *   a pool with others is not blamed for the pool's idle connections.
 * - A check inside a check has a record of its own.
 * - It throws `InvalidOption` when `within` makes no sense.
 *
 * **Gotchas**
 *
 * The check follows the context. A fiber that is started with `Effect.runFork` has none of it; use `Effect.runForkWith`.
 *
 * **Example** (A program that closes what it opens)
 *
 * ```ts
 * import { Effect } from "effect"
 * import * as ConnectionPool from "effect-sluice/ConnectionPool"
 * import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
 * import { LeakCheck, ScriptedConnector } from "effect-sluice/Testing"
 *
 * const { connector } = ScriptedConnector.make()
 *
 * const program = Effect.gen(function*() {
 *   const pool = yield* ConnectionPool.make({ connector })
 *   return yield* ConnectionPool.use(pool, "db", (connection) => Effect.succeed(connection.id))
 * }).pipe(LeakCheck.check(), Effect.provide(ResourceMonitor.layer))
 *
 * await Effect.runPromise(program) // => 1
 * ```
 *
 * @see {@link test} for a test function
 * @category combinators
 * @since 0.1.0
 */
export const check: {
  (options?: Options): <A, E, R>(
    self: Effect.Effect<A, E, R>
  ) => Effect.Effect<A, E | LeakError, Exclude<R, Scope.Scope>>
  <A, E, R>(self: Effect.Effect<A, E, R>, options?: Options): Effect.Effect<
    A,
    E | LeakError,
    Exclude<R, Scope.Scope>
  >
} = dual(
  (args) => Effect.isEffect(args[0]),
  <A, E, R>(
    self: Effect.Effect<A, E, R>,
    options: Options = {}
  ): Effect.Effect<A, E | LeakError, Exclude<R, Scope.Scope>> => checkWith(self, settingsOf(options))
)

/**
 * Wraps a test function, so that its effect is run by {@link check}: `it.effect("name", LeakCheck.test(() => effect))`.
 *
 * **Example** (A test function)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { LeakCheck } from "effect-sluice/Testing"
 *
 * const checked = LeakCheck.test((name: string) => Effect.succeed(`hello ${name}`))
 *
 * await Effect.runPromise(checked("test")) // => "hello test"
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const test = <Args extends ReadonlyArray<unknown>, A, E, R>(
  f: (...args: Args) => Effect.Effect<A, E, R>,
  options: Options = {}
): (...args: Args) => Effect.Effect<A, E | LeakError, Exclude<R, Scope.Scope>> => {
  const settings = settingsOf(options)
  return (...args) => checkWith(Effect.suspend(() => f(...args)), settings)
}

/**
 * A layer that checks what is opened wherever it is provided, layers that are built on it included, and whose end dies with
 * {@link LeakError} when something was left open.
 *
 * **When to use**
 *
 * Use to check a layer: `Databases.layer.pipe(Layer.provideMerge(LeakCheck.layer()))`. It ends after what is built on it.
 *
 * **Example** (A layer that closes what it opens)
 *
 * ```ts
 * import { Effect, Layer } from "effect"
 * import * as ConnectionPool from "effect-sluice/ConnectionPool"
 * import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
 * import { LeakCheck, ScriptedConnector } from "effect-sluice/Testing"
 *
 * const { connector } = ScriptedConnector.make()
 * class Databases extends ConnectionPool.Service<Databases>()("app/Databases", { connector }) {}
 *
 * const checked = Databases.layer.pipe(
 *   Layer.provideMerge(ResourceMonitor.layer),
 *   Layer.provideMerge(LeakCheck.layer())
 * )
 *
 * const program = Databases.withConnection("orders", (connection) => Effect.succeed(connection.key))
 * await Effect.runPromise(Effect.provide(program, checked)) // => "orders"
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options = {}): Layer.Layer<never> => {
  const settings = settingsOf(options)
  return Layer.effectContext(Effect.map(
    Effect.acquireRelease(begin(settings), (begun) => Effect.orDie(verdict(begun))),
    ({ resources }) => Context.makeUnsafe<never>(new Map([[Witness.key, resources]]))
  ))
}

/**
 * Runs an effect that no check looks at: what it leaves open is left open on purpose.
 *
 * @category combinators
 * @since 0.1.0
 */
export const ignore = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.provideService(self, Witness, undefined)

/**
 * What is open at this moment, of all that was opened in the check around this effect. Empty where there is no check.
 *
 * @category getters
 * @since 0.1.0
 */
export const open: Effect.Effect<ReadonlyArray<LeftOpen>> = Effect.map(
  Witness,
  (witness) => witness instanceof OpenResources ? witness.leftOpen() : []
)
