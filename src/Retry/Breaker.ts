/**
 * A circuit breaker: it refuses attempts while an endpoint is down, tests with single attempts whether it is up again, and then
 * raises the load gradually.
 *
 * **Details**
 *
 * Each label has a circuit of its own:
 *
 * - _Closed_: attempts are made. The circuit opens after a number of consecutive failures, or when a share of the calls in a sliding window
 *   of time has failed. After it was open, concurrent attempts are limited: to two at first, and to one more with each success.
 * - _Open_: no attempt is made. The longer the endpoint is down, the longer an open period lasts.
 * - _Half open_: one attempt, the probe, tests whether the endpoint is back. It has a lease: when the lease ends before the probe, another
 *   attempt becomes the probe, and the outcome of the first one is ignored.
 *
 * Retries are refused before the circuit opens: after half as many consecutive failures as open it. Exceptions are a call whose
 * attempt failed within less than 100 ms, and a call to which all of these failures belong.
 *
 * Outcomes that say nothing about the endpoint are ignored: interruptions, defects, lack of room on this host, a busy server,
 * and failures that are not retried. Times are measured with the monotonic clock.
 *
 * @since 0.1.0
 * @stability stable
 */
import * as Clock from "effect/Clock"
import type * as Config from "effect/Config"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { optionsFromConfig } from "../internal/ConfigOptions.ts"
import { LabelMap } from "../internal/LabelMap.ts"
import { monotonicMillis } from "../internal/MonotonicTime.ts"
import { aboveZero, checkOptions, refusing } from "../internal/Options.ts"
import { safeLabel } from "../internal/SafeText.ts"
import { BreakerCircuit, type CircuitRules, type Phase } from "./internal/BreakerCircuit.ts"

export { InvalidOption } from "../internal/InvalidOption.ts"

/**
 * Marks a breaker, and holds its circuits.
 *
 * @category type IDs
 * @since 0.1.0
 * @stability stable
 */
export const TypeId = "~effect-sluice/Retry/Breaker"

/**
 * The type of {@link TypeId}.
 *
 * @category type IDs
 * @since 0.1.0
 * @stability stable
 */
export type TypeId = typeof TypeId

/**
 * The options of a breaker.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export interface Options {
  /**
   * The number of consecutive failures that opens the circuit: a whole number of at least 1, or `Infinity`.
   *
   * @default 5
   */
  readonly consecutiveFailures?: number | undefined
  /**
   * The share of failures among the calls of the window that opens the circuit: above 0, at most 1.
   *
   * @default 0.5
   */
  readonly failureRate?: number | undefined
  /**
   * The share counts only with at least this many calls in the window: a whole number of at least 1, or `Infinity`.
   *
   * @default 20
   */
  readonly minimumCalls?: number | undefined
  /**
   * How long a call counts towards the share of failures. Above 0, finite.
   *
   * @default "10 seconds"
   */
  readonly window?: Duration.Input | undefined
  /**
   * The longest duration of the first open period; above 0, finite. Later open periods last up to a tenth of the endpoint's
   * downtime, if that is longer. The actual duration is random, between half of this time and all of it. Each `window` in which
   * the circuit stays closed halves the counted downtime.
   *
   * @default "1 second"
   */
  readonly openTime?: Duration.Input | undefined
  /**
   * The longest duration of any open period, unless the endpoint asks for a longer wait. Finite, at least `openTime`.
   *
   * @default "10 seconds", or `openTime` if that is longer
   */
  readonly maxOpenTime?: Duration.Input | undefined
  /**
   * After this time another attempt may replace a probe that has not ended. Above 0, finite. Choose the longest time that an
   * attempt can take.
   *
   * @default "10 seconds"
   */
  readonly probeLease?: Duration.Input | undefined
  /**
   * How long concurrent attempts are limited after the circuit has closed: to two at first, and to one more with each success.
   * Finite; 0 for no limit.
   *
   * @default "6 seconds"
   */
  readonly ramp?: Duration.Input | undefined
  /**
   * The most circuits, one for each label: a whole number of at least 1, or `Infinity`. When there are more, circuits are
   * dropped: first those that equal a new one, then closed ones with few calls in the window, then open ones. A label whose
   * circuit was dropped gets a new one. Raise the number if more endpoints are in use at the same time.
   *
   * @default 1000
   */
  readonly maxLabels?: number | undefined
}

