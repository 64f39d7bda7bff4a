/**
 * Records pools in Effect's metrics. A pool that is recorded twice under one name is counted once.
 *
 * Counts and gauges are read by calls of `read`. Durations, failed attempts and refusals are recorded as they happen.
 *
 * @since 0.1.0
 */
import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import { errorTypeOf } from "../internal/ErrorType.ts"
import {
  type Attributes,
  type CounterSeries,
  type GaugeSeries,
  SeriesSet,
  SharedSeries,
  SharedValues
} from "../internal/MetricSeries.ts"
import type { CloseReason } from "./CloseReason.ts"
import type { PoolErrorReason } from "./PoolError.ts"
import type { InspectedEndpoint, Inspection } from "./PoolInspection.ts"
import { attribute, poolMetrics, poolName } from "./PoolMetrics.ts"
import type { RegisteredPool } from "./PoolRegistry.ts"
import type { Health, Summary } from "./PoolStats.ts"

/** The most endpoints of a pool that have series of their own. */
export const mostEndpoints = 20

/** The most types of errors of a pool that have series of their own. The others have OpenTelemetry's fallback value. */
const mostErrorTypes = 20
const otherErrors = "_OTHER"

const healths: ReadonlyArray<Health> = ["Healthy", "Degraded", "Unavailable"]

const closeReasons: ReadonlyArray<CloseReason> = [
  "idle",
  "lifetime",
  "evicted",
  "evicted_for_other",
  "died_idle",
  "died_leased",
  "unfit",
  "check_failed",
  "lease_ended",
  "drained"
]

const refusals: ReadonlyArray<PoolErrorReason["_tag"]> = [
  "AcquireTimeout",
  "QueueFull",
  "EndpointUnavailable",
  "PoolClosed",
  "PoolSuspended",
  "NestedAcquire",
  "LeaseExpired",
  "ConnectFailed"
]

/** A series for each of these values of an attribute. */
const byValue = <Value extends string, Series>(
  values: ReadonlyArray<Value>,
  make: (value: Value) => Series
): ReadonlyMap<string, Series> => new Map(values.map((value) => [value, make(value)]))

const seconds = (duration: Duration.Duration | undefined): number =>
  duration === undefined ? 0 : Duration.toSeconds(duration)

/** The totals of a pool that are counters, by the names of their series. */
const totalsOf = (stats: Summary): ReadonlyMap<string, number> =>
  new Map([
    ["timeouts", stats.timeouts],
    ["opened", stats.opened],
    ["leases", stats.borrowed],
    ["held", stats.leaksReported],
    ["lost", stats.leasesLost],
    ["expired", stats.leasesExpired],
    ["connect", stats.connectsLeftBehind],
    ["close", stats.closesLeftBehind],
    ...closeReasons.map((reason) => [reason, stats.closedBy[reason]] as const)
  ])

/** The series of the totals. */
const totalSeries = (set: SeriesSet): ReadonlyMap<string, CounterSeries> =>
  new Map([
    ["timeouts", set.counter(poolMetrics.timeouts)],
    ["opened", set.counter(poolMetrics.opened)],
    ["leases", set.counter(poolMetrics.leases)],
    ...byValue(["held", "lost", "expired"], (verdict) =>
      set.counter(poolMetrics.leaked, { [attribute.verdict]: verdict })),
    ...byValue(["connect", "close"], (operation) =>
      set.counter(poolMetrics.leftBehind, { [attribute.operation]: operation })),
    ...byValue(closeReasons, (reason) =>
      set.counter(poolMetrics.closed, { [attribute.reason]: reason }))
  ])

/** The gauges of the whole pool. */
class PoolGauges {
  readonly #idle: GaugeSeries
  readonly #used: GaugeSeries
  readonly #single: ReadonlyArray<readonly [GaugeSeries, (stats: Summary, inspection: Inspection) => number]>
  readonly #endpoints: ReadonlyMap<string, GaugeSeries>

