/**
 * Takes the readings on a timer: often near the limit, seldom far from it, and never at a cost that anybody would feel.
 *
 * @since 0.1.0
 */
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as References from "effect/References"
import type * as Scope from "effect/Scope"
import { afterTurn, Alarm } from "../../internal/Timer.ts"
import * as Reading from "../Reading.ts"
import type { Figures, SlowFigures } from "../Usage.ts"
import * as Zombies from "./Children.ts"
import { Children, watchStarted } from "./Children.ts"
import type { Found } from "./Children.ts"
import * as DescriptorBreakdown from "./DescriptorBreakdown.ts"
import type { Probes } from "./Probes.ts"
import { attempt } from "./Procfs.ts"

/**
 * What happened to the loop between two rings of a timer, in milliseconds.
 *
 * @category models
 * @since 0.1.0
 */
export interface LoopWindow {
  /** How long it was busy, and how long it waited for something to do. */
  readonly active: number
  readonly idle: number
  /** How much later than it should have the timer rang. */
  readonly late: number
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

// A loop that is this late without having been busy did not run at all.
const frozenMillis = 1000

const stoodStill = ({ active, late }: LoopWindow): boolean => late > frozenMillis && active < late / 2

/**
 * The readings that follow from one window.
 *
 * **Details**
 *
 * A process that was frozen, as a function is between two invocations, finds its timer late although its loop had nothing
 * to do. That says nothing about the loop: both readings are `Unknown` with the reason `Stale`.
 *
 * @category combinators
 * @since 0.1.0
 */
export const loopFigures = (window: LoopWindow, now: number): LoopFigures => {
  if (stoodStill(window)) {
    const frozen = Reading.unknown("Stale", "the process stood still")
    return { loopDelay: frozen, loopUtilization: frozen }
  }
  const { active, idle, late } = window
  const length = active + idle
  return {
    loopDelay: Reading.known(Math.max(late, 0), now, "timer", false),
    loopUtilization: length > 0 && active >= 0 && idle >= 0
      ? Reading.known(active / length, now, "eventLoopUtilization")
      : Reading.unknown("Missing", "eventLoopUtilization")
  }
}

/**
 * What sampling itself costs.
 *
 * @category models
 * @since 0.1.0
 */
export interface Cost {
  /** The share of one processor core that sampling took, 0 to 1: over the last whole minute, before that since start. */
  readonly share: number
  /** Ticks since start. */
  readonly ticks: number
  /** The longest tick, in milliseconds. */
  readonly worstTick: number
  /** By what the interval is multiplied because sampling cost too much: 1 unless it does. */
  readonly slowdown: number
}

/** Above this share of a core over a minute, the interval doubles. */
export const bearableShare = 0.005

// Below this it halves again: twice as many ticks then still cost less than half of what is bearable.
const comfortableShare = bearableShare / 5

const judgedEveryMillis = 60_000

// At the longest interval of five seconds this is a tick in five minutes, which is still a reading.
const mostSlowdown = 64

/**
 * The factor for the next minute, from the share that the last one cost.
 *
 * @category combinators
 * @since 0.1.0
 */
export const nextSlowdown = (slowdown: number, share: number): number => {
  if (share > bearableShare) return Math.min(slowdown * 2, mostSlowdown)
  return share < comfortableShare ? Math.max(slowdown / 2, 1) : slowdown
}

/** The book of what sampling has cost. Times are monotonic milliseconds. */
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

  /** Books work that is part of no tick, such as a slice of a deep look. */
  spend(millis: number): void {
    this.#spent += millis
  }

  /** Books a tick, and yields the share of the minute that has just ended where that share changed the interval. */
  tick(millis: number, now: number): number | undefined {
    this.#ticks += 1
    this.#worst = Math.max(this.#worst, millis)
    this.spend(millis)
    return now - this.#since < judgedEveryMillis ? undefined : this.#judge(now)
  }

  cost(now: number): Cost {
    return {
      share: this.#lastShare ?? this.#shareAt(now),
      ticks: this.#ticks,
      worstTick: this.#worst,
      slowdown: this.#slowdown
    }
  }

  get slowdown(): number {
    return this.#slowdown
  }

  #shareAt(now: number): number {
    return now > this.#since ? this.#spent / (now - this.#since) : 0
  }

  #judge(now: number): number | undefined {
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
 * One look at all figures.
 *
 * @category models
 * @since 0.1.0
 */
