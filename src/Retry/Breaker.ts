/**
 * Stops asking an endpoint that does not answer, asks now and then whether it is back, and lets the load return gradually.
 *
 * **Details**
 *
 * Each label has a circuit of its own:
 *
 * - _Closed_: attempts are made. The circuit opens after so many failures in a row, or when so large a share of the calls
 *   in a sliding window of time has failed. After it was open, the attempts under way are limited: to two at first, and to one
 *   more with each success.
 * - _Open_: no attempt is made, for a time that grows with the time for which the endpoint has been down.
 * - _Half open_: one attempt, the probe, finds out whether the endpoint is back. It has a lease: a probe that hangs loses its
 *   place when the lease is over, and what comes of it later changes nothing.
 *
 * Retries end before the circuit opens. When half of the failures that open it have come in a row, a call is not retried
 * that has failed after 100 ms or more, unless all of these failures are its own.
 *
 * What says nothing about the endpoint changes nothing: interruptions, defects, no room on this host, a server that says that
 * it is busy, and failures that are not retried. Times are those of the monotonic clock.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { monotonicMillis } from "../internal/MonotonicTime.ts"
import { checkOptions } from "../internal/Options.ts"
import { BreakerCircuit, type CircuitRules, type Phase } from "./internal/BreakerCircuit.ts"

export { InvalidOption } from "../internal/InvalidOption.ts"

/**
 * Marks a breaker, and holds its circuits.
 *
 * @category type IDs
 * @since 0.1.0
 */
export const TypeId = "~effect-sluice/Retry/Breaker"

/**
 * The type of {@link TypeId}.
 *
 * @category type IDs
 * @since 0.1.0
 */
export type TypeId = typeof TypeId

/**
 * The options of a breaker.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /**
   * So many failures in a row open the circuit: a whole number of at least 1, or `Infinity`.
   *
   * @default 5
   */
  readonly consecutiveFailures?: number | undefined
  /**
   * So large a share of failures among the calls of the window opens the circuit: above 0, at most 1.
   *
   * @default 0.5
   */
  readonly failureRate?: number | undefined
  /**
   * With fewer calls than this in the window their share says nothing: a whole number of at least 1, or `Infinity`.
   *
   * @default 20
   */
  readonly minimumCalls?: number | undefined
  /**
   * For how long a call counts towards the share of failures. Above 0, finite.
   *
   * @default "10 seconds"
   */
  readonly window?: Duration.Input | undefined
  /**
   * How long the first opening lasts, at most; each one is spread over the upper half of its time. Above 0, finite. Further
   * ones last a tenth of the time for which the endpoint has been down, if that is longer. Each `window` that the circuit
   * stays closed halves what counts of that time.
   *
   * @default "1 second"
   */
  readonly openTime?: Duration.Input | undefined
  /**
   * No opening lasts longer than this, unless the endpoint asked for it. Finite, at least `openTime`.
   *
   * @default "10 seconds", or `openTime` if that is longer
   */
  readonly maxOpenTime?: Duration.Input | undefined
  /**
   * After this time a probe that has not ended makes room for another one. Above 0, finite. It should be as long as an
   * attempt may take.
   *
   * @default "10 seconds"
   */
  readonly probeLease?: Duration.Input | undefined
  /**
   * For how long after closing the attempts under way are limited: to two, and one more for each success since then. A process
   * with few calls at a time meets no limit; one with many has doubled them after each round of successes. 0 for no limit;
   * finite.
   *
   * @default "6 seconds"
   */
  readonly ramp?: Duration.Input | undefined
  /**
   * For how many labels there is a circuit at most: a whole number of at least 1, or `Infinity`. Where there are more, circuits
   * are dropped: those that a new one would not differ from, then closed ones with few calls in the window, then those that
   * are open. A label whose circuit was dropped begins with a new one. Raise it if more endpoints than this are in use at a
   * time.
   *
   * @default 1000
   */
  readonly maxLabels?: number | undefined
}

/**
 * Where a circuit stands.
 *
 * @category models
 * @since 0.1.0
 */
export type State =
  | {
    readonly _tag: "Closed"
    /** Calls that ended within the window, and those of them that failed. */
    readonly calls: number
    readonly failures: number
    /** How much of the ramp has passed: below 1 for a while after the circuit was open, when attempts under way are limited. */
    readonly share: number
  }
  | {
    readonly _tag: "Open"
    /** How long it takes until a probe may be made. */
    readonly retryAfter: Duration.Duration
  }
  | {
    readonly _tag: "HalfOpen"
    /** How long the probe keeps its place at most; zero when the next attempt is the probe. */
    readonly retryAfter: Duration.Duration
  }

/**
 * A circuit went from one state to another.
 *
 * @category models
 * @since 0.1.0
 */
