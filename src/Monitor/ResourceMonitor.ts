/**
 * Measures how many descriptors, connections and bytes of memory are left, and admits each new connection at its gate.
 *
 * **Details**
 *
 * The gate reserves descriptors, because the descriptor of a socket exists only some time after its connect was called. If the
 * gate only read the count, many connects at once could pass. One pair of thresholds defines the levels, also for retry and
 * pool.
 *
 * @since 0.1.0
 * @stability stable
 */
import * as Clock from "effect/Clock"
import type * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import { optionsFromConfig } from "../internal/ConfigOptions.ts"
import type { InvalidOption } from "../internal/InvalidOption.ts"
import { scopeHooks } from "../internal/ScopeHooks.ts"
import { sleepUnref } from "../internal/Timer.ts"
import * as Gate from "./gate/Reservation.ts"
import * as Ledger from "./Ledger.ts"
import { type LeakLog, makeLeakLog } from "./levels/LeakLog.ts"
import * as LevelTracker from "./levels/LevelTracker.ts"
import { recentOf } from "./levels/Recent.ts"
import { announced } from "./MonitorRegistry.ts"
import { defaults, isConfigured, type Options, requireRoom, resolve, type Resolved } from "./Options.ts"
import * as Reading from "./Reading.ts"
import * as Stalls from "./readings/EventLoopStalls.ts"
import * as Probes from "./readings/Probes.ts"
import { ProcReader } from "./readings/Procfs.ts"
import * as Sampler from "./readings/Sampler.ts"
import { ResourceMonitor } from "./Service.ts"
import { make as makeTest, TestMonitor } from "./TestMonitor.ts"
import { trackOf } from "./Tracking.ts"
import { makeUnlimited } from "./UnlimitedMonitor.ts"
import { isAtLeast } from "./Usage.ts"

export { InvalidOption } from "../internal/InvalidOption.ts"
export { type Alert, type AlertFigures, Forecast, type OpeningSite, Raised, Recovered, type Resource } from "./Alert.ts"
export { type ReserveRequest, ResourceExhausted } from "./gate/Decision.ts"
export type { EventLoopStalls, GateObserver, GateStats } from "./GateStats.ts"
export type {
  ForeignGrowth,
  Held,
  KindCount,
  Leak,
  Leakable,
  LeakFacts,
  LeftOpen,
  Lost,
  Origin,
  Returned
} from "./Leak.ts"
export type { HeldLease, SiteCount } from "./Ledger.ts"
export { type CleanupResult, Died, Done, Failed, type PressureCallback, Skipped, TimedOut } from "./levels/Cleanup.ts"
export { conservative, constrained, defaultHeadroom, highPerformance, type Options, type Origins } from "./Options.ts"
export type { Zombie, ZombieCause } from "./readings/Children.ts"
export type { DescriptorBreakdown } from "./readings/Descriptors.ts"
export { ProcReader } from "./readings/Procfs.ts"
export type { Cost } from "./readings/Sampler.ts"
export { CurrentReservation, type Reservation, ResourceMonitor } from "./Service.ts"
export type { Reserve, ReserveUnsafe, ShortageRequest, Track, Tracked, TrackRequest } from "./Service.ts"
export { TestMonitor, type TestReadings } from "./TestMonitor.ts"
export { type Figures, isAtLeast, level } from "./Usage.ts"
export type { Gauge, Level, Thresholds, Usage } from "./Usage.ts"

type Shape = ResourceMonitor["Service"]

interface Parts extends Probes.Readings {
  readonly leakLog: LeakLog
}

