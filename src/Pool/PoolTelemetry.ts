/**
 * The counts, durations and health of a pool, as metrics and as streams.
 *
 * @since 0.1.0
 * @stability stable
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { checkOptions } from "../internal/Options.ts"
import { scopedValue } from "../internal/ScopeHooks.ts"
import { sleepUnref } from "../internal/Timer.ts"
import { stats } from "./ConnectionPool.ts"
import { type ConnectionPool, isPool } from "./internal/MakePool.ts"
import { recordPool } from "./PoolRecorder.ts"
import { TypeId } from "./PoolRegistry.ts"
import type { Health, Stats } from "./PoolStats.ts"

/**
 * The options of {@link record}.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export interface Options {
  /** The attribute `db.client.connection.pool.name`: tells the pools of a program apart. @default the `name` of the pool */
  readonly name?: string | undefined
  /** How often the counts are read; above 0. Durations and timeouts are recorded as they happen. @default 5 seconds */
  readonly interval?: Duration.Input | undefined
}

/**
 * Records a pool in Effect's metrics until the scope ends, under the names and units of OpenTelemetry's conventions for database client
 * connections, and under names of this library where there is no convention. `docs/reference/operations/metrics.md` lists all of them.
 *
 * **When to use**
 *
 * Use to record one pool. `Operations.layer` records all pools of a program. Both can record a pool under the same name: nothing is
 * counted twice.
 *
 * **Details**
 *
 * Durations, failed attempts and refusals are recorded as they happen. The other counts are read in each interval and at the end of the
 * pool. The series are removed when the scope ends. A pool that is not recorded has no overhead. It throws `InvalidOption` on an invalid
 * `interval`.
 *
 * **Example** (Counting the uses of a connection)
 *
 * ```ts
 * import { Effect, Metric } from "effect"
 * import * as ConnectionPool from "effect-sluice/ConnectionPool"
 * import * as Connector from "effect-sluice/Connector"
 * import * as PoolTelemetry from "effect-sluice/PoolTelemetry"
 * import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
 *
 * const connector = Connector.make({ open: (name: string) => Effect.succeed({ name }) })
 *
 * const program = Effect.gen(function*() {
 *   const pool = yield* ConnectionPool.make({ connector })
 *   yield* PoolTelemetry.record(pool, { name: "orders" })
 *   yield* ConnectionPool.use(pool, "db", () => Effect.void)
 *   const metrics = yield* Metric.snapshot
 *   const used = metrics.find((metric) => metric.id === "db.client.connection.use_time")
 *   return used?.type === "Histogram" ? used.state.count : undefined
 * }).pipe(
 *   Effect.scoped,
 *   Effect.provide(ResourceMonitor.layer),
 *   Effect.provideService(Metric.MetricRegistry, new Map())
 * )
 *
 * await Effect.runPromise(program) // => 1
 * ```
 *
 * @see {@link changes} for the counts as a stream
 * @category metrics
 * @since 0.1.0
 * @stability stable
 */
export const record: {
  <K, A>(pool: ConnectionPool<K, A>, options?: Options): Effect.Effect<void, never, Scope.Scope>
  (options?: Options): <K, A>(pool: ConnectionPool<K, A>) => Effect.Effect<void, never, Scope.Scope>
} = /*#__PURE__*/ dual((args) => isPool(args[0]), <K, A>(pool: ConnectionPool<K, A>, options: Options = {}) => {
  const name = options.name ?? pool[TypeId].name
  const interval = intervalOf(options.interval)
  return Effect.gen(function*() {
    const context = yield* Effect.context<never>()
    const recorder = yield* scopedValue(
      () => recordPool(pool[TypeId].registered, name, context),
      ({ end }) => end()
    )
    yield* Effect.sync(recorder.read).pipe(
      Effect.andThen(sleepUnref(interval)),
      Effect.forever,
      Effect.forkScoped({ startImmediately: true })
    )
  })
})

const intervalOf = (interval: Duration.Input | undefined): number =>
  Math.ceil(Duration.toMillis(
    checkOptions("PoolTelemetry").duration("interval", interval ?? "5 seconds", { min: 0, exclusive: true })
  ))

/**
 * The stats of a pool: the present ones, and then those after each `interval`. The stream does not end. It throws `InvalidOption`
 * on an interval that is not above 0.
 *
 * @category streams
 * @since 0.1.0
 * @stability stable
 */
export const changes: {
  <K, A>(pool: ConnectionPool<K, A>, interval?: Duration.Input): Stream.Stream<Stats>
  (interval?: Duration.Input): <K, A>(pool: ConnectionPool<K, A>) => Stream.Stream<Stats>
} = /*#__PURE__*/ dual(
  (args) => isPool(args[0]),
  <K, A>(pool: ConnectionPool<K, A>, interval: Duration.Input = "1 second"): Stream.Stream<Stats> => {
    const millis = intervalOf(interval)
    return Stream.concat(
      Stream.fromEffect(stats(pool)),
      Stream.fromEffectRepeat(Effect.andThen(sleepUnref(millis), stats(pool)))
    )
  }
)

/**
 * The health of an endpoint: the present one, and then each change. The stream does not end. A slow consumer may miss changes, but
 * never the last one.
 *
 * **Example** (Waiting until an endpoint is back)
 *
 * ```ts
 * import { Effect, Stream } from "effect"
 * import * as ConnectionPool from "effect-sluice/ConnectionPool"
 * import * as Connector from "effect-sluice/Connector"
 * import * as PoolTelemetry from "effect-sluice/PoolTelemetry"
 * import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
 *
 * const program = Effect.gen(function*() {
 *   const pool = yield* ConnectionPool.make({
 *     connector: Connector.make({ open: (name: string) => Effect.succeed({ name }) })
 *   })
 *   const healthy = Stream.filter(PoolTelemetry.health(pool, "db"), (health) => health === "Healthy")
 *   return yield* Stream.runCollect(Stream.take(healthy, 1))
 * }).pipe(Effect.scoped, Effect.provide(ResourceMonitor.layer))
 *
 * await Effect.runPromise(program) // => ["Healthy"]
 * ```
 *
 * @category streams
 * @since 0.1.0
 * @stability stable
 */
export const health: {
  <K>(key: K): <A>(pool: ConnectionPool<K, A>) => Stream.Stream<Health>
  <K, A>(pool: ConnectionPool<K, A>, key: K): Stream.Stream<Health>
} = /*#__PURE__*/ dual(2, <K, A>(pool: ConnectionPool<K, A>, key: K): Stream.Stream<Health> => {
  const { core } = pool[TypeId]
  const watched = Stream.callback<Health>((queue) =>
    Effect.acquireRelease(
      Effect.sync(() => {
        const tell = () => Queue.offerUnsafe(queue, core.health(key))
        tell()
        return core.observers.add({ judged: tell })
      }),
      (stop) => Effect.sync(stop)
    ), { bufferSize: 16, strategy: "sliding" })
  return Stream.changes(watched)
})