export interface Change {
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
 */
export interface Breaker {
  readonly [TypeId]: Circuits
}

const check = checkOptions("Breaker")

const millis = (
  option: "window" | "openTime" | "maxOpenTime" | "probeLease" | "ramp",
  value: Duration.Input,
  exclusive: boolean
): number => Duration.toMillis(check.duration(option, value, { min: 0, exclusive }))

const failureRateOf = (value: number): number => {
  check.require(value > 0 && value <= 1, "failureRate", value, "be above 0 and at most 1")
  return value
}

const maxOpenTimeOf = (value: Duration.Input, openTime: number): number => {
  const maxOpenTime = millis("maxOpenTime", value, true)
  const rule = `be at least openTime (${Duration.format(Duration.millis(openTime))})`
  check.require(maxOpenTime >= openTime, "maxOpenTime", value, rule)
  return maxOpenTime
}

const maxLabelsOf = ({ maxLabels }: Options): number =>
  check.whole("maxLabels", maxLabels ?? 1000, { min: 1, infinite: true })

const rulesOf = (options: Options): CircuitRules => {
  const openTime = millis("openTime", options.openTime ?? "1 second", true)
  return {
    consecutiveFailures: check.whole("consecutiveFailures", options.consecutiveFailures ?? 5, {
      min: 1,
      infinite: true
    }),
    failureRate: failureRateOf(options.failureRate ?? 0.5),
    minimumCalls: check.whole("minimumCalls", options.minimumCalls ?? 20, { min: 1, infinite: true }),
    window: millis("window", options.window ?? "10 seconds", true),
    openTime,
    maxOpenTime: maxOpenTimeOf(options.maxOpenTime ?? Math.max(10_000, openTime), openTime),
    probeLease: millis("probeLease", options.probeLease ?? "10 seconds", true),
    ramp: millis("ramp", options.ramp ?? "6 seconds", false)
  }
}

/** Below this number of circuits none is looked for that can be forgotten. */
const fewCircuits = 100

/** So large a share of `maxLabels` is kept when circuits have to be dropped. */
const keptShare = 0.9

class CircuitMap implements Circuits {
  readonly #rules: CircuitRules
  readonly #maxLabels: number
  /** In the order in which they were made. */
  readonly #circuits = new Map<string, BreakerCircuit>()
  readonly #listeners = new Set<(change: Change) => void>()
  #sweepAt: number

  constructor(rules: CircuitRules, maxLabels: number) {
    this.#rules = rules
    this.#maxLabels = maxLabels
    this.#sweepAt = Math.min(fewCircuits, maxLabels)
  }

  get all(): ReadonlyMap<string, BreakerCircuit> {
    return this.#circuits
  }

  circuitOf(label: string, now: number): BreakerCircuit {
    const found = this.#circuits.get(label)
    if (found !== undefined) return found
    if (this.#circuits.size >= this.#sweepAt) this.#sweep(now)
    const circuit: BreakerCircuit = new BreakerCircuit(this.#rules, (from, to) => {
      // What becomes of a circuit that was dropped says nothing of the one that has its label now.
      if (this.#circuits.get(label) === circuit) this.#announce({ label, from, to })
    })
    this.#circuits.set(label, circuit)
    return circuit
  }

  listen(listener: (change: Change) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  #announce(change: Change): void {
    for (const listener of this.#listeners) listener(change)
  }

  /** Forgets the circuits that a new one would not differ from, each time that their number has doubled. */
  #sweep(now: number): void {
    for (const [label, circuit] of this.#circuits) if (circuit.isLikeNew(now)) this.#circuits.delete(label)
    if (this.#circuits.size >= this.#maxLabels) this.#drop(now)
    this.#sweepAt = Math.min(this.#maxLabels, Math.max(fewCircuits, this.#circuits.size * 2))
  }

  /** Drops the circuits with which the least is lost; of several alike the oldest. */
  #drop(now: number): void {
    const entries = Array.from(this.#circuits, ([label, circuit]) => ({ label, worth: circuit.worth(now) }))
    // The difference of two infinities is no number.
    entries.sort((left, right) => left.worth === right.worth ? 0 : left.worth - right.worth)
    const surplus = entries.length - Math.floor(this.#maxLabels * keptShare)
    for (const { label } of entries.slice(0, surplus)) this.#circuits.delete(label)
  }
}

/**
 * Makes a breaker. It throws `InvalidOption` when an option makes no sense, naming the option, its value and the rule.
 *
 * **Details**
 *
 * It is the `breaker` option of a policy, and the `label` of the retry says which of its circuits is asked. A breaker that several
 * policies share has one circuit for each endpoint. A circuit that nothing is known of is forgotten, and there are at most
 * `maxLabels`, so that labels may come from outside.
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
 * @see {@link state} for where a circuit stands
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options = {}): Breaker => ({
  [TypeId]: new CircuitMap(rulesOf(options), maxLabelsOf(options))
})

const untyped: Record<Phase, (circuit: BreakerCircuit, now: number) => State> = {
  Closed: (circuit, now) => ({ _tag: "Closed", ...circuit.counts(now), share: circuit.share(now) }),
  Open: (circuit, now) => ({ _tag: "Open", retryAfter: Duration.millis(circuit.refusedFor(now)) }),
  HalfOpen: (circuit, now) => ({ _tag: "HalfOpen", retryAfter: Duration.millis(circuit.refusedFor(now)) })
}

const stateOf = (circuit: BreakerCircuit, now: number): State => untyped[circuit.phase](circuit, now)

const isNew: State = { _tag: "Closed", calls: 0, failures: 0, share: 1 }

/**
 * Where the circuit of a label stands.
 *
 * @category getters
 * @since 0.1.0
 */
export const state = (self: Breaker, label: string): Effect.Effect<State> =>
  Effect.map(Clock.Clock, (clock) => {
    const circuit = self[TypeId].all.get(label)
    return circuit === undefined ? isNew : stateOf(circuit, monotonicMillis(clock))
  })

/**
 * Where all circuits stand, by label. One that nothing is known of may be missing.
 *
 * @category getters
 * @since 0.1.0
 */
export const states = (self: Breaker): Effect.Effect<ReadonlyMap<string, State>> =>
  Effect.map(Clock.Clock, (clock) => {
    const now = monotonicMillis(clock)
    return new Map(Array.from(self[TypeId].all, ([label, circuit]) => [label, stateOf(circuit, now)]))
  })