const makeMonitor = (
  parts: Parts,
  { cleanup, hub, level, look }: LevelTracker.LevelTracker,
  { eventLoop, gate }: { readonly eventLoop: Shape["eventLoop"]; readonly gate: Gate.Gate },
  { cost, descriptorBreakdown, sampleNow, zombies }: Pick<
    Sampler.Sampler,
    "cost" | "descriptorBreakdown" | "sampleNow" | "zombies"
  >
): Shape => {
  const { leakLog, ledger } = parts
  return ResourceMonitor.of({
    usage: Effect.clockWith((clock) => Effect.sync(() => LevelTracker.observe(parts, clock, false).usage)),
    level: Effect.sync(() => {
      look(false)
      return level()
    }),
    levels: hub.levels,
    alerts: hub.alerts.stream,
    recentAlerts: recentOf("recentAlerts", hub.alerts),
    figures: Effect.sync(() => sampleNow().figures),
    zombies: Effect.sync(zombies),
    cost: Effect.sync(cost),
    descriptorBreakdown,
    sample: Effect.sync(() => look(true)),
    reserve: gate.reserve,
    shortage: gate.shortage,
    gate: Effect.sync(gate.stats),
    observeGate: gate.observe,
    eventLoop,
    track: trackOf(ledger, gate.look),
    onPressure: (callback) => cleanup.register(callback),
    cleanup: Effect.suspend(() => cleanup.demand()),
    trackLeases: (held) => scopeHooks(() => ledger.lenders.add(held), () => ledger.lenders.delete(held)),
    topSites: (count) => Effect.sync(() => Ledger.topSites(ledger, count)),
    reportLeak: leakLog.report,
    leaks: leakLog.leaks.stream,
    recentLeaks: recentOf("recentLeaks", leakLog.leaks)
  })
}

/** How many places an error or an alert names. */
const sitesShown = 5

const track = (parts: Parts, descriptorBreakdown: Shape["descriptorBreakdown"]) =>
  LevelTracker.make({
    readings: parts,
    sites: () => Ledger.topOpeners(parts.ledger, sitesShown),
    descriptorBreakdown,
    reportLeak: parts.leakLog.report
  })

/**
 * Makes the gate. If its readings are `Critical` before the timer has noticed, the level tracker looks too, but in a later
 * step: nothing may happen between a decision and its reservation. One reading serves for `validFor` nanoseconds.
 */
const gateOf = /*#__PURE__*/ Effect.fnUntraced(
  function*(parts: Parts, { level, look }: LevelTracker.LevelTracker, validFor?: bigint) {
    const clock = yield* Effect.clockWith(Effect.succeed)
    const fork = Effect.runForkWith(yield* Effect.context<never>())
    let isToLook = false
    const lookSoon = Effect.map(Effect.yieldNow, () => {
      isToLook = false
      look(false)
    })
    const capacity = () => {
      const now = Gate.capacityOf(parts, clock.currentTimeMillisUnsafe())
      const { level: current } = now.usage
      if (isAtLeast(current, "Critical") && !isAtLeast(level(), current) && !isToLook) {
        isToLook = true
        fork(lookSoon)
      }
      return now
    }
    return yield* Gate.make({
      ledger: parts.ledger,
      capacity,
      validFor,
      topSites: () => Ledger.topOpeners(parts.ledger, sitesShown)
    })
  }
)

const notSampled: Shape["descriptorBreakdown"] = /*#__PURE__*/ Effect.fail(Reading.unknown("Missing", "sampler"))

const every = (interval: Duration.Duration, act: Effect.Effect<unknown>): Effect.Effect<void, never, Scope.Scope> =>
  Duration.isFinite(interval)
    ? Effect.asVoid(Effect.forkScoped(Effect.forever(Effect.andThen(sleepUnref(Duration.toMillis(interval)), act))))
    : Effect.void

const isByDefault = <A>(context: Context.Context<never>, reference: Context.Reference<A>): boolean =>
  Context.get(context, reference) === Context.get(Context.empty(), reference)

/** Whether readings and time are those of the process, not of a test. */
const isReal = /*#__PURE__*/ Effect.map(
  Effect.context<never>(),
  (context) => isByDefault(context, ProcReader) && isByDefault(context, Clock.Clock)
)

/**
 * When the sampler of a process takes its first sample, in milliseconds. The gate and the level do not wait for it: both read for themselves.
 * So the first connection of a program, such as a function that has just started, does not wait for figures that it does not need.
 */
const firstSample = 1000