/**
 * The state of a circuit.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export type State =
  | {
    readonly _tag: "Closed"
    /** Calls that ended within the window, and those of them that failed. */
    readonly calls: number
    readonly failures: number
    /** The share of the ramp that has passed: below 1 while concurrent attempts are limited after the circuit has closed. */
    readonly share: number
  }
  | {
    readonly _tag: "Open"
    /** The time until a probe may be made. */
    readonly retryAfter: Duration.Duration
  }
  | {
    readonly _tag: "HalfOpen"
    /** The time until another attempt may replace the probe; zero when the next attempt is the probe. */
    readonly retryAfter: Duration.Duration
  }

/**
 * A circuit went from one state to another.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export interface Change {
  /** The label, without secrets and control characters, and cut to 200 characters. */
  readonly label: string
  readonly from: State["_tag"]
  readonly to: State["_tag"]
}

/** The circuits of a breaker. */
interface Circuits {
  /** The circuit of a label, made when it is first asked for. */
  readonly circuitOf: (label: string, now: number) => BreakerCircuit
  readonly all: ReadonlyMap<string, BreakerCircuit>
  /** Calls the listener with each change from now on; the result ends that. */
  readonly listen: (listener: (change: Change) => void) => () => void
}

/**
 * A breaker with a circuit for each label. It is state of this process that several policies may share.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export interface Breaker {
  readonly [TypeId]: Circuits
}

const check = checkOptions("Breaker")

const failureRateOf = (value: number): number => {
  check.require(value > 0 && value <= 1, "failureRate", value, "be above 0 and at most 1")
  return value
}

const maxOpenTimeOf = (value: Duration.Input, openTime: number): number => {
  const maxOpenTime = check.millis("maxOpenTime", value, aboveZero)
  const rule = `be at least openTime (${Duration.format(Duration.millis(openTime))})`
  check.require(maxOpenTime >= openTime, "maxOpenTime", value, rule)
  return maxOpenTime
}

const maxLabelsOf = ({ maxLabels }: Options): number =>
  check.whole("maxLabels", maxLabels ?? 1000, { min: 1, infinite: true })

const rulesOf = (options: Options): CircuitRules => {
  const openTime = check.millis("openTime", options.openTime ?? "1 second", aboveZero)
  return {
    consecutiveFailures: check.whole("consecutiveFailures", options.consecutiveFailures ?? 5, {
      min: 1,
      infinite: true
    }),
    failureRate: failureRateOf(options.failureRate ?? 0.5),
    minimumCalls: check.whole("minimumCalls", options.minimumCalls ?? 20, { min: 1, infinite: true }),
    window: check.millis("window", options.window ?? "10 seconds", aboveZero),
    openTime,
    maxOpenTime: maxOpenTimeOf(options.maxOpenTime ?? Math.max(10_000, openTime), openTime),
    probeLease: check.millis("probeLease", options.probeLease ?? "10 seconds", aboveZero),
    ramp: check.millis("ramp", options.ramp ?? "6 seconds", { min: 0 })
  }
}

class CircuitMap implements Circuits {
  readonly #circuits: LabelMap<BreakerCircuit>
  readonly #listeners = new Set<(change: Change) => void>()

  constructor(rules: CircuitRules, maxLabels: number) {
    this.#circuits = new LabelMap(maxLabels, (label) => {
      const circuit: BreakerCircuit = new BreakerCircuit(rules, (from, to) => {
        // A dropped circuit does not report changes for the new circuit of its label.
        if (this.all.get(label) === circuit) this.#announce({ label: safeLabel(label), from, to })
      })
      return circuit
    })
  }

  get all(): ReadonlyMap<string, BreakerCircuit> {
    return this.#circuits.all
  }

  circuitOf(label: string, now: number): BreakerCircuit {
    return this.#circuits.get(label, now)
  }

  listen(listener: (change: Change) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  #announce(change: Change): void {
    for (const listener of this.#listeners) listener(change)
  }
}

/**
 * Makes a breaker. An invalid option throws `InvalidOption` with the option, its value and the rule.
 *
 * **Details**
 *
 * It is the `breaker` option of a policy, and the `label` of the retry selects the circuit. A breaker that several policies
 * share has one circuit for each endpoint. A circuit without information is dropped, and there are at most `maxLabels`, so
 * that labels may come from untrusted input.
 *
 * **Example** (Failing at once while an endpoint is down)
 *
 * ```ts
 * import { Effect } from "effect"
 * import * as Breaker from "effect-sluice/Breaker"
 * import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
 * import * as RetryPolicy from "effect-sluice/RetryPolicy"
 *
 * const breaker = Breaker.make({ consecutiveFailures: 2 })
 * const policy = RetryPolicy.make({ maxAttempts: 1, breaker })
 *
 * let calls = 0
 * const call = Effect.suspend(() => {
 *   calls++
 *   return Effect.fail({ code: "ECONNREFUSED" })
 * }).pipe(
 *   RetryPolicy.retry(policy, { label: "db:5432" }),
 *   Effect.catch((error) => Effect.succeed(error.reason._tag))
 * )
 *
 * const program = Effect.all([call, call, call]).pipe(Effect.provide(ResourceMonitor.layerUnlimited))
 * // The third call was not made.
 * await Effect.runPromise(program) // => ["AttemptsExhausted", "AttemptsExhausted", "CircuitOpen"]
 * ```
 *
 * @see {@link state} for the state of a circuit
 * @category constructors
 * @since 0.1.0
 * @stability stable
 */