  constructor(set: SeriesSet) {
    this.#idle = set.gauge(poolMetrics.count, { [attribute.state]: "idle" })
    this.#used = set.gauge(poolMetrics.count, { [attribute.state]: "used" })
    this.#single = [
      [set.gauge(poolMetrics.idleMin), ({ minPerEndpoint }) => minPerEndpoint],
      [set.gauge(poolMetrics.idleMax), ({ maxTotal }) => maxTotal],
      [set.gauge(poolMetrics.max), ({ maxTotal }) => maxTotal],
      [set.gauge(poolMetrics.pending), ({ waiting }) => waiting],
      [set.gauge(poolMetrics.connecting), ({ connecting }) => connecting],
      [set.gauge(poolMetrics.closing), ({ closing }) => closing],
      [set.gauge(poolMetrics.oldestWait), (_, { oldestWait }) => seconds(oldestWait)],
      [set.gauge(poolMetrics.oldestLease), (_, { oldestLease }) => seconds(oldestLease)]
    ]
    this.#endpoints = byValue(healths, (health) => set.gauge(poolMetrics.endpoints, { [attribute.health]: health }))
  }

  set(stats: Summary, inspection: Inspection): void {
    this.#idle.set(stats.idle)
    this.#used.set(stats.active)
    for (const [series, value] of this.#single) series.set(value(stats, inspection))
    for (const health of healths) this.#endpoints.get(health)?.set(inspection.endpointsByHealth[health])
  }
}

interface EndpointGauges {
  /** It was unavailable, and has not been healthy since. */
  isDown: boolean
  readonly up: GaugeSeries
  readonly used: GaugeSeries
  readonly waiting: GaugeSeries
}

const attributesOf = ({ address, label }: InspectedEndpoint): Attributes =>
  address === undefined
    ? { [attribute.endpoint]: label }
    : { [attribute.address]: address.host, [attribute.port]: String(address.port) }

/** The endpoints with the same attributes. Endpoints with one address may differ in their database or user. */
const byAddress = (
  endpoints: ReadonlyArray<InspectedEndpoint>
): ReadonlyMap<string, readonly [InspectedEndpoint, ...ReadonlyArray<InspectedEndpoint>]> => {
  const groups = new Map<string, readonly [InspectedEndpoint, ...ReadonlyArray<InspectedEndpoint>]>()
  for (const endpoint of endpoints) {
    const key = JSON.stringify(attributesOf(endpoint))
    const [first = endpoint, ...others] = groups.get(key) ?? []
    groups.set(key, first === endpoint ? [endpoint] : [first, ...others, endpoint])
  }
  return groups
}

/** The gauges of the endpoints that need attention most. Those of an endpoint that is no longer one of them are removed. */
class EndpointSeries {
  readonly #set: SeriesSet
  #present = new Map<string, EndpointGauges>()

  constructor(set: SeriesSet) {
    this.#set = set
  }

  set(endpoints: ReadonlyArray<InspectedEndpoint>): void {
    const past = this.#present
    this.#present = new Map()
    for (const [key, [first, ...others]] of byAddress(endpoints)) {
      const gauges = past.get(key) ?? this.#gaugesOf(first)
      past.delete(key)
      this.#present.set(key, gauges)
      const all = [first, ...others]
      // An endpoint that is down is only degraded while no borrower asks for it.
      if (all.some(({ health }) => health === "Unavailable")) gauges.isDown = true
      else if (all.every(({ health }) => health === "Healthy")) gauges.isDown = false
      gauges.up.set(gauges.isDown ? 0 : 1)
      gauges.used.set(all.reduce((sum, { counts }) => sum + counts.active, 0))
      gauges.waiting.set(all.reduce((sum, { counts }) => sum + counts.waiting, 0))
    }
    for (const { up, used, waiting } of past.values()) {
      for (const gauge of [up, used, waiting]) gauge.set(undefined)
    }
  }