/**
 * Whether the first sample can wait. It opens files, and if the headroom has no room for these, the gate would grant their descriptors to
 * others before.
 */
const isRoomFree = ({ gauges }: Parts, now: number): boolean => {
  const { limit, reserve } = gauges.descriptors(now, false)
  return limit._tag !== "Known" || isConfigured(limit.source) || reserve >= Probes.mostHeld
}

/** The monitor with its timers, until the scope ends. */
const start = /*#__PURE__*/ Effect.fnUntraced(
  function*(parts: Parts, probes: Probes.Probes, validFor: bigint | undefined) {
    // The sampler and the tracker need each other. No breakdown is taken before both exist.
    let sampler: Sampler.Sampler | undefined
    const tracker = yield* track(parts, Effect.suspend(() => sampler?.descriptorBreakdown ?? notSampled))
    const gate = yield* gateOf(parts, tracker, validFor)
    const stalls = yield* Stalls.makeRecord
    // The loop of the process has nothing to do with the clock and the readings of a test.
    const isOfProcess = yield* isReal
    const now = yield* Effect.clockWith((clock) => clock.currentTimeMillis)
    const watch = isOfProcess ? yield* Stalls.watch(probes.reader, stalls) : Stalls.blind
    const eventLoop = Effect.sync(() => {
      watch.check()
      return stalls.stalls()
    })
    sampler = yield* Sampler.make({
      probes,
      connections: () => parts.ledger.labels,
      onSample: ({ figures }) => {
        parts.gauges.learn(figures.descriptors)
        tracker.look(false)
        gate.look()
      },
      delay: isOfProcess && isRoomFree(parts, now) ? firstSample : 0,
      secondsToLimit: tracker.secondsToLimit,
      longestDelay: watch.longestDelay,
      isUnderPressure: () => isAtLeast(tracker.level(), "Critical")
    })
    yield* every(parts.options.maintenanceInterval, Effect.suspend(() => tracker.cleanup.maintain()))
    return makeMonitor(parts, tracker, { gate, eventLoop }, sampler)
  }
)

const partsOf = (gauges: Probes.Gauges, ledger: Ledger.Ledger, options: Resolved) =>
  Effect.map(makeLeakLog(options.leakLogInterval), (leakLog): Parts => ({ gauges, ledger, options, leakLog }))

const make = /*#__PURE__*/ Effect.fnUntraced(function*(options: Resolved) {
  const ledger = Ledger.make()
  const probes = yield* Probes.make
  const gauges = Probes.gauges(probes, ledger, options)
  const parts = yield* partsOf(gauges, ledger, options)
  // Readings of a test may change without time passing, so they are read each time.
  const monitor = yield* start(parts, probes, (yield* isReal) ? Gate.validFor : undefined)
  const now = yield* Effect.clockWith((clock) => clock.currentTimeMillis)
  const { limit, reserve } = gauges.descriptors(now, false)
  if (limit._tag === "Known") yield* requireRoom(options, limit.value + reserve)
  return monitor
})

// ---- one monitor for a process ------------------------------------------------------------------------------------

interface SharedMonitor {
  readonly options: Resolved
  readonly layer: Layer.Layer<ResourceMonitor, InvalidOption>
  users: number
}

/**
 * Which layers share a monitor, by limits. A monitor is in this map before it is made. The list of the monitors that run is
 * `processMonitors`. The map and the list are the only state outside of layers.
 */
const shared = new Map<string, SharedMonitor>()

/** Closes a monitor after the last of its users. */
const sharedMemoMap = /*#__PURE__*/ Layer.makeMemoMapUnsafe()

/** The warnings that were logged since the map was empty. */
const logged = new Set<"limits" | "options">()

/** Options on which decisions of the gate depend. Two layers that differ in one of these have separate monitors. */
const limits = [
  "maxDescriptors",
  "maxMemory",
  "maxConnections",
  "headroom",
  "warningThreshold",
  "errorThreshold"
] as const

/** Options on which no decision of the gate depends. A shared monitor has those of its first user. */
const others = [
  "recoveryBand",
  "recoverySamples",
  "recoveryHold",
  "forecastHorizon",
  "cleanupCooldown",
  "maintenanceInterval",
  "foreignGrowthWindow",
  "leakLogInterval"
] as const

