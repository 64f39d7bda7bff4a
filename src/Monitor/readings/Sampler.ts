/**
 * Reads all figures on a timer (each time is a tick): the nearer a limit is, the more often, but within a bound on the cost. It
 * also measures the event loop between two ticks.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import { monotonicMillis } from "../../internal/MonotonicTime.ts"
import { quietly } from "../../internal/SafeRead.ts"
import { scopedValue } from "../../internal/ScopeHooks.ts"
import { afterTurn, Alarm } from "../../internal/Timer.ts"
import { report } from "../../internal/UnhandledLog.ts"
import * as Reading from "../Reading.ts"
import type { Figures, SlowFigures } from "../Usage.ts"
import { Children, describeZombie, type Found, watchStarted, type Zombie } from "./Children.ts"
import * as Descriptors from "./Descriptors.ts"
import type { Probes } from "./Probes.ts"

/**
 * The event loop between two ticks, in milliseconds.
 *
 * @category models
 * @since 0.1.0
 */
export interface LoopWindow {
  /** How long it was busy, and how long it was idle. */
  readonly active: number
  readonly idle: number
  /** How late the timer fired. */
  readonly late: number
  /** How late a turn was at most, if it was measured. */
  readonly longest?: number | undefined
}

/**
 * The two readings of the loop.
 *
 * @category models
 * @since 0.1.0
 */
export interface LoopFigures {
  readonly loopDelay: Reading.Reading
  readonly loopUtilization: Reading.Reading
}

// If the timer is this late although the event loop was idle, the process was suspended. In milliseconds.
const frozenMillis = 1000

const stoodStill = ({ active, late }: LoopWindow): boolean => late > frozenMillis && active < late / 2

/**
 * The readings of one window.
 *
 * **Details**
 *
 * A process may be frozen for some time, such as a function between two invocations. Then the timer is late although the loop
 * was idle. Such a window says nothing about the loop: both readings are `Unknown` with the reason `Stale`.
 *
 * @category combinators
 * @since 0.1.0
 */
export const loopFigures = (window: LoopWindow, now: number): LoopFigures => {
  if (stoodStill(window)) {
    const frozen = Reading.unknown("Stale", "the process stood still")
    return { loopDelay: frozen, loopUtilization: frozen }
  }
  const { active, idle, late, longest = 0 } = window
  const length = active + idle
  return {
    loopDelay: Reading.known(Math.max(late, longest, 0), now, "timer", false),
    loopUtilization: length > 0 && active >= 0 && idle >= 0
      ? Reading.known(active / length, now, "eventLoopUtilization")
      : Reading.unknown("Missing", "eventLoopUtilization")
  }
}

/**
 * The cost of sampling.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export interface Cost {
  /**
   * The share of one processor core that sampling took, 0 to 1: in the last whole minute or, during the first minute, since the
   * start.
   */
  readonly share: number
  /** Ticks since start. */
  readonly ticks: number
  /** The longest tick, in milliseconds. */
  readonly worstTick: number
  /** The factor by which the time between two ticks is multiplied: above 1 if sampling cost too much. */
  readonly slowdown: number
}

/** If sampling takes more than this share of a core in a minute, the interval doubles. */
export const highShare = 0.005

// Below this share the interval halves again: then twice as many ticks still cost less than half of the bound.
const lowShare = highShare / 5

const adjustedEveryMillis = 60_000

// With the longest interval of 5 seconds, this means a tick every 5 minutes.
const mostSlowdown = 64

/**
 * The factor for the next minute, from the cost in the last minute as a share of a core.
 *
 * @category combinators
 * @since 0.1.0
 */
export const nextSlowdown = (slowdown: number, share: number): number => {
  if (share > highShare) return Math.min(slowdown * 2, mostSlowdown)
  return share < lowShare ? Math.max(slowdown / 2, 1) : slowdown
}

