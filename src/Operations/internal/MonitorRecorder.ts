/**
 * Records the monitor and the runtime in Effect's metrics.
 *
 * @since 0.1.0
 */
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as V8 from "node:v8"
import {
  type CounterSeries,
  type GaugeSeries,
  type HistogramSeries,
  SeriesSet,
  SharedSeries,
  SharedValues
} from "../../internal/MetricSeries.ts"
import { scopedValue } from "../../internal/ScopeHooks.ts"
import { forEachResource, type Resource, resources } from "../../Monitor/Alert.ts"
import type { EventLoopStalls, GateStats } from "../../Monitor/GateStats.ts"
import type { Leak } from "../../Monitor/Leak.ts"
import type { Reading } from "../../Monitor/Reading.ts"
import type { Cost } from "../../Monitor/ResourceMonitor.ts"
import type { Figures, Level, Usage } from "../../Monitor/Usage.ts"
import { attribute, monitorMetrics, runtimeMetrics } from "./MonitorMetrics.ts"
import type { Monitor } from "./PoolWatch.ts"

const levels: Record<Level, number> = { Normal: 0, Warning: 1, Critical: 2, Exhausted: 3 }

/** What is not counted as a leak is left out: a lease that came back is none. */
const verdicts: Record<Leak["_tag"], string | undefined> = {
  Held: "held",
  Returned: undefined,
  Lost: "lost",
  LeftOpen: "left_open",
  ForeignGrowth: "foreign_growth"
}

/** Unknown is not zero: without a value, there is no series. */
const valueOf = (reading: Reading): number | undefined => reading._tag === "Known" ? reading.value : undefined

const scaled = (reading: Reading, factor: number): number | undefined => {
  const value = valueOf(reading)
  return value === undefined ? undefined : value * factor
}

/** What is read in each interval. */
interface Readings {
  readonly figures: Figures
  readonly usage: Usage
  readonly cost: Cost
  readonly gate: GateStats
  readonly eventLoop: EventLoopStalls
  /** The level in force. That of `usage` is by the present readings alone. */
  readonly level: Level
}

const readingsOf = ({ cost, eventLoop, figures, gate, level, usage }: Monitor): Effect.Effect<Readings> =>
  Effect.all({ figures, usage, cost, gate, eventLoop, level })

type Read = (readings: Readings) => number | undefined

type Gauges = ReadonlyArray<readonly [GaugeSeries, Read]>

const gaugesOf = (set: SeriesSet): Gauges => {
  const by = (resource: string) => ({ [attribute.resource]: resource })
  return [
    ...resources.flatMap((resource: Resource): Gauges => [
      [set.gauge(monitorMetrics.used, by(resource)), ({ usage }) => valueOf(usage[resource].used)],
      [set.gauge(monitorMetrics.limit, by(resource)), ({ usage }) => valueOf(usage[resource].limit)]
    ]),
    [set.gauge(monitorMetrics.reserved), ({ usage }) => usage.reserved],
    [set.gauge(monitorMetrics.level), ({ level }) => levels[level]],
    [set.gauge(monitorMetrics.lag), ({ figures }) => scaled(figures.loopDelay, 0.001)],
    [set.gauge(monitorMetrics.pressure, by("memory")), ({ figures }) => valueOf(figures.memoryPressure)],
    [set.gauge(monitorMetrics.pressure, by("cpu")), ({ figures }) => valueOf(figures.cpuPressure)],
    [set.gauge(monitorMetrics.pressure, by("io")), ({ figures }) => valueOf(figures.ioPressure)],
    [set.gauge(monitorMetrics.zombies), ({ figures }) => valueOf(figures.zombies)],
    [set.gauge(monitorMetrics.cost), ({ cost }) => cost.share],
    [set.gauge(monitorMetrics.waiting), ({ gate }) => gate.waiting]
  ]
}

const runtimeGaugesOf = (set: SeriesSet): Gauges => [
  [set.gauge(runtimeMetrics.descriptors), ({ figures }) => valueOf(figures.descriptors)],
  [set.gauge(runtimeMetrics.memory), ({ figures }) => valueOf(figures.memory)],
  [set.gauge(runtimeMetrics.threads), ({ figures }) => valueOf(figures.threads)],
  [set.gauge(runtimeMetrics.utilization), ({ figures }) => valueOf(figures.loopUtilization)]
]

/** A monitor that is recorded. */
interface Recorded {
  /** Stalls that were counted. */
  stalls: number
  readonly stop: () => void
}