const shown = (value: number | Duration.Duration | undefined): string =>
  Duration.isDuration(value) ? Duration.format(value) : value === undefined ? "by default" : String(value)

const keyOf = (options: Resolved): string => limits.map((name) => shown(options[name])).join()

const differences = (
  names: ReadonlyArray<typeof limits[number] | typeof others[number]>,
  first: Resolved,
  second: Resolved
): string =>
  names.filter((name) => shown(first[name]) !== shown(second[name]))
    .map((name) => `${name} ${shown(first[name])} and ${shown(second[name])}`).join(", ")

const warnOnce = (kind: "limits" | "options", text: string): Effect.Effect<void> =>
  Effect.suspend(() => {
    if (logged.has(kind)) return Effect.void
    logged.add(kind)
    return Effect.logWarning(`ResourceMonitor: ${text}`)
  })

/** Warns of a monitor with other limits. */
const warnOfOther = (key: string, options: Resolved): Effect.Effect<void> => {
  if (shared.size < 2) return Effect.void
  const other = Array.from(shared).find(([otherKey]) => otherKey !== key)?.[1]
  return other === undefined ? Effect.void : warnOnce(
    "limits",
    `two monitors with different limits are alive in this process: ${differences(limits, other.options, options)}. ` +
      "Neither sees what the other reserves. Give both the same limits, or use one"
  )
}

/** Warns of options that have no effect because the monitor is shared. */
const warnOfOptions = (first: Resolved, second: Resolved): Effect.Effect<void> => {
  if (first === second) return Effect.void
  const text = differences(others, first, second)
  return text === "" ? Effect.void : warnOnce(
    "options",
    `two monitors with the same limits are one in this process, with the options of the first: ${text}`
  )
}

const join = (key: string, options: Resolved): SharedMonitor => {
  const monitor = shared.get(key) ?? { options, layer: Layer.effect(ResourceMonitor, make(options)), users: 0 }
  shared.set(key, monitor)
  monitor.users++
  return monitor
}

const leave = (key: string, monitor: SharedMonitor): void => {
  if (--monitor.users === 0) shared.delete(key)
  if (shared.size === 0) logged.clear()
}

/** The monitor of this process with these limits, made if there is none. It ends with the scope of its last user. */
const share = (options: Resolved, scope: Scope.Scope): Effect.Effect<Shape, InvalidOption> => {
  const key = keyOf(options)
  let monitor: SharedMonitor
  return Effect.gen(function*() {
    yield* Scope.provide(scopeHooks(() => monitor = join(key, options), () => leave(key, monitor)), scope)
    yield* warnOfOther(key, options)
    yield* warnOfOptions(monitor.options, options)
    return Context.get(yield* Layer.buildWithMemoMap(monitor.layer, sharedMemoMap, scope), ResourceMonitor)
  })
}

/**
 * Whether the layer is built by `Layer.fresh`: that has a memo map of its own, while the context still has the map of the other
 * layers.
 */
const isFresh = (context: Context.Context<never>, memoMap: Layer.MemoMap): boolean =>
  Context.getOrUndefined(context, Layer.CurrentMemoMap) !== memoMap

const built = /*#__PURE__*/ Effect.fnUntraced(function*(given: Options, memoMap: Layer.MemoMap, scope: Scope.Scope) {
  const options = yield* resolve(given)
  const context = yield* Effect.context<never>()
  const isOfProcess = !isFresh(context, memoMap) && (yield* isReal)
  const monitor = isOfProcess ? yield* share(options, scope) : yield* Scope.provide(make(options), scope)
  yield* Scope.provide(announced(monitor, isOfProcess), scope)
  return Context.make(ResourceMonitor, monitor)
})

