/**
 * The counts, durations and health of a pool, as metrics and as streams.
 *
 * @since 0.1.0
 */
import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import * as Metric from "effect/Metric"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { checkOptions } from "../internal/Options.ts"
import { sleepUnref } from "../internal/Timer.ts"
import { stats } from "./ConnectionPool.ts"
import { type ConnectionPool, isPool } from "./internal/MakePool.ts"
import { TypeId } from "./PoolRegistry.ts"
import type { Health, Stats } from "./PoolStats.ts"

/**
 * The options of {@link record}.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** The attribute `db.client.connection.pool.name`: tells the pools of a program apart. @default the `name` of the pool */
  readonly name?: string | undefined
  /** How often the counts are read; above 0. Durations and timeouts are recorded as they happen. @default 5 seconds */
  readonly interval?: Duration.Input | undefined
}

// From a tenth of a millisecond to about a minute, in seconds.
const boundaries = Metric.exponentialBoundaries({ start: 0.0001, factor: 2, count: 20 })

const metricsOf = (name: string) => {
  const attributes = { "db.client.connection.pool.name": name }
  const gauge = (id: string, description: string, extra: Record<string, string> = {}) =>
    Metric.gauge(`db.client.connection.${id}`, { description, attributes: { ...attributes, ...extra } })
  // Effect's exporters take the unit from this attribute, and export it as such.
  const seconds = (id: string, description: string) =>
    Metric.histogram(`db.client.connection.${id}`, {
      description,
      attributes: { ...attributes, unit: "s" },
      boundaries
    })
  const leftBehind = (operation: string) =>
    Metric.counter("sluice.pool.left_behind", {
      description: "Connects and closes that did not end when they were given up",
      attributes: { ...attributes, "sluice.pool.operation": operation },
      incremental: true
    })
  const state = "db.client.connection.state"
  return {
    idle: gauge("count", "Connections in this state", { [state]: "idle" }),
    used: gauge("count", "Connections in this state", { [state]: "used" }),
    idleMin: gauge("idle.min", "Idle connections that are kept for each endpoint"),
    idleMax: gauge("idle.max", "Most idle connections"),
    max: gauge("max", "Most connections"),
    pending: gauge("pending_requests", "Borrowers that wait"),
    timedOut: Metric.counter("db.client.connection.timeouts", {
      description: "Borrows that ran out of time",
      attributes,
      incremental: true
    }),
    leftBehind: { connect: leftBehind("connect"), close: leftBehind("close") },
    createTime: seconds("create_time", "Time to open a connection, in seconds"),
    waitTime: seconds("wait_time", "Time that a borrower waited, in seconds"),
    useTime: seconds("use_time", "Time that a connection was leased, in seconds")
  }
}

/**
 * Records a pool in Effect's metrics until the scope ends, under the names and units of OpenTelemetry's conventions for
 * database client connections: `db.client.connection.count` (by `db.client.connection.state`), `.idle.min`, `.idle.max`,
 * `.max`, `.pending_requests`, `.timeouts`, `.create_time`, `.wait_time` and `.use_time`, the times in seconds. In addition,
 * `sluice.pool.left_behind` counts connects and closes that were left behind, by `sluice.pool.operation`: `connect` or `close`.
 *
 * **Details**
 *
 * `wait_time` has only the borrows that had to wait. A pool that is not recorded has no overhead. It throws `InvalidOption` on an
 * invalid `interval`.
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
 */
export const record: {
  <K, A>(pool: ConnectionPool<K, A>, options?: Options): Effect.Effect<void, never, Scope.Scope>
  (options?: Options): <K, A>(pool: ConnectionPool<K, A>) => Effect.Effect<void, never, Scope.Scope>
} = /*#__PURE__*/ dual((args) => isPool(args[0]), <K, A>(pool: ConnectionPool<K, A>, options: Options = {}) => {
  const metrics = metricsOf(options.name ?? pool[TypeId].name)
  const interval = intervalOf(options.interval)
  const { core } = pool[TypeId]
  const write = ({ active, idle, maxTotal, minPerEndpoint, waiting }: Gauged) =>
    Effect.contextWith((context: Context.Context<never>) =>
      Effect.sync(() => {
        metrics.idle.updateUnsafe(idle, context)
        metrics.used.updateUnsafe(active, context)
        metrics.idleMin.updateUnsafe(minPerEndpoint, context)
        metrics.idleMax.updateUnsafe(maxTotal, context)
        metrics.max.updateUnsafe(maxTotal, context)
        metrics.pending.updateUnsafe(waiting, context)
      })
    )
  const readCounts = Effect.suspend(() => write(core.stats()))
  return Effect.gen(function*() {
    const context = yield* Effect.context<never>()
    yield* Effect.acquireRelease(
      Effect.sync(() =>
        core.observers.add({
          opened: (millis) => metrics.createTime.updateUnsafe(millis / 1000, context),
          waited: (millis) => metrics.waitTime.updateUnsafe(millis / 1000, context),
          used: (millis) => metrics.useTime.updateUnsafe(millis / 1000, context),
          timedOut: () => metrics.timedOut.updateUnsafe(1, context),
          leftBehind: (what) => metrics.leftBehind[what].updateUnsafe(1, context)
        })
      ),
      (stop) => Effect.sync(stop)
    )
    // The gauges are set to 0 at the end, because they would otherwise keep their last values.
    yield* Effect.addFinalizer(() => write(noCounts))
    yield* readCounts.pipe(
      Effect.andThen(sleepUnref(interval)),
      Effect.forever,
      Effect.forkScoped({ startImmediately: true })
    )
  })
})

/** The values of the gauges. */
type Gauged = Pick<Stats, "active" | "idle" | "maxTotal" | "minPerEndpoint" | "waiting">

const noCounts: Gauged = { active: 0, idle: 0, maxTotal: 0, minPerEndpoint: 0, waiting: 0 }

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
