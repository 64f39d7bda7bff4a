/**
 * Fails a test, or a program, that leaves a connection or a lease open, and names the line that opened it.
 *
 * **When to use**
 *
 * Use around a test, or around all tests of a project, so that a leak fails at once and in the test that caused it.
 *
 * **Details**
 *
 * It checks connections and leases of this library: those of `TcpConnection`, `JsonRpcClient` and pools. These are tracked
 * through the context of the effect that opens them, so concurrent tests do not affect each other. Descriptors of the runtime
 * do not count, such as those that the first child process or the first watched file leaves open, and the sockets that `fetch`
 * keeps alive. With {@link Options.descriptors}, the descriptors of the process are compared too.
 *
 * **Example** (A connection that is never closed)
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
 * @stability stable
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { dual } from "effect/Function"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { expectTracker, OpenTracker } from "../internal/OpenTracker.ts"
import { checkOptions } from "../internal/Options.ts"
import type { LeftOpen, Lost } from "../Monitor/Leak.ts"
import { ResourceMonitor } from "../Monitor/Service.ts"
import * as Descriptors from "./internal/DescriptorDiff.ts"
import { OpenResources } from "./internal/OpenResources.ts"

/**
 * The options of a check.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export interface Options {
  /**
   * How long to wait, after the effect has ended, until everything is closed; 0 or more. This is real time, not that of a
   * `TestClock`. A test that leaves nothing open does not wait. @default 3 seconds
   */
  readonly within?: Duration.Input | undefined
  /**
   * Also compare the descriptors of the process before and after: sockets, files and pipes of any code. This covers the whole
   * process, so use it only if nothing else runs at the same time: in a program, around a whole test file, or if tests run one
   * after another. @default false
   */
  readonly descriptors?: boolean | undefined
}

/** One line for equal leaks, with the age of the first one, which is the oldest. */
const grouped = (leaks: ReadonlyArray<LeftOpen | Lost>): ReadonlyArray<string> => {
  const groups = new Map<string, Array<LeftOpen | Lost>>()
  for (const leak of leaks) {
    const alike = [leak._tag, leak.kind, leak.label, leak.site, leak.span].join("\n")
    groups.set(alike, [...groups.get(alike) ?? [], leak])
  }
  return Array.from(
    groups.values(),
    ([first, ...others]) =>
      `  ${first?.message ?? ""}${others.length === 0 ? "" : `, and ${others.length} more like it`}`
  )
}

/**
 * Something was left open, or was lost: the garbage collector has reclaimed the scope or the fiber that should have closed it, and the
 * pool has closed it then. The message has a line for each leak, or one for several equal leaks from the same call site.
 *
 * @category errors
 * @since 0.1.0
 * @stability stable
 */
export class LeakError extends Data.TaggedError("LeakError")<{
  readonly leaks: ReadonlyArray<LeftOpen | Lost>
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
  within: checkOptions("LeakCheck").millis("within", options.within ?? "3 seconds", { min: 0 }),
  descriptors: options.descriptors === true
})

/** One check: the resources of its context and, with `descriptors`, the descriptors of the process at its beginning. */
interface Check {
  readonly resources: OpenResources
  readonly process: Descriptors.Comparison | undefined
  readonly settings: Settings
}

/** The monitor opens the last of its files with its first sample, which would otherwise be due during the check. */
const openFilesOfMonitor: Effect.Effect<void> = Effect.contextWith((context: Context.Context<never>) => {
  const monitor = Context.getOrUndefined(context, ResourceMonitor)
  return monitor === undefined ? Effect.void : Effect.asVoid(monitor.figures)
})

const begin = (settings: Settings): Effect.Effect<Check> =>
  Effect.gen(function*() {
    const clock = yield* Clock.Clock
    if (settings.descriptors) yield* openFilesOfMonitor
    expectTracker()
    return {
      resources: new OpenResources(clock),
      process: settings.descriptors ? Descriptors.compare() : undefined,
      settings
    }
  })