/** Adds up tick times and sets the factor of the interval once a minute. Times are monotonic milliseconds. */
export class SamplingCost {
  #since: number
  #spent = 0
  #ticks = 0
  #worst = 0
  #slowdown = 1
  #lastShare: number | undefined

  constructor(now: number) {
    this.#since = now
  }

  /** Adds a tick. Returns the share of the minute that has just ended if it changed the factor. */
  tick(millis: number, now: number): number | undefined {
    this.#ticks += 1
    this.#worst = Math.max(this.#worst, millis)
    this.#spent += millis
    return now - this.#since < adjustedEveryMillis ? undefined : this.#adjust(now)
  }

  cost(now: number): Cost {
    const share = this.#lastShare ?? this.#shareAt(now)
    return { share, ticks: this.#ticks, worstTick: this.#worst, slowdown: this.#slowdown }
  }

  get slowdown(): number {
    return this.#slowdown
  }

  #shareAt(now: number): number {
    return now > this.#since ? this.#spent / (now - this.#since) : 0
  }

  #adjust(now: number): number | undefined {
    const share = this.#shareAt(now)
    const before = this.#slowdown
    this.#lastShare = share
    this.#slowdown = nextSlowdown(before, share)
    this.#since = now
    this.#spent = 0
    return this.#slowdown === before ? undefined : share
  }
}

/**
 * All figures at one moment.
 *
 * @category models
 * @since 0.1.0
 */
export interface Sample {
  /** Wall-clock time of the sample, in milliseconds since 1970. */
  readonly at: number
  readonly figures: Figures
}

/**
 * What a sampler is made from.
 *
 * @category models
 * @since 0.1.0
 */
export interface SamplerOptions {
  readonly probes: Probes
  /** The connections of the ledger, by label. */
  readonly connections: () => ReadonlyMap<string, number>
  /**
   * Called with each sample, for the first time when the sampler is made, or after `delay`. It is a part of the tick, so it must be short.
   */
  readonly onSample: (sample: Sample) => void
  /**
   * How long after the start the first sample is taken, in milliseconds. With 0 it is taken when the sampler is made.
   *
   * @default 0
   */
  readonly delay?: number | undefined
  /** Seconds until a limit is reached at the present growth, or `Infinity`. Called after each sample. */
  readonly secondsToLimit?: (() => number) | undefined
  /** How late a turn of the event loop was at most since the last call, in milliseconds. Called at each tick. */
  readonly longestDelay?: (() => number) | undefined
  /** Whether to take a breakdown of the descriptors. Called at each slow tick. */
  readonly isUnderPressure?: (() => boolean) | undefined
  /**
   * Called with each breakdown that was taken under pressure, at most once a minute. Without this function, breakdowns are
   * logged.
   */
  readonly onBreakdown?: ((breakdown: Descriptors.DescriptorBreakdown) => void) | undefined
  /** Called once with each zombie. Without this function, zombies are logged. */
  readonly onZombie?: ((zombie: Zombie) => void) | undefined
}

/**
 * A running sampler.
 *
 * @category models
 * @since 0.1.0
 */
export interface Sampler {
  /** The last sample. */
  readonly latest: () => Sample
  /**
   * Reads all figures now, also the slow ones, and calls `onSample`. The timer does not change, and the time does not count as
   * sampling cost. The figures of the event loop are those of the last window.
   */
  readonly sampleNow: () => Sample
  readonly cost: () => Cost
  /** The reports of the zombies that the last reading of the children found. */
  readonly zombies: () => ReadonlyArray<Zombie>
  /** The descriptors by kind, taken at most once a minute, off the event loop. */
  readonly descriptorBreakdown: Descriptors.SharedBreakdown["take"]
}

/** The shortest and the longest time between two ticks, in milliseconds. */
export const shortestInterval = 250
export const longestInterval = 5000

/**
 * The time until the next tick, in milliseconds: a tenth of the time until the limit, between 0.25 and 5 seconds. `NaN` gives the
 * longest.
 *
 * @category combinators
 * @since 0.1.0
 */
