/**
 * The circuit of one endpoint, as a state machine without any Effect.
 *
 * The time, in milliseconds of the monotonic clock, and random numbers are arguments.
 *
 * @since 0.1.0
 */
import { CircuitOpen, type RetrySummary } from "../RetryError.ts"
import { atLeast } from "./Backoff.ts"

/** The decoded options of a breaker. Times are in milliseconds. */
export interface CircuitRules {
  readonly consecutiveFailures: number
  readonly failureRate: number
  readonly minimumCalls: number
  readonly window: number
  readonly openTime: number
  readonly maxOpenTime: number
  readonly probeLease: number
  readonly ramp: number
}

/** What an attempt says about the endpoint. `Ignored` says nothing: it was interrupted, or failed for another reason. */
export type Outcome = "Success" | "Failure" | "Ignored"

/** When an attempt ended, and what else its outcome depends on. */
export interface Circumstances {
  readonly now: number
  /** A random number from 0 (inclusive) to 1 (exclusive). */
  readonly u: number
  /** For how long the endpoint asked us to stay away, in milliseconds. */
  readonly hint?: number | undefined
}

/** A call whose last attempt has failed. */
export interface FailedCall {
  readonly now: number
  /** Attempts of this call that have failed. */
  readonly failures: number
  /** For how long the last one was under way, in milliseconds. */
  readonly lived: number
}

/** Where a circuit stands. */
export type Phase = "Closed" | "Open" | "HalfOpen"

/**
 * The right to one attempt. `settle` takes what comes of it, exactly once. Each turn of the circuit has a ticket of its own:
 * what comes of an attempt that was admitted before the last turn says nothing about the time after it.
 */
export interface Ticket {
  readonly isProbe: boolean
}

/** A window is kept in so many parts: what is older than a whole window may count for one part longer, at most. */
const parts = 10

/**
 * Counts of the last so many milliseconds. Time is that of the monotonic clock, and an argument of each call.
 *
 * @category models
 * @since 0.1.0
 */
export class BreakerWindow {
  readonly #partMillis: number
  readonly #calls = new Array<number>(parts).fill(0)
  readonly #failures = new Array<number>(parts).fill(0)
  /** The number of the part that is being filled, counted from the start of the clock. */
  #current = 0
  #totalCalls = 0
  #totalFailures = 0

  constructor(windowMillis: number) {
    this.#partMillis = windowMillis / parts
  }

  calls(now: number): number {
    this.#moveTo(now)
    return this.#totalCalls
  }

  failures(now: number): number {
    this.#moveTo(now)
    return this.#totalFailures
  }

  add(now: number, isFailure: boolean): void {
    this.#moveTo(now)
    const index = this.#current % parts
    this.#calls[index] = (this.#calls[index] ?? 0) + 1
    this.#totalCalls++
    if (!isFailure) return
    this.#failures[index] = (this.#failures[index] ?? 0) + 1
    this.#totalFailures++
  }

  clear(): void {
    this.#calls.fill(0)
    this.#failures.fill(0)
    this.#totalCalls = 0
    this.#totalFailures = 0
  }