/**
 * The monitor of this process.
 *
 * **Details**
 *
 * It opens a few descriptors at start, through which it reads, and closes them with its scope. They are not counted as used. It
 * takes readings one second after its start and then every five seconds, more often when a limit is nearer, and at once when the
 * gate finds a `Critical` level. The readings determine the level, the alerts, and the calls of the callbacks of `onPressure`. Its
 * timers do not keep the process alive.
 *
 * The gate refuses a request with `ResourceExhausted` when
 *
 * - descriptors used + reserved + requested exceed the limit minus the headroom. The limit is the process's soft limit, or `maxDescriptors`
 *   if that is smaller;
 * - connections in the ledger + connections being opened + this one exceed `maxConnections`;
 * - the container's memory has reached its limit, or resident memory has reached `maxMemory`. Below the limit, memory only raises the
 *   level;
 * - it is a retry (`attempt` above 0) and descriptors or connections are at `Critical`;
 * - other requests wait for room and are served first.
 *
 * With `maxWait` a request waits instead. While requests wait, the gate checks for room every 100 ms, with a timer that keeps the
 * process alive. The end of the layer's scope refuses the waiting requests.
 *
 * **Gotchas**
 *
 * - The gate never refuses for memory if neither `maxMemory` nor the container limits it.
 * - All layers of a process with the same limits share one monitor, which ends with its last user. Its logs go to the loggers of its first
 *   user. Layers with other limits have another monitor. The two do not see each other's reservations, so this is logged once as a warning.
 *   `Layer.fresh`, `layerTest` and `layerUnlimited` always have a monitor of their own, and so does each worker thread.
 *
 * **Example** (Asking before a connection is opened)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { ResourceMonitor } from "effect-sluice/ResourceMonitor"
 * import * as Monitor from "effect-sluice/ResourceMonitor"
 *
 * const program = Effect.gen(function*() {
 *   const monitor = yield* ResourceMonitor
 *   yield* monitor.reserve({ label: "db:5432" })
 *   return (yield* monitor.usage).reserved
 * }).pipe(Effect.scoped, Effect.provide(Monitor.layerOptions({ maxConnections: 10 })))
 *
 * await Effect.runPromise(program) // => 1
 * ```
 *
 * @category layers
 * @since 0.1.0
 * @stability stable
 */
export const layer: Layer.Layer<ResourceMonitor> = /*#__PURE__*/ Layer.fromBuildMemo((memoMap, scope) =>
  Effect.orDie(built({}, memoMap, scope))
)

/**
 * The monitor of this process with options. Everything else is as with {@link layer}. It dies with `InvalidOption` when an
 * option is invalid.
 *
 * **Example** (Ten connections at most)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { ResourceMonitor } from "effect-sluice/ResourceMonitor"
 * import * as Monitor from "effect-sluice/ResourceMonitor"
 *
 * const Limited = Monitor.layerOptions({ ...Monitor.conservative, maxConnections: 10 })
 *
 * const program = Effect.gen(function*() {
 *   const monitor = yield* ResourceMonitor
 *   const { connections } = yield* monitor.usage
 *   return connections.limit
 * }).pipe(Effect.provide(Limited))
 *
 * const limit = await Effect.runPromise(program)
 * limit._tag === "Known" && limit.value // => 10
 * ```
 *
 * @category layers
 * @since 0.1.0
 * @stability stable
 */
export const layerOptions = (options: Options): Layer.Layer<ResourceMonitor> =>
  Layer.fromBuildMemo((memoMap, scope) => Effect.orDie(built(options, memoMap, scope)))

/**
 * The monitor of this process, with options from `Config`: one `Config` of all options, or a record with one for each option.
 *
 * **Details**
 *
 * It fails with `ConfigError` when a value is missing, cannot be parsed, or is invalid as the option. Everything else is as
 * with {@link layer}.
 *
 * **Example** (A limit from the environment)
 *
 * ```ts
 * import { Config, ConfigProvider, Effect, Layer } from "effect"
 * import { ResourceMonitor } from "effect-sluice/ResourceMonitor"
 * import * as Monitor from "effect-sluice/ResourceMonitor"
 *
 * const Limited = Monitor.layerConfig({ maxConnections: Config.Int("CONNECTIONS") }).pipe(
 *   Layer.provide(ConfigProvider.layer(ConfigProvider.fromUnknown({ CONNECTIONS: "10" })))
 * )
 *
 * const program = Effect.gen(function*() {
 *   const monitor = yield* ResourceMonitor
 *   const { connections } = yield* monitor.usage
 *   return connections.limit
 * }).pipe(Effect.provide(Limited))
 *
 * const limit = await Effect.runPromise(program)
 * limit._tag === "Known" && limit.value // => 10
 * ```
 *
 * @category layers
 * @since 0.1.0
 * @stability stable
 */