export interface Sample {
  /** Wall-clock time of the sample, in milliseconds since 1970. */
  readonly at: number
  /** Monotonic time of the sample in milliseconds, for slopes and holds. Only differences mean something. */
  readonly monotonic: number
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
  /** Is called with each sample, the first one when the sampler is made. It is part of the tick: it must be short. */
  readonly onSample: (sample: Sample) => void
  /** Seconds until a limit is reached at the present pace, `Infinity` when none is. It is asked after each sample. */
  readonly secondsToLimit?: (() => number) | undefined
  /** Whether it is worth while to know what the descriptors are. It is asked at each slow tick. */
  readonly isUnderPressure?: (() => boolean) | undefined
  /** Is called with each deep look that pressure has caused, at most once a minute. Without it they are logged. */
  readonly onBreakdown?: ((look: DescriptorBreakdown.DescriptorBreakdown) => void) | undefined
  /** Is called with each zombie, once. Without it they are logged. */
  readonly onZombie?: ((zombie: Zombies.Zombie) => void) | undefined
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
   * Takes all figures now, slow ones included, and calls `onSample`. The timer goes on as it was, the figures of the event
   * loop are those of its last window, and the cost is that of whoever asks.
   */
  readonly sampleNow: () => Sample
  readonly cost: () => Cost
  /** The zombies that there were at the last look at the children, as they were reported. */
  readonly zombies: () => ReadonlyArray<Zombies.Zombie>
  /** What the descriptors are, by kind. It takes a look at most once a minute, off the event loop. */
  readonly descriptorBreakdown: DescriptorBreakdown.Looker["look"]
}

/** The shortest and the longest time between two ticks, in milliseconds. */
export const shortestInterval = 250
export const longestInterval = 5000

/**
 * The time until the next tick, in milliseconds: a tenth of the time that is left, but between a quarter of a second and
 * five seconds. Where the time that is left is not a number, it is the longest.
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

// What no caller can receive is said, at the level that the program has chosen for that.
const report = (message: string, cause: unknown): Effect.Effect<void> =>
  Effect.flatMap(
    References.UnhandledLogLevel,
    (level) => level === undefined ? Effect.void : Effect.logWithLevel(level)(message, cause)
  )

const notLooked: Found = { zombies: Reading.unknown("Missing", "no look yet"), fresh: [] }

interface Parts {
  readonly options: SamplerOptions
  readonly clock: Clock.Clock
  readonly fork: (effect: Effect.Effect<void>) => Fiber.Fiber<void>
  readonly children: Children
  readonly looker: DescriptorBreakdown.Looker
}

class Ticker {
  readonly #parts: Parts
  readonly #alarm: Alarm
  readonly #thrift: SamplingCost
  #ticks = 0
  /** When the alarm should have rung last. */
  #due: number
  #loopBefore: { readonly active: number; readonly idle: number }
  #loop: LoopFigures
  #slow: SlowFigures
  #children: Found
  #latest: Sample

  constructor(parts: Parts) {
    this.#parts = parts
    this.#due = this.#monotonic()
    this.#thrift = new SamplingCost(this.#due)
    this.#alarm = new Alarm({ ...parts, now: () => this.#monotonic(), onDue: () => this.#ring() })
    const at = parts.clock.currentTimeMillisUnsafe()
    this.#loopBefore = this.#readLoop()
    this.#loop = loopFigures({ active: 0, idle: 0, late: 0 }, at)
    this.#slow = parts.options.probes.slow(at)
    // The first tick does without, for it is the longest anyway: everything is compiled in it.
    this.#children = notLooked
    this.#latest = this.#read(at)
    this.#guarded(() => parts.options.onSample(this.#latest))
    this.#book(this.#due)
    this.#alarm.at(this.#next())
  }

  get latest(): Sample {
    return this.#latest
  }

  get cost(): Cost {
    return this.#thrift.cost(this.#monotonic())
  }

  stop(): void {
    this.#alarm.stop()
  }

  /** Takes the figures, all of them when `isSlow`. */
  tick(isSlow: boolean): Sample {
    const at = this.#parts.clock.currentTimeMillisUnsafe()
    const { children, options } = this.#parts
    if (isSlow) this.#slow = options.probes.slow(at)
    if (isSlow || children.isPending || this.#children === notLooked) this.#lookForZombies(this.#monotonic(), at)
    this.#latest = this.#read(at)
    if (isSlow) this.#lookDeeper()
    this.#guarded(() => options.onSample(this.#latest))
    return this.#latest
  }

  /** Books the tick that began then. */
  #book(began: number): void {
    const ended = this.#monotonic()
    this.#judge(this.#thrift.tick(ended - began, ended))
  }

  #monotonic(): number {
    return Number(this.#parts.clock.monotonicTimeNanosUnsafe()) / 1e6
  }

  #readLoop() {
    return attempt(this.#parts.options.probes.reader.loop) ?? { active: 0, idle: 0 }
  }

  #ring(): number {
    const began = this.#monotonic()
    this.#closeWindow()
    this.#ticks += 1
    this.tick(this.#ticks % ticksPerSlowTick === 0)
    this.#book(began)
    return this.#next()
  }

  /** When the next tick is due. */
  #next(): number {
    const secondsToLimit = this.#guarded(() => this.#parts.options.secondsToLimit?.()) ?? Infinity
    return this.#due = this.#monotonic() + nextInterval(secondsToLimit) * this.#thrift.slowdown
  }

  #closeWindow(): void {
    const before = this.#loopBefore
    const { active, idle } = this.#loopBefore = this.#readLoop()
    const window = { active: active - before.active, idle: idle - before.idle, late: this.#monotonic() - this.#due }
    this.#loop = loopFigures(window, this.#parts.clock.currentTimeMillisUnsafe())
  }

  #read(at: number): Sample {
    const { connections, probes } = this.#parts.options
    const monotonic = this.#monotonic()
    const { zombies } = this.#children
    return {
      at,
      monotonic,
      figures: { ...probes.fast(at), ...this.#slow, ...this.#loop, connections: new Map(connections()), zombies }
    }
  }

  #lookForZombies(monotonic: number, at: number): void {
    const { fresh, zombies } = this.#children = this.#parts.children.look(monotonic, at)
    const count = zombies._tag === "Known" ? zombies.value : fresh.length
    const { fork, options: { onZombie } } = this.#parts
    for (const zombie of fresh) {
      if (onZombie !== undefined) this.#guarded(() => onZombie(zombie))
      else fork(Effect.logWarning(Zombies.describeZombie(zombie, this.#slow.processLimit, count)))
    }
  }

  #lookDeeper(): void {
    const { fork, looker, options } = this.#parts
    if (!looker.isDue() || this.#guarded(() => options.isUnderPressure?.()) !== true) return
    const { onBreakdown } = options
    fork(looker.look.pipe(
      Effect.flatMap((look) =>
        onBreakdown === undefined
          ? Effect.logInfo(DescriptorBreakdown.describe(look))
          : Effect.sync(() => this.#guarded(() => onBreakdown(look)))
      ),
      // A look that cannot be taken says nothing that the readings have not said.
      Effect.ignore
    ))
  }

  // A timer's callback must not throw: that would end the process.
  #guarded<A>(look: () => A): A | undefined {
    try {
      return look()
    } catch (cause) {
      this.#parts.fork(report("the monitor's look at a sample failed", cause))
      return undefined
    }
  }

  #judge(share: number | undefined): void {
    if (share === undefined) return
    const { slowdown } = this.#thrift
    this.#parts.fork(Effect.logInfo(
      `the monitor's sampling took ${
        percent(share)
      } of a core: its intervals are now ${slowdown} times as long as usual`
    ))
  }
}