  /** Empties the parts that have gone by. A clock that went back goes on filling the part it was in. */
  #moveTo(now: number): void {
    const part = Math.floor(now / this.#partMillis)
    if (part <= this.#current) return
    if (part - this.#current >= parts) this.clear()
    else for (let passed = this.#current + 1; passed <= part; passed++) this.#empty(passed % parts)
    this.#current = part
  }

  #empty(index: number): void {
    this.#totalCalls -= this.#calls[index] ?? 0
    this.#totalFailures -= this.#failures[index] ?? 0
    this.#calls[index] = 0
    this.#failures[index] = 0
  }
}

/** How many attempts may be under way when the circuit has just closed. Each success since then allows one more. */
const leastLimit = 2

/** On the ramp, an attempt that was refused may ask again after this share of the ramp. */
const askAgainShare = 0.1

/** An opening lasts this share of the time for which the endpoint has been down. */
const downShare = 0.1

/**
 * A failed attempt that took less than this, in milliseconds, has cost the server little: a refused connection, or several
 * calls that lost one connection together. Its retry is no part of a storm.
 */
const quickFailure = 100

/** How much of the ramp has passed so long after closing. */
export const rampShare = (sinceClosed: number, ramp: number): number => sinceClosed >= ramp ? 1 : sinceClosed / ramp

/**
 * How long an opening lasts when the endpoint has been down for so long: a tenth of that, within `openTime` and `maxOpenTime`.
 * It is spread over the upper half, so that the processes that saw the same fault do not all probe at the same moment.
 */
export const openFor = (down: number, { maxOpenTime, openTime }: CircuitRules, u: number): number =>
  Math.min(maxOpenTime, Math.max(openTime, down * downShare)) * (1 + u) / 2

/**
 * What still counts of the time for which the endpoint was down, after the circuit was closed for so long: each whole window
 * halves it. What makes no opening longer counts no more.
 */
export const decayed = (down: number, closedFor: number, { openTime, window }: CircuitRules): number => {
  const left = down / 2 ** Math.floor(Math.max(0, closedFor) / window)
  return left * downShare > openTime ? left : 0
}

export class BreakerCircuit {
  readonly #rules: CircuitRules
  readonly #onChange: (from: Phase, to: Phase, now: number) => void
  readonly #window: BreakerWindow
  #phase: Phase = "Closed"
  #ticket: Ticket = { isProbe: false }
  #consecutive = 0
  /** For how long the endpoint was down, as far as it counts for the next opening, in milliseconds. */
  #down = 0
  /** When the last opening began. */
  #openedAt = 0
  /** When it was closed last. */
  #closedAt = -Infinity
  /** While it is open, when a probe may be made; while a probe is under way, when that one loses its place. */
  #until = -Infinity
  #isRamping = false
  /** On the ramp, how many attempts may be under way. */
  #limit = leastLimit
  #inFlight = 0
  /** Attempts in flight that were admitted before the last turn. */
  #stragglers = 0

  constructor(rules: CircuitRules, onChange: (from: Phase, to: Phase, now: number) => void) {
    this.#rules = rules
    this.#onChange = onChange
    this.#window = new BreakerWindow(rules.window)
  }

  get phase(): Phase {
    return this.#phase
  }

  /** Attempts that were admitted and have not ended. */
  get inFlight(): number {
    return this.#inFlight
  }

  /** Calls that ended within the window, and those of them that failed. */
  counts(now: number): { readonly calls: number; readonly failures: number } {
    return { calls: this.#window.calls(now), failures: this.#window.failures(now) }
  }

  /** How much of the ramp has passed: 1 when no limit is in force, 0 while it is not closed. */
  share(now: number): number {
    return this.#phase === "Closed" ? rampShare(now - this.#closedAt, this.#rules.ramp) : 0
  }

  /**
   * For how many milliseconds from `now` on it is sure that no attempt is admitted; 0 when one may be. It changes nothing.
   */
  refusedFor(now: number): number {
    return this.#phase === "Closed" ? 0 : Math.max(0, this.#until - now)
  }

  /** The ticket of an attempt, or `undefined` if it may not be made. */
  admit(now: number): Ticket | undefined {
    if (this.#phase === "Closed") {
      if (this.#isRamping && !this.#passesRamp(now)) return undefined
      this.#inFlight++
      return this.#ticket
    }
    if (now < this.#until) return undefined
    // A probe that has not come back by now loses its place, and whatever comes of it says nothing.
    this.#begin("HalfOpen", now, true)
    this.#until = now + this.#rules.probeLease
    this.#inFlight++
    return this.#ticket
  }

  /** When an attempt that was refused may ask again, in milliseconds from `now`: never 0. */
  retryAfter(now: number): number {
    if (this.#phase !== "Closed") return Math.max(1, this.#until - now)
    return Math.max(1, Math.min(this.#rules.ramp * askAgainShare, this.#closedAt + this.#rules.ramp - now))
  }

  /** Why an attempt was refused. `cause` is the last failure, if there was one. */
  refusal<E>(summary: RetrySummary, cause: E | undefined): CircuitOpen<E> {
    return new CircuitOpen({ ...summary, state: this.#phase, consecutiveFailures: this.#consecutive, cause })
  }

  /**
   * For how many milliseconds from `now` on a call that has failed may not be retried; 0 when it may be. A retry helps against
   * an accident that hits one call, and is load without use where each call fails: when half of the failures that open the
   * circuit have come in a row, and not all of them are of this call, it is as if the circuit had opened for retries already.
   */
  deniesRetryFor(call: FailedCall): number {
    const refusedFor = this.refusedFor(call.now)
    return this.#isDoubtful(call) ? Math.max(refusedFor, this.#rules.openTime) : refusedFor
  }

  /** What came of an attempt. */
  settle(ticket: Ticket, outcome: Outcome, { hint, now, u }: Circumstances): void {
    this.#inFlight--
    if (ticket !== this.#ticket) {
      this.#stragglers--
      return
    }
    if (outcome === "Ignored") {
      // The place of the probe is free again at once.
      if (ticket.isProbe) this.#until = now
      return
    }
    if (ticket.isProbe) return outcome === "Success" ? this.#close(now) : this.#open(now, u, hint)
    this.#window.add(now, outcome === "Failure")
    this.#consecutive = outcome === "Failure" ? this.#consecutive + 1 : 0
    if (outcome === "Failure" && this.#isTripped(now)) this.#open(now, u, hint)
    else if (this.#isRamping && outcome === "Success") this.#limit++
  }

  /** Whether a new circuit would do the same as this one from now on. */
  isLikeNew(now: number): boolean {
    return this.#phase === "Closed" && this.#inFlight === 0 && this.#window.calls(now) === 0 &&
      this.#consecutive === 0 && now - this.#closedAt >= this.#rules.ramp &&
      decayed(this.#down, now - this.#closedAt, this.#rules) === 0
  }

  /** How much would be lost with this circuit: everything while it is not closed, else what it has counted. */
  worth(now: number): number {
    return this.#phase === "Closed" ? this.#inFlight + this.#consecutive + this.#window.calls(now) : Infinity
  }

  #isDoubtful({ failures, lived, now }: FailedCall): boolean {
    return lived >= quickFailure && this.#consecutive >= Math.floor(this.#rules.consecutiveFailures / 2) &&
      this.#consecutive > failures && this.#window.failures(now) > failures
  }

  #isTripped(now: number): boolean {
    const { consecutiveFailures, failureRate, minimumCalls } = this.#rules
    if (this.#consecutive >= consecutiveFailures) return true
    const calls = this.#window.calls(now)
    return calls >= minimumCalls && this.#window.failures(now) >= failureRate * calls
  }

  #passesRamp(now: number): boolean {
    if (now - this.#closedAt >= this.#rules.ramp) {
      this.#isRamping = false
      return true
    }
    return this.#inFlight - this.#stragglers < this.#limit
  }

  #open(now: number, u: number, hint: number | undefined): void {
    this.#down = this.#phase === "Closed"
      ? decayed(this.#down, now - this.#closedAt, this.#rules)
      : this.#down + now - this.#openedAt
    this.#openedAt = now
    this.#begin("Open", now, false)
    this.#until = now + atLeast(openFor(this.#down, this.#rules, u), hint, u)
  }

  #close(now: number): void {
    this.#begin("Closed", now, false)
    this.#down += now - this.#openedAt
    this.#closedAt = now
    this.#consecutive = 0
    this.#window.clear()
    this.#isRamping = this.#rules.ramp > 0
    this.#limit = leastLimit
  }

  #begin(phase: Phase, now: number, isProbe: boolean): void {
    const from = this.#phase
    this.#ticket = { isProbe }
    this.#phase = phase
    this.#stragglers = this.#inFlight
    if (from !== phase) this.#onChange(from, phase, now)
  }
}