export const make = (options: Options = {}): Breaker => ({
  [TypeId]: new CircuitMap(rulesOf(options), maxLabelsOf(options))
})

/**
 * The breaker with options from `Config`: a record of one for each option, or one for all. It fails with `ConfigError` when a value is
 * missing, cannot be parsed, or is invalid as the option.
 *
 * @category constructors
 * @since 0.1.0
 * @stability stable
 */
export const makeConfig = (config: Config.Wrap<Options>): Effect.Effect<Breaker, Config.ConfigError> =>
  optionsFromConfig(config, (options: Options) => refusing(() => make(options)))

const stateIn: Record<Phase, (circuit: BreakerCircuit, now: number) => State> = {
  Closed: (circuit, now) => ({ _tag: "Closed", ...circuit.counts(now), share: circuit.share(now) }),
  Open: (circuit, now) => ({ _tag: "Open", retryAfter: Duration.millis(circuit.refusedFor(now)) }),
  HalfOpen: (circuit, now) => ({ _tag: "HalfOpen", retryAfter: Duration.millis(circuit.refusedFor(now)) })
}

const stateOf = (circuit: BreakerCircuit, now: number): State => stateIn[circuit.phase](circuit, now)

const newState: State = { _tag: "Closed", calls: 0, failures: 0, share: 1 }

/**
 * The state of the circuit of a label.
 *
 * @category getters
 * @since 0.1.0
 * @stability stable
 */
export const state = (self: Breaker, label: string): Effect.Effect<State> =>
  Effect.map(Clock.Clock, (clock) => {
    const circuit = self[TypeId].all.get(label)
    return circuit === undefined ? newState : stateOf(circuit, monotonicMillis(clock))
  })

/**
 * The states of all circuits, by label. A circuit without information may be missing.
 *
 * @category getters
 * @since 0.1.0
 * @stability stable
 */
export const states = (self: Breaker): Effect.Effect<ReadonlyMap<string, State>> =>
  Effect.map(Clock.Clock, (clock) => {
    const now = monotonicMillis(clock)
    return new Map(Array.from(self[TypeId].all, ([label, circuit]) => [label, stateOf(circuit, now)]))
  })