/** The series of the monitor. */
class MonitorSeries {
  readonly #context: Context.Context<never>
  readonly #set: SeriesSet
  readonly #gauges: Gauges
  readonly #stalls: CounterSeries
  readonly #wait: HistogramSeries
  readonly #refusals: Readonly<Record<keyof GateStats["refusals"], CounterSeries>>
  readonly #leaks: ReadonlyMap<string, CounterSeries>
  readonly #monitors = new SharedValues<Monitor, Recorded>()

  constructor(context: Context.Context<never>) {
    this.#context = context
    const set = this.#set = new SeriesSet(context)
    this.#gauges = gaugesOf(set)
    this.#stalls = set.counter(monitorMetrics.stalls)
    this.#wait = set.histogram(monitorMetrics.wait)
    const refused = (resource: Resource) => set.counter(monitorMetrics.refusals, { [attribute.resource]: resource })
    this.#refusals = forEachResource(refused)
    this.#leaks = new Map(
      Object.values(verdicts).filter((verdict) => verdict !== undefined).map((verdict) => [
        verdict,
        set.counter(monitorMetrics.leaks, { [attribute.verdict]: verdict })
      ])
    )
  }

  begin(monitor: Monitor): void {
    this.#monitors.join(monitor, () => {
      const leaks = Effect.runForkWith(this.#context)(
        Stream.runForEach(monitor.leaks, ({ _tag }) => Effect.sync(() => this.#leaks.get(verdicts[_tag] ?? "")?.add(1)))
      )
      const stop = monitor.observeGate({
        admitted: (millis) => this.#wait.record(millis / 1000),
        refused: (resource) => this.#refusals[resource].add(1)
      })
      return {
        stalls: 0,
        stop: () => {
          stop()
          leaks.interruptUnsafe()
        }
      }
    })
  }

  set(monitor: Monitor, readings: Readings): void {
    const recorded = this.#monitors.get(monitor)
    if (recorded === undefined) return
    for (const [series, read] of this.#gauges) series.set(read(readings))
    this.#stalls.add(readings.eventLoop.count - recorded.stalls)
    recorded.stalls = readings.eventLoop.count
  }

  end(monitor: Monitor): void {
    this.#monitors.leave(monitor)?.stop()
  }

  removeAll(): void {
    this.#set.removeAll()
  }
}

/** The series of the runtime. */
class RuntimeSeries {
  readonly #set: SeriesSet
  readonly #gauges: Gauges
  readonly #heap = new Map<string, GaugeSeries>()

  constructor(context: Context.Context<never>) {
    this.#set = new SeriesSet(context)
    this.#gauges = runtimeGaugesOf(this.#set)
  }

  set(readings: Readings): void {
    for (const [series, read] of this.#gauges) series.set(read(readings))
    for (const { space_name: space, space_used_size: used } of V8.getHeapSpaceStatistics()) {
      const series = this.#heap.get(space) ?? this.#set.gauge(runtimeMetrics.heap, { [attribute.heapSpace]: space })
      this.#heap.set(space, series)
      series.set(used)
    }
  }

  removeAll(): void {
    this.#set.removeAll()
  }
}

const monitors = new SharedSeries<MonitorSeries>()
const runtimes = new SharedSeries<RuntimeSeries>()

/** Records a monitor in the registry of a context. */
const begin = (monitor: Monitor, hasRuntime: boolean, context: Context.Context<never>) => {
  const own = monitors.join(context, "monitor", () => new MonitorSeries(context))
  const runtime = hasRuntime ? runtimes.join(context, "runtime", () => new RuntimeSeries(context)) : undefined
  own.value.begin(monitor)
  return {
    set: (readings: Readings) => {
      own.value.set(monitor, readings)
      runtime?.value.set(readings)
    },
    end: () => {
      own.value.end(monitor)
      own.leave()
      runtime?.leave()
    }
  }
}

/**
 * Records a monitor until the scope ends, in the registry of the context. `read` reads the gauges. Several recorders of one monitor
 * count once.
 */
export const recordMonitor = (
  monitor: Monitor,
  hasRuntime: boolean
): Effect.Effect<{ readonly read: Effect.Effect<void> }, never, Scope.Scope> =>
  Effect.gen(function*() {
    const context = yield* Effect.context<never>()
    const recorder = yield* scopedValue(() => begin(monitor, hasRuntime, context), ({ end }) => end())
    return { read: Effect.map(readingsOf(monitor), recorder.set) }
  })
