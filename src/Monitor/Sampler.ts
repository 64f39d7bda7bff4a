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
import { Alarm } from "../internal/Timer.ts"
import type { Figures, SlowFigures } from "./Figures.ts"
import type { Probes } from "./Probes.ts"
import * as Reading from "./Reading.ts"
import { type Cost, Thrift } from "./Thrift.ts"

export type { Cost } from "./Thrift.ts"

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
  /** Takes all figures now, slow ones included; the timer goes on from here. `onSample` is called as by the timer. */
  readonly sampleNow: () => Sample
  readonly cost: () => Cost
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

class Ticker implements Sampler {
  readonly #options: SamplerOptions
  readonly #clock: Clock.Clock
  readonly #fork: (effect: Effect.Effect<void>) => Fiber.Fiber<void>
  readonly #alarm: Alarm
  readonly #thrift: Thrift
  #ticks = 0
  #slow: SlowFigures
  #latest: Sample
  /** When the alarm should have rung. */
  #due: number

  constructor(
    options: SamplerOptions,
    clock: Clock.Clock,
    fork: (effect: Effect.Effect<void>) => Fiber.Fiber<void>
  ) {
    this.#options = options
    this.#clock = clock
    this.#fork = fork
    this.#thrift = new Thrift(this.#monotonic())
    this.#due = this.#monotonic()
    this.#alarm = new Alarm({ clock, fork, now: () => this.#monotonic(), onDue: () => this.#ring() })
    this.#slow = options.probes.slow(clock.currentTimeMillisUnsafe())
    this.#latest = this.#read()
  }

  latest(): Sample {
    return this.#latest
  }

  cost(): Cost {
    return this.#thrift.cost(this.#monotonic())
  }

  sampleNow(): Sample {
    return this.#tick(true)
  }

  start(): void {
    this.#alarm.at(this.#ring())
  }

  stop(): void {
    this.#alarm.stop()
  }

  #monotonic(): number {
    return Number(this.#clock.monotonicTimeNanosUnsafe()) / 1e6
  }

  #ring(): number {
    this.#tick(this.#ticks % ticksPerSlowTick === 0)
    this.#ticks += 1
    const secondsToLimit = this.#guarded(() => this.#options.secondsToLimit?.()) ?? Infinity
    return this.#due = this.#monotonic() + nextInterval(secondsToLimit) * this.#thrift.slowdown
  }

  #tick(isSlow: boolean): Sample {
    const began = this.#monotonic()
    if (isSlow) this.#slow = this.#options.probes.slow(this.#clock.currentTimeMillisUnsafe())
    this.#latest = this.#read()
    this.#guarded(() => this.#options.onSample(this.#latest))
    const ended = this.#monotonic()
    this.#judge(this.#thrift.tick(ended - began, ended))
    return this.#latest
  }

  #read(): Sample {
    const at = this.#clock.currentTimeMillisUnsafe()
    const monotonic = this.#monotonic()
    const { connections, probes } = this.#options
    return {
      at,
      monotonic,
      figures: {
        ...probes.fast(at),
        ...this.#slow,
        connections: new Map(connections()),
        loopDelay: Reading.known(Math.max(monotonic - this.#due, 0), at, "timer", false),
        zombies: Reading.unknown("Unsupported", "zombies")
      }
    }
  }

  // A timer's callback must not throw: that would end the process.
  #guarded<A>(look: () => A): A | undefined {
    try {
      return look()
    } catch (cause) {
      this.#fork(report("the monitor's look at a sample failed", cause))
      return undefined
    }
  }

  #judge(share: number | undefined): void {
    if (share === undefined) return
    const { slowdown } = this.#thrift
    this.#fork(Effect.logInfo(
      `the monitor's sampling took ${
        percent(share)
      } of a core: its intervals are now ${slowdown} times as long as usual`
    ))
  }
}

/**
 * Starts sampling: the first sample is taken at once, and the scope ends it.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: SamplerOptions): Effect.Effect<Sampler, never, Scope.Scope> =>
  Effect.gen(function*() {
    const clock = yield* Effect.clockWith(Effect.succeed)
    const fork = Effect.runForkWith(yield* Effect.context<never>())
    return yield* Effect.acquireRelease(
      Effect.sync(() => {
        const ticker = new Ticker(options, clock, fork)
        ticker.start()
        return ticker
      }),
      (ticker) => Effect.sync(() => ticker.stop())
    )
  })