  #gaugesOf(endpoint: InspectedEndpoint): EndpointGauges {
    const attributes = attributesOf(endpoint)
    return {
      isDown: false,
      up: this.#set.gauge(poolMetrics.endpointUp, attributes),
      used: this.#set.gauge(poolMetrics.endpointUsed, attributes),
      waiting: this.#set.gauge(poolMetrics.endpointWaiting, attributes)
    }
  }
}

/** A pool that is recorded. */
interface Recorded {
  /** What was added to the counters. */
  counted: ReadonlyMap<string, number>
  readonly stop: () => void
}

/** All series under one name. Pools have the same name only one after the other; then the counters continue. */
class NamedSeries {
  readonly #set: SeriesSet
  readonly #totals: ReadonlyMap<string, CounterSeries>
  readonly #gauges: PoolGauges
  readonly #endpoints: EndpointSeries
  readonly #observer: Parameters<RegisteredPool["core"]["observers"]["add"]>[0]
  readonly #pools = new SharedValues<RegisteredPool, Recorded>()

  constructor(name: string, context: Context.Context<never>) {
    const set = this.#set = new SeriesSet(context, { [poolName]: name })
    this.#totals = totalSeries(set)
    this.#gauges = new PoolGauges(set)
    this.#endpoints = new EndpointSeries(set)
    const [create, wait, use] = [
      set.histogram(poolMetrics.createTime),
      set.histogram(poolMetrics.waitTime),
      set.histogram(poolMetrics.useTime)
    ]
    const refused = byValue(refusals, (reason) => set.counter(poolMetrics.refusals, { [attribute.reason]: reason }))
    const failed = new Map<string, CounterSeries>()
    const failedBy = (type: string): CounterSeries => {
      const known = failed.get(type)
      if (known !== undefined) return known
      if (failed.size >= mostErrorTypes && type !== otherErrors) return failedBy(otherErrors)
      const series = set.counter(poolMetrics.failures, { [attribute.error]: type })
      failed.set(type, series)
      return series
    }
    this.#observer = {
      opened: (millis) => create.record(millis / 1000),
      waited: (millis) => wait.record(millis / 1000),
      used: (millis) => use.record(millis / 1000),
      failed: (_label, cause) => failedBy(errorTypeOf(cause)).add(1),
      refused: (reason) => refused.get(reason)?.add(1)
    }
  }

  begin(pool: RegisteredPool): void {
    this.#pools.join(pool, () => ({ counted: new Map(), stop: pool.core.observers.add(this.#observer) }))
    this.read(pool)
  }

  read(pool: RegisteredPool): void {
    const recorded = this.#pools.get(pool)
    if (recorded === undefined) return
    const stats = pool.core.summary()
    const inspection = pool.core.inspect(mostEndpoints)
    const totals = totalsOf(stats)
    for (const [name, total] of totals) this.#totals.get(name)?.add(total - (recorded.counted.get(name) ?? 0))
    recorded.counted = totals
    this.#gauges.set(stats, inspection)
    this.#endpoints.set(inspection.endpoints)
  }

  end(pool: RegisteredPool): void {
    this.#pools.leave(pool)?.stop()
  }

  removeAll(): void {
    this.#set.removeAll()
  }
}

const shared = new SharedSeries<NamedSeries>()

/** Records a pool. */
export interface PoolRecorder {
  /** Reads the counts and the gauges. */
  readonly read: () => void
  /** Ends the recorder. The last one of a name removes its series. */
  readonly end: () => void
}

/**
 * Records a pool under a name, in the registry and with the attributes of a context, until `end` is called. Recorders of the same name
 * share their series, so that nothing is counted twice.
 */
export const recordPool = (pool: RegisteredPool, name: string, context: Context.Context<never>): PoolRecorder => {
  const { leave, value: series } = shared.join(context, name, () => new NamedSeries(name, context))
  series.begin(pool)
  let hasEnded = false
  return {
    read: () => series.read(pool),
    end: () => {
      if (hasEnded) return
      hasEnded = true
      series.end(pool)
      leave()
    }
  }
}