export const layerConfig = (config: Config.Wrap<Options>): Layer.Layer<ResourceMonitor, Config.ConfigError> =>
  Layer.fromBuildMemo((memoMap, scope) =>
    optionsFromConfig(config, (options: Options) => built(options, memoMap, scope))
  )

/**
 * A monitor that admits every request and takes no readings. It counts what this library opens: connections, reservations, leases and leaks.
 *
 * **When to use**
 *
 * Use for a short program, or if other code limits the number of connections. A bundle with this layer alone contains no probes and no gate.
 *
 * **Details**
 *
 * Every limit is `Unlimited`, and the other figures are `Unknown`. The level is always `Normal`, so that there are no alerts, and the callbacks of
 * `onPressure` are called only by `cleanup`. It has no timer and opens no descriptor.
 *
 * @category layers
 * @since 0.1.0
 * @stability stable
 */
export const layerUnlimited: Layer.Layer<ResourceMonitor> = /*#__PURE__*/ Layer.effect(
  ResourceMonitor,
  /*#__PURE__*/ Effect.tap(/*#__PURE__*/ Effect.suspend(makeUnlimited), (monitor) => announced(monitor, false))
)

/**
 * A monitor whose readings a test sets through {@link TestMonitor}. Reservations and the ledger are real.
 *
 * **Details**
 *
 * At first nothing is used of 1000 descriptors, 1024 MiB and 100 connections. The options are the defaults. It has no timer: it
 * takes readings when the test sets one or calls `tick`, when its level is requested, and when the gate finds a `Critical` level.
 * It uses the Clock of the context, so a level falls only when `TestClock` advances, or at once with `setLevel`.
 *
 * **Example** (A full process)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { ResourceMonitor, TestMonitor } from "effect-sluice/ResourceMonitor"
 * import * as Monitor from "effect-sluice/ResourceMonitor"
 *
 * const program = Effect.gen(function*() {
 *   const test = yield* TestMonitor
 *   yield* test.set({ descriptors: 990 })
 *   const monitor = yield* ResourceMonitor
 *   const refusal = yield* Effect.flip(monitor.reserve({ label: "db:5432" }))
 *   return [refusal.level, refusal.message]
 * }).pipe(Effect.scoped, Effect.provide(Monitor.layerTest))
 *
 * await Effect.runPromise(program) // => ["Critical", "no room to open db:5432: 990 descriptors used + 0 reserved + 1 requested > limit 1000 - headroom 24 (level Critical)"]
 * ```
 *
 * @category layers
 * @since 0.1.0
 * @stability stable
 */
export const layerTest: Layer.Layer<ResourceMonitor | TestMonitor> = /*#__PURE__*/ Layer.effectContext(
  /*#__PURE__*/ Effect.gen(function*() {
    const ledger = Ledger.make()
    const clock = yield* Effect.clockWith(Effect.succeed)
    const { gauges, handle, sampler } = makeTest(ledger, clock)
    const parts = yield* partsOf(gauges, ledger, defaults)
    const tracker = yield* track(parts, sampler.descriptorBreakdown)
    const gate = yield* gateOf(parts, tracker)
    const stalls = yield* Stalls.makeRecord
    const monitor = makeMonitor(parts, tracker, { gate, eventLoop: Effect.sync(stalls.stalls) }, sampler)
    yield* announced(monitor, false)
    return Context.make(ResourceMonitor, monitor).pipe(
      Context.add(TestMonitor, handle(tracker, gate, stalls))
    )
  })
)