/**
 * Starts sampling: the first sample is taken at once, and the scope ends it.
 *
 * **Details**
 *
 * - Each tick reads what changes within a second; each tenth tick reads everything. The timer keeps no process alive.
 * - The time between two ticks is a tenth of the time that is left until a limit is reached, within 0.25 and 5 seconds.
 * - Under pressure a slow tick takes a deep look at what the descriptors are, at most once a minute and off the loop.
 * - Its own cost is measured. Above 0.5 % of a core over a minute the intervals double, up to 64 times, and halve again
 *   below 0.1 %; both are logged at level Info.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: SamplerOptions): Effect.Effect<Sampler, never, Scope.Scope> =>
  Effect.gen(function*() {
    const { files, reader } = options.probes
    const started = yield* Effect.acquireRelease(
      Effect.sync(watchStarted),
      (started) => Effect.sync(started.close)
    )
    const children = new Children({ reader, files, started: started.pids, afterTurn })
    const looker = yield* DescriptorBreakdown.make(reader, files)
    const clock = yield* Effect.clockWith(Effect.succeed)
    const fork = Effect.runForkWith(yield* Effect.context<never>())
    const ticker = yield* Effect.acquireRelease(
      Effect.sync(() => new Ticker({ options, clock, fork, children, looker })),
      (ticker) => Effect.sync(() => ticker.stop())
    )
    return {
      latest: () => ticker.latest,
      sampleNow: () => ticker.tick(true),
      cost: () => ticker.cost,
      zombies: () => children.reported,
      descriptorBreakdown: looker.look
    }
  })
