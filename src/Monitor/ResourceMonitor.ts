/**
 * Knows how many descriptors, connections and bytes are left, and holds the gate that every new connection passes.
 *
 * **Details**
 *
 * The gate reserves instead of looking: a socket's descriptor appears only after the tick in which its connect was
 * started, so a burst passes every gate that merely reads the count. The levels are computed from one pair of thresholds,
 * which retry and pool use as well by asking here.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import type * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import { sleepUnref } from "../internal/Timer.ts"
import { whileOpen } from "../internal/WhileOpen.ts"
import type { Observation } from "./Alerts.ts"
import { standsFor, standsForEver } from "./Allowance.ts"
import { type Claim, CurrentClaim } from "./Claim.ts"
import * as Drift from "./Drift.ts"
import type { Situation } from "./Gate.ts"
import * as Leaks from "./Leaks.ts"
import * as Ledger from "./Ledger.ts"
import { LedgerClaim } from "./LedgerClaim.ts"
import * as LiveMonitors from "./LiveMonitors.ts"
import { defaultHeadroom, defaults, requireRoom, resolve } from "./Options.ts"
import type { Options, Resolved } from "./Options.ts"
import * as Probes from "./Probes.ts"
import { ProcReader } from "./ProcReader.ts"
import * as Reading from "./Reading.ts"
import * as Reserving from "./Reserving.ts"
import * as Sampler from "./Sampler.ts"
import { ResourceMonitor, type Track, type Tracked, type TrackRequest } from "./Service.ts"
import * as Source from "./Source.ts"
import { make as makeTest, TestMonitor } from "./TestMonitor.ts"
import { isAtLeast, level } from "./Usage.ts"
import type { Usage } from "./Usage.ts"
import * as Watch from "./Watch.ts"

export { InvalidOption } from "../internal/InvalidOption.ts"
export {
  type Alert,
  type AlertFigures,
  type OpeningSite,
  Projected,
  Raised,
  Recovered,
  type Resource
} from "./Alert.ts"
export { type Claim, CurrentClaim } from "./Claim.ts"
export type { PressureCallback } from "./Cleanup.ts"
export { type CleanupResult, Died, Done, Failed, Skipped, TimedOut } from "./CleanupResult.ts"
export type { DeepLook } from "./DeepLook.ts"
export type { Figures } from "./Figures.ts"
export { ResourceExhausted } from "./Gate.ts"
export type { ReserveRequest } from "./Gate.ts"
export type {
  ForeignDrift,
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
export { conservative, constrained, defaultHeadroom, highPerformance } from "./Options.ts"
export type { Options, Origins } from "./Options.ts"
export { ProcReader } from "./ProcReader.ts"
export { ResourceMonitor } from "./Service.ts"
export type { Reserve, ReserveUnsafe, ShortageRequest, Track, Tracked, TrackRequest } from "./Service.ts"
export { TestMonitor } from "./TestMonitor.ts"
export type { TestReadings } from "./TestMonitor.ts"
export type { Cost } from "./Thrift.ts"
export { isAtLeast, level } from "./Usage.ts"
export type { Gauge, Level, Thresholds, Usage } from "./Usage.ts"
export type { Cause as ZombieCause, Zombie } from "./Zombies.ts"

type Shape = ResourceMonitor["Service"]

interface Parts {
  readonly source: Source.Source
  readonly ledger: Ledger.Ledger
  readonly options: Resolved
  readonly leaks: Leaks.Leaks
}

/** What the monitor holds of the limit. The descriptors that stay free are off it already, and its own are among those. */
const heldOf = ({ own, reserve }: Source.DescriptorGauge): number => Math.max(own - reserve, 0)

const usageOf = ({ source, ledger, options }: Parts, descriptors: Source.DescriptorGauge, now: number): Usage => {
  const reserved = Ledger.reserved(ledger)
  const readings = {
    descriptors: { used: descriptors.used, limit: descriptors.limit },
    reserved,
    memory: source.memory(now),
    connections: {
      used: Reading.known(Ledger.open(ledger), now, "ledger"),
      limit: source.connectionLimit()
    }
  }
  return { ...readings, level: level({ ...readings, reserved: reserved + heldOf(descriptors) }, options) }
}