/**
 * Waits until everything is closed. Fails if something is still open then, and reports it to the monitor if there is one. What was
 * lost fails the check too: whether the garbage collector runs before the end of a check is chance. A pool reports its lost leases itself.
 */
const verdict = ({ resources, process, settings }: Check): Effect.Effect<void, LeakError> =>
  Effect.gen(function*() {
    yield* resources.settle(settings.within)
    const foreign = process === undefined ? [] : yield* process.settle(settings.within)
    const leftOpen = [...resources.leftOpen(), ...foreign]
    const leaks = [...resources.lost(), ...leftOpen]
    if (leaks.length === 0) return
    const context = yield* Effect.context<never>()
    const monitor = Context.getOrUndefined(context, ResourceMonitor)
    if (monitor !== undefined) yield* Effect.forEach(leftOpen, (leak) => monitor.reportLeak(leak), { discard: true })
    return yield* new LeakError({ leaks })
  })

/** Runs an effect in a new fiber, so that its child fibers have ended before the check. */
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
        restore(apart(Effect.provideService(Effect.scoped(self), OpenTracker, begun.resources)))
      )
      const judged = yield* Effect.exit(verdict(begun))
      if (Exit.isSuccess(judged)) return yield* exit
      // The failure of the effect comes first: it may be the cause of the leak.
      return yield* Effect.failCause(Exit.isSuccess(exit) ? judged.cause : Cause.combine(exit.cause, judged.cause))
    })
  )

/**
 * Runs an effect and fails with {@link LeakError} when it has left something open. If the effect fails as well, both failures
 * are kept.
 *
 * **Details**
 *
 * - The effect gets a new scope and a new fiber. The scope is closed, and the child fibers are interrupted, before the check.
 * - A connection that a pool opens belongs to the check in which the pool was made, and a lease to the check of its borrower: a test that
 *   shares a pool with others does not fail for the pool's idle connections.
 * - A check inside a check is separate: each reports only its own leaks.
 * - It throws `InvalidOption` when `within` is invalid.
 *
 * **Gotchas**
 *
 * The check is a part of the context. A fiber of `Effect.runFork` has no context, so use `Effect.runForkWith`.
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
 * @stability stable
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
 * @stability stable
 */
export const test = <Args extends ReadonlyArray<unknown>, A, E, R>(
  f: (...args: Args) => Effect.Effect<A, E, R>,
  options: Options = {}
): (...args: Args) => Effect.Effect<A, E | LeakError, Exclude<R, Scope.Scope>> => {
  const settings = settingsOf(options)
  return (...args) => checkWith(Effect.suspend(() => f(...args)), settings)
}

/**
 * A layer that checks everything to which it is provided, including the layers that are built on it. Its finalizer dies
 * with {@link LeakError} when something was left open.
 *
 * **When to use**
 *
 * Use to check a layer: `Databases.layer.pipe(Layer.provideMerge(LeakCheck.layer()))`. The check ends after the layers that are
 * built on it.
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
 * @stability stable
 */
export const layer = (options: Options = {}): Layer.Layer<never> => {
  const settings = settingsOf(options)
  return Layer.effectContext(Effect.map(
    Effect.acquireRelease(begin(settings), (begun) => Effect.orDie(verdict(begun))),
    ({ resources }) => Context.makeUnsafe<never>(new Map([[OpenTracker.key, resources]]))
  ))
}

/**
 * Runs an effect outside of any check, for a resource that is left open on purpose.
 *
 * @category combinators
 * @since 0.1.0
 * @stability stable
 */
export const ignore = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.provideService(self, OpenTracker, undefined)

/**
 * The resources that were opened in the check around this effect and are open now. Empty without a check.
 *
 * @category getters
 * @since 0.1.0
 * @stability stable
 */
export const open: Effect.Effect<ReadonlyArray<LeftOpen>> = Effect.map(
  OpenTracker,
  (tracker) => tracker instanceof OpenResources ? tracker.leftOpen() : []
)