export const nextInterval = (secondsToLimit: number): number =>
  Number.isNaN(secondsToLimit)
    ? longestInterval
    : Math.min(Math.max(secondsToLimit * 100, shortestInterval), longestInterval)

const ticksPerSlowTick = 10

const percent = (share: number): string => `${(share * 100).toFixed(2)} %`

const notRead: Found = { zombies: Reading.unknown("Missing", "no reading yet"), fresh: [] }

interface Parts {
  readonly options: SamplerOptions
  readonly clock: Clock.Clock
  readonly fork: (effect: Effect.Effect<void>) => Fiber.Fiber<void>
  readonly children: Children
  readonly breakdowns: Descriptors.SharedBreakdown
}

class Ticker {
  readonly #parts: Parts
  readonly #alarm: Alarm
  readonly #cost: SamplingCost
  #ticks = 0
  /** When the last tick was due. */
  #due: number
  #loopBefore = { active: 0, idle: 0 }
  #children = notRead
  // These are missing until the first sample.
  #loop: LoopFigures | undefined
  #slow: SlowFigures | undefined
  #latest: Sample | undefined

  constructor(parts: Parts) {
    this.#parts = parts
    const now = this.#monotonic()
    const { delay = 0 } = parts.options
    this.#due = now + delay
    this.#cost = new SamplingCost(now)
    this.#alarm = new Alarm({ ...parts, now: () => this.#monotonic(), onDue: () => this.#ring() })
    this.#alarm.at(delay > 0 ? this.#due : this.#ring())
  }

  get latest(): Sample {
    return this.#latest ?? this.#first()
  }

  get cost(): Cost {
    return this.#cost.cost(this.#monotonic())
  }

  stop(): void {
    this.#alarm.stop()
  }

  /** Reads the fast figures, and all of them if `isSlow`. */
  tick(isSlow: boolean): Sample {
    const at = this.#parts.clock.currentTimeMillisUnsafe()
    const { children, options } = this.#parts
    if (isSlow) this.#slow = options.probes.slow(at)
    if (isSlow || children.isPending || this.#children === notRead) this.#readChildren(this.#monotonic(), at)
    return this.#take(at, isSlow)
  }

  /** Children are read from the second sample on, because the first one takes longest: all code is compiled in it. */
  #first(): Sample {
    return this.#take(this.#parts.clock.currentTimeMillisUnsafe(), false)
  }