// The monitor's own descriptors are part of the headroom, for nobody else can have them: the few that it must have, so that
// small limits stay usable. What it holds beyond these comes on top, so that what the headroom is for is still there.
const headroomOf = ({ limit, own, reserve }: Source.DescriptorGauge, options: Resolved): number => {
  const headroom = options.headroom ?? (limit._tag === "Known" ? defaultHeadroom(limit.value + reserve) : 0)
  return Math.max(own, headroom + Math.max(own - Probes.fewestHeld, 0)) - reserve
}

const situationNow = (parts: Parts, now: number): Situation => {
  const { ledger, options } = parts
  const descriptors = parts.source.descriptors(now, false)
  return {
    usage: usageOf(parts, descriptors, now),
    open: Ledger.open(ledger),
    opening: Ledger.opening(ledger),
    headroom: headroomOf(descriptors, options),
    reserve: descriptors.reserve,
    warningThreshold: options.warningThreshold,
    errorThreshold: options.errorThreshold
  }
}

const observation = (parts: Parts, clock: Clock.Clock) => (anew: boolean): Observation => {
  const at = clock.currentTimeMillisUnsafe()
  const descriptors = parts.source.descriptors(at, anew)
  return {
    usage: usageOf(parts, descriptors, at),
    own: heldOf(descriptors),
    at,
    now: Number(clock.monotonicTimeNanosUnsafe()) / 1e6
  }
}

const noSite = (): undefined => undefined

/** A connection in a ledger. There may be very many, so that it is one object with what it needs at its end. */
class TrackedConnection implements Tracked {
  readonly #parts: Parts
  readonly #gate: Reserving.Gate
  readonly #opening: LedgerClaim | undefined
  #entry: Ledger.Entry | undefined

  constructor(parts: Parts, gate: Reserving.Gate, { label, site }: TrackRequest, claim: Claim) {
    const { ledger } = parts
    this.#parts = parts
    this.#gate = gate
    this.#entry = Ledger.recordOpen(ledger, label, site ?? noSite)
    this.#opening = claim instanceof LedgerClaim && claim.connectionRecorded(ledger) ? claim : undefined
  }

  end(): void {
    if (this.#entry === undefined) return
    this.#opening?.connectionGone()
    Ledger.recordClosed(this.#parts.ledger, this.#entry)
    this.#entry = undefined
    this.#gate.look()
  }
}

const trackOf = (parts: Parts, gate: Reserving.Gate): Track => {
  const track = (request: TrackRequest) =>
    Effect.flatMap(CurrentClaim, (claim) => {
      let tracked: Tracked
      return whileOpen(() => tracked = new TrackedConnection(parts, gate, request, claim), () => tracked.end())
    })
  return Object.assign(track, {
    unsafe: (request: TrackRequest, claim: Claim) => new TrackedConnection(parts, gate, request, claim)
  })
}

const makeMonitor = (
  parts: Parts,
  { announcements, cleanup, level, look }: Watch.Watch,
  gate: Reserving.Gate,
  { cost, deepLook, sampleNow, zombies }: Pick<Sampler.Sampler, "cost" | "deepLook" | "sampleNow" | "zombies">
): Shape => {
  const { leaks, ledger } = parts
  return ResourceMonitor.of({
    usage: Effect.clockWith((clock) => Effect.sync(() => observation(parts, clock)(false).usage)),
    level: Effect.sync(() => {
      look(false)
      return level()
    }),
    levels: announcements.levels,
    alerts: announcements.alerts,
    recentAlerts: (count = Infinity) => Effect.sync(() => announcements.recent(count)),
    figures: Effect.sync(() => sampleNow().figures),
    zombies: Effect.sync(zombies),
    cost: Effect.sync(cost),
    deepLook,
    sample: Effect.sync(() => look(true)),
    reserve: gate.reserve,
    shortage: gate.shortage,
    track: trackOf(parts, gate),
    onPressure: (callback) => cleanup.register(callback),
    cleanup: Effect.suspend(() => cleanup.demand()),
    trackLeases: (held) => whileOpen(() => ledger.lenders.add(held), () => ledger.lenders.delete(held)),
    topSites: (count) => Effect.sync(() => Ledger.topSites(ledger, count)),
    reportLeak: leaks.report,
    leaks: leaks.stream,
    recentLeaks: (count = Infinity) => Effect.sync(() => leaks.recent(count))
  })
}

/** How many places a refusal names. */
const sitesShown = 5

/** Has each reading that is taken for the watch looked at for descriptors of others that become more and more. */
const drifting = (
  { ledger, options }: Parts,
  observe: (anew: boolean) => Observation,
  tell: (found: Drift.Found) => void
) => {
  const window = Duration.toMillis(options.driftWindow)
  let state = Drift.initial
  return (anew: boolean): Observation => {
    const observation = observe(anew)
    const { used } = observation.usage.descriptors
    if (used._tag === "Known") {
      const foreign = used.value - Ledger.open(ledger)
      const next = Drift.observe(state, { foreign, now: observation.now }, window)
      state = next.state
      if (next.found !== undefined) tell(next.found)
    }
    return observation
  }
}

/** Reports what has drifted, with what the descriptors are if that can be seen. */
const driftOf = ({ leaks }: Parts, deepLook: Sampler.Sampler["deepLook"], found: Drift.Found): Effect.Effect<void> =>
  Effect.flatMap(Effect.option(deepLook), (look) => {
    const counts = Option.match(look, { onNone: () => undefined, onSome: ({ kinds }) => [...kinds] })
    const kinds = counts?.map(([kind, count]) => ({ kind, count })).sort((left, right) => right.count - left.count)
    return leaks.report({ ...found, _tag: "ForeignDrift", kinds })
  })

const watch = Effect.fnUntraced(function*(parts: Parts, deepLook: Sampler.Sampler["deepLook"]) {
  const clock = yield* Effect.clockWith(Effect.succeed)
  const fork = Effect.runForkWith(yield* Effect.context<never>())
  return yield* Watch.make({
    observe: drifting(parts, observation(parts, clock), (found) => void fork(driftOf(parts, deepLook, found))),
    options: parts.options,
    topSites: (count) => Ledger.topOpeners(parts.ledger, count)
  })
})

/**
 * The gate that decides by these readings, which stand for so many nanoseconds. What it meets before the timer does, the watch is told of, in a step of its own:
 * nothing may come between a decision and its claim.
 */
const gateOf = Effect.fnUntraced(function*(parts: Parts, { level, look }: Watch.Watch, standsFor?: bigint) {
  const clock = yield* Effect.clockWith(Effect.succeed)
  const fork = Effect.runForkWith(yield* Effect.context<never>())
  let isToLook = false
  const lookSoon = Effect.map(Effect.yieldNow, () => {
    isToLook = false
    look(false)
  })
  const situation = () => {
    const now = situationNow(parts, clock.currentTimeMillisUnsafe())
    const { level: met } = now.usage
    if (isAtLeast(met, "Critical") && !isAtLeast(level(), met) && !isToLook) {
      isToLook = true
      fork(lookSoon)
    }
    return now
  }
  return yield* Reserving.make({
    ledger: parts.ledger,
    situation,
    standsFor,
    topSites: () => Ledger.topOpeners(parts.ledger, sitesShown)
  })
})

const noLook: Sampler.Sampler["deepLook"] = Effect.fail(Reading.unknown("Missing", "sampler"))

const every = (interval: Duration.Duration, act: Effect.Effect<unknown>): Effect.Effect<void, never, Scope.Scope> =>
  Duration.isFinite(interval)
    ? Effect.asVoid(Effect.forkScoped(Effect.forever(Effect.andThen(sleepUnref(Duration.toMillis(interval)), act))))
    : Effect.void

/** The monitor with what it does by itself until the scope ends. */
const start = Effect.fnUntraced(function*(parts: Parts, probes: Probes.Probes, standsFor: bigint | undefined) {
  // The sampler and the watch need each other; nothing drifts before both are there.
  let sampler: Sampler.Sampler | undefined
  const running = yield* watch(parts, Effect.suspend(() => sampler?.deepLook ?? noLook))
  const gate = yield* gateOf(parts, running, standsFor)
  sampler = yield* Sampler.make({
    probes,
    connections: () => parts.ledger.labels,
    onSample: ({ figures }) => {
      parts.source.learn(figures.descriptors)
      running.look(false)
      gate.look()
    },
    secondsToLimit: running.secondsToLimit,
    isUnderPressure: () => isAtLeast(running.level(), "Critical")
  })
  yield* every(parts.options.maintenanceInterval, Effect.suspend(() => running.cleanup.maintain()))
  return makeMonitor(parts, running, gate, sampler)
})

const isByDefault = <A>(context: Context.Context<never>, reference: Context.Reference<A>): boolean =>
  Context.get(context, reference) === Context.get(Context.empty(), reference)

/** Whether the readings and the time are those of the process. A test makes up its own. */
const isReal = Effect.map(
  Effect.context<never>(),
  (context) => isByDefault(context, ProcReader) && isByDefault(context, Clock.Clock)
)

const make = Effect.fnUntraced(function*(options: Resolved) {
  const ledger = Ledger.make()
  const probes = yield* Probes.make
  const source = Source.fromProbes(probes, ledger, options)
  const parts = { source, ledger, options, leaks: yield* Leaks.make(options.leakLogInterval) }
  // What a test makes up may change in no time at all, so that it is read anew each time.
  const monitor = yield* start(parts, probes, (yield* isReal) ? standsFor : undefined)
  const now = yield* Effect.clockWith((clock) => clock.currentTimeMillis)
  const { limit, reserve } = source.descriptors(now, false)
  if (limit._tag === "Known") yield* requireRoom(options, limit.value + reserve)
  return monitor
})

/** A layer under `Layer.fresh` is built with a map of its own, while the context still has that of the layers around it. */
const isFresh = (context: Context.Context<never>, memoMap: Layer.MemoMap): boolean =>
  Context.getOrUndefined(context, Layer.CurrentMemoMap) !== memoMap

const built = Effect.fnUntraced(function*(given: Options, memoMap: Layer.MemoMap, scope: Scope.Scope) {
  const options = yield* resolve(given)
  const context = yield* Effect.context<never>()
  const own = make(options)
  const monitor = isFresh(context, memoMap) || !(yield* isReal)
    ? yield* Scope.provide(own, scope)
    : yield* LiveMonitors.share(options, own, scope)
  return Context.make(ResourceMonitor, monitor)
})

/**
 * The monitor of this process.
 *
 * **Details**
 *
 * It opens a few descriptors at start, reads through them, does not count them, and closes them with its scope. It looks at
 * the readings by itself, every five seconds, more often the nearer a limit comes, and at once when the gate meets what is
 * critical, and draws its conclusions: the level, the alerts, and the runs of the callbacks that are registered with
 * `onPressure`. Its timers keep no process alive.
 *
 * The gate refuses an opening with `ResourceExhausted` when
 *
 * - descriptors used + reserved + requested are more than the limit less the headroom. The limit is the process's soft limit,
 *   or `maxDescriptors` where that is smaller;
 * - the connections in the ledger, those that are being opened and this one are more than `maxConnections`;
 * - the container's memory has reached its limit, or resident memory `maxMemory`, whichever is nearer. Below that it raises
 *   the level and refuses nothing;
 * - it is a retry (`attempt` above 0) and descriptors or connections are at `Critical`;
 * - others wait for room before it.
 *
 * With `maxWait` a request waits instead. While one does, the gate looks for room every 100 ms, with a timer that keeps the
 * process alive; when the layer's scope ends, those that wait are refused.
 *
 * **Gotchas**
 *
 * - Nothing is refused for memory where neither `maxMemory` nor the container limits it.
 * - There is one monitor for a process: wherever this layer, or one with the same limits, is built while another one is alive, it
 *   provides that one, which ends with the last of its users. What it logs goes to the loggers of the first. A monitor
 *   with other limits stays apart, and a warning is logged once; the two do not see each other's reservations.
 *   `Layer.fresh`, `layerTest` and `layerUnlimited` are always apart. A worker thread has a monitor of its own.
 *
 * **Example** (Asking before an opening)
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
 */
export const layer: Layer.Layer<ResourceMonitor> = /*#__PURE__*/ Layer.fromBuildMemo((memoMap, scope) =>
  Effect.orDie(built({}, memoMap, scope))
)

/**
 * The monitor of this process, with options of its own. Everything else is as {@link layer} says. It dies with `InvalidOption` when an
 * option makes no sense.
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
 */
export const layerOptions = (options: Options): Layer.Layer<ResourceMonitor> =>
  Layer.fromBuildMemo((memoMap, scope) => Effect.orDie(built(options, memoMap, scope)))

/**
 * The monitor of this process, with options from `Config`: one for all options, or a record of one for each.
 *
 * **Details**
 *
 * It fails with `ConfigError` when a value is missing, cannot be read, or makes no sense as the option. Everything else is as
 * {@link layer} says.
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
 */
export const layerConfig = (config: Config.Wrap<Options>): Layer.Layer<ResourceMonitor, Config.ConfigError> =>
  // `Config` brings `Schema`. Both are loaded when this layer is built, so that other users of the monitor do without them.
  Layer.fromBuildMemo((memoMap, scope) =>
    Effect.flatMap(
      Effect.promise(() => import("../internal/ConfigFailure.ts")),
      ({ fromConfig }) => fromConfig(config, (options: Options) => built(options, memoMap, scope))
    )
  )

/**
 * A monitor that admits everything. It reads and counts as {@link layer} does, and every limit is `Unlimited`.
 *
 * **When to use**
 *
 * Use for a short program, or where something else bounds what is opened.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerUnlimited: Layer.Layer<ResourceMonitor> = /*#__PURE__*/ Layer.effect(
  ResourceMonitor,
  /*#__PURE__*/ Effect.gen(function*() {
    const ledger = Ledger.make()
    const probes = yield* Probes.make
    const source = Source.withoutLimits(Source.fromProbes(probes, ledger, defaults), probes)
    // Without a limit there is nothing to be read before an opening.
    return yield* start(
      { source, ledger, options: defaults, leaks: yield* Leaks.make(defaults.leakLogInterval) },
      probes,
      standsForEver
    )
  })
)

/**
 * A monitor whose readings a test sets through {@link TestMonitor}. Claims and the ledger are real.
 *
 * **Details**
 *
 * At first nothing is used of 1000 descriptors, 1024 MiB and 100 connections. The options are the defaults. It has no timer:
 * it looks when a reading is set, when the test says `tick`, when it is asked for its level, and when the gate meets what is
 * critical. The time is that of the clock, so that a level falls only after `TestClock` has gone on, or with `setLevel` at
 * once.
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
 */
export const layerTest: Layer.Layer<ResourceMonitor | TestMonitor> = /*#__PURE__*/ Layer.effectContext(
  /*#__PURE__*/ Effect.gen(function*() {
    const ledger = Ledger.make()
    const clock = yield* Effect.clockWith(Effect.succeed)
    const { handle, sampler, source } = makeTest(ledger, clock)
    const parts = { source, ledger, options: defaults, leaks: yield* Leaks.make(defaults.leakLogInterval) }
    const running = yield* watch(parts, sampler.deepLook)
    const gate = yield* gateOf(parts, running)
    return Context.make(ResourceMonitor, makeMonitor(parts, running, gate, sampler)).pipe(
      Context.add(TestMonitor, handle(running, gate))
    )
  })
)