  #take(at: number, isSlow: boolean): Sample {
    const sample = this.#latest = this.#read(at)
    if (isSlow) this.#takeBreakdown()
    this.#guarded(() => this.#parts.options.onSample(sample))
    return sample
  }

  /** Adds the cost of the tick that began then. */
  #addCost(began: number): void {
    const ended = this.#monotonic()
    this.#logSlowdown(this.#cost.tick(ended - began, ended))
  }

  #monotonic(): number {
    return monotonicMillis(this.#parts.clock)
  }

  #readLoop() {
    return quietly(this.#parts.options.probes.reader.loop) ?? { active: 0, idle: 0 }
  }

  #ring(): number {
    const began = this.#monotonic()
    if (this.#latest === undefined) this.#first()
    else {
      this.#closeWindow()
      this.#ticks += 1
      this.tick(this.#ticks % ticksPerSlowTick === 0)
    }
    this.#addCost(began)
    return this.#next()
  }

  /** When the next tick is due. */
  #next(): number {
    const secondsToLimit = this.#guarded(() => this.#parts.options.secondsToLimit?.()) ?? Infinity
    return this.#due = this.#monotonic() + nextInterval(secondsToLimit) * this.#cost.slowdown
  }

  #openWindow(at: number): LoopFigures {
    this.#loopBefore = this.#readLoop()
    return loopFigures({ active: 0, idle: 0, late: 0 }, at)
  }

  #closeWindow(): void {
    const before = this.#loopBefore
    const longest = this.#guarded(() => this.#parts.options.longestDelay?.())
    const { active, idle } = this.#loopBefore = this.#readLoop()
    const window = {
      active: active - before.active,
      idle: idle - before.idle,
      late: this.#monotonic() - this.#due,
      longest
    }
    this.#loop = loopFigures(window, this.#parts.clock.currentTimeMillisUnsafe())
  }

  #read(at: number): Sample {
    const { connections, probes } = this.#parts.options
    const { zombies } = this.#children
    const loop = this.#loop ??= this.#openWindow(at)
    const slow = this.#slow ??= probes.slow(at)
    return { at, figures: { ...probes.fast(at), ...slow, ...loop, connections: new Map(connections()), zombies } }
  }

  #readChildren(monotonic: number, at: number): void {
    const { fresh, zombies } = this.#children = this.#parts.children.look(monotonic, at)
    const count = zombies._tag === "Known" ? zombies.value : fresh.length
    const { fork, options: { onZombie, probes } } = this.#parts
    const { processLimit } = this.#slow ??= probes.slow(at)
    for (const zombie of fresh) {
      if (onZombie !== undefined) this.#guarded(() => onZombie(zombie))
      else fork(Effect.logWarning(describeZombie(zombie, processLimit, count)))
    }
  }

  #takeBreakdown(): void {
    const { fork, breakdowns, options } = this.#parts
    if (!breakdowns.isDue() || this.#guarded(() => options.isUnderPressure?.()) !== true) return
    const { onBreakdown } = options
    fork(breakdowns.take.pipe(
      Effect.flatMap((breakdown) =>
        onBreakdown === undefined
          ? Effect.logInfo(Descriptors.describe(breakdown))
          : Effect.sync(() => this.#guarded(() => onBreakdown(breakdown)))
      ),
      // If the breakdown fails, the readings already show the reason.
      Effect.ignore
    ))
  }

  // An error thrown in a timer would end the process.
  #guarded<A>(call: () => A): A | undefined {
    try {
      return call()
    } catch (cause) {
      this.#parts.fork(report("a callback of the monitor's sampler failed", Cause.die(cause)))
      return undefined
    }
  }

  #logSlowdown(share: number | undefined): void {
    if (share === undefined) return
    const took = `the monitor's sampling took ${percent(share)} of a core`
    this.#parts.fork(Effect.logInfo(`${took}: its intervals are now ${this.#cost.slowdown} times as long as usual`))
  }
}

/**
 * Starts sampling with a first sample, until the scope closes.
 *
 * **Details**
 *
 * - Each tick reads the figures that change within a second, and each tenth tick reads all figures. The timer does not keep the process
 *   alive.
 * - The time between two ticks is a tenth of the time until a limit is reached, between 0.25 and 5 seconds.
 * - Under pressure a slow tick takes a breakdown of the descriptors, at most once a minute and off the event loop.
 * - It measures its own cost. After a minute with more than 0.5 % of a core the intervals double, up to 64 times the usual ones; after one
 *   with less than 0.1 % they halve again. Both are logged at level Info.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: SamplerOptions): Effect.Effect<Sampler, never, Scope.Scope> =>
  Effect.gen(function*() {
    const { files, reader } = options.probes
    const started = yield* scopedValue(watchStarted, ({ close }) => close())
    const children = new Children({ reader, files, started: started.pids, afterTurn })
    const breakdowns = yield* Descriptors.make(reader, files)
    const clock = yield* Effect.clockWith(Effect.succeed)
    const fork = Effect.runForkWith(yield* Effect.context<never>())
    const parts = { options, clock, fork, children, breakdowns }
    const ticker = yield* scopedValue(() => new Ticker(parts), (ticker) => ticker.stop())
    return {
      latest: () => ticker.latest,
      sampleNow: () => ticker.tick(true),
      cost: () => ticker.cost,
      zombies: () => children.reported,
      descriptorBreakdown: breakdowns.take
    }
  })
