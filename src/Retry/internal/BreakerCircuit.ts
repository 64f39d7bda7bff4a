/**
 * The circuit of one endpoint, as a state machine without Effects.
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

/** The outcome of an attempt. `Ignored` says nothing about the endpoint: an interruption, or a failure with another cause. */
export type Outcome = "Success" | "Failure" | "Ignored"

/** When an attempt ended, and further inputs of the decision that follows. */
export interface Circumstances {
  readonly now: number
  /** A random number from 0 (inclusive) to 1 (exclusive). */
  readonly u: number
  /** The wait that the endpoint asked for, in milliseconds. */
  readonly hint?: number | undefined
}

/** A call whose last attempt has failed. */
export interface FailedCall {
  readonly now: number
  /** Attempts of this call that have failed. */
  readonly failures: number
  /** The duration of the last one, in milliseconds. */
  readonly lived: number
}

/** The state of a circuit. */
export type Phase = "Closed" | "Open" | "HalfOpen"

/**
 * The permission for one attempt. Its outcome is passed to `settle` exactly once. Each change of phase makes a new ticket, and
 * outcomes of older tickets are ignored: an attempt from before the change says nothing about the time after it.
 */
export interface Ticket {
  readonly isProbe: boolean
}

/**
 * A window consists of this many parts, and moves by whole parts. So a call counts for up to one part longer than the window.
 */
const parts = 10

/**
 * Counts the calls and failures of a sliding window. Times are milliseconds of the monotonic clock, and arguments.
 *
 * @category models
 * @since 0.1.0
 */
export class BreakerWindow {
  readonly #partMillis: number
  readonly #calls = new Array<number>(parts).fill(0)
  readonly #failures = new Array<number>(parts).fill(0)
  /** The number of the current part, from the start of the clock. */
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

  /** Empties the parts that have passed. When the clock goes back, the current part stays. */
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

/** How many concurrent attempts a circuit admits when it has just closed. Each success after that allows one more. */
const leastLimit = 2

/** While the ramp limits attempts, a refused attempt may ask again after this share of the ramp's duration. */
const askAgainShare = 0.1

/** An open period lasts this share of the downtime. */
const downShare = 0.1

/**
 * A failed attempt that took less than this, in milliseconds, cost the server little: the connection was refused, or several
 * calls lost one connection together. Its retry is always granted.
 */
const quickFailure = 100

/** The share of the ramp that has passed at this time after closing. */
export const rampShare = (sinceClosed: number, ramp: number): number => sinceClosed >= ramp ? 1 : sinceClosed / ramp

/**
 * The duration of an open period: a tenth of the downtime, but at least `openTime` and at most `maxOpenTime`. Of this time a
 * random value between half and all is taken, so that several processes do not probe at the same moment.
 */
export const openFor = (down: number, { maxOpenTime, openTime }: CircuitRules, u: number): number =>
  Math.min(maxOpenTime, Math.max(openTime, down * downShare)) * (1 + u) / 2

/**
 * The downtime that still counts after the circuit was closed for this time: each whole window halves it. It is 0 when it is
 * too short to lengthen an open period.
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
  /** The downtime that counts for the next open period, in milliseconds. */
  #down = 0
  /** When the last open period began. */
  #openedAt = 0
  /** When it last closed. */
  #closedAt = -Infinity
  /** While the circuit is open: when a probe may be made. During a probe: when its lease ends. */
  #until = -Infinity
  #isRamping = false
  /** The most concurrent attempts while the ramp limits them. */
  #limit = leastLimit
  #inFlight = 0
  /** Attempts in flight that were admitted before the last change of phase. */
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

  /** The share of the ramp that has passed: 1 without a limit, 0 while the circuit is not closed. */
  share(now: number): number {
    return this.#phase === "Closed" ? rampShare(now - this.#closedAt, this.#rules.ramp) : 0
  }

  /** For how many milliseconds from `now` no attempt is admitted; 0 when one may be. It changes nothing. */
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
    // If a probe is still running, this attempt replaces it, and the outcome of the old probe is ignored.
    this.#begin("HalfOpen", now, true)
    this.#until = now + this.#rules.probeLease
    this.#inFlight++
    return this.#ticket
  }

  /** When a refused attempt may ask again, in milliseconds from `now`: never 0. */
  retryAfter(now: number): number {
    if (this.#phase !== "Closed") return Math.max(1, this.#until - now)
    return Math.max(1, Math.min(this.#rules.ramp * askAgainShare, this.#closedAt + this.#rules.ramp - now))
  }

  /** Why an attempt was refused. `cause` is the last failure, if there was one. */
  refusal<E>(summary: RetrySummary, cause: E | undefined): CircuitOpen<E> {
    return new CircuitOpen({ ...summary, state: this.#phase, consecutiveFailures: this.#consecutive, cause })
  }

  /**
   * For how many milliseconds from `now` a failed call may not be retried; 0 when it may be. A retry helps if one call has
   * failed, and only adds load if every call fails. So retries are refused after half as many consecutive failures as open the
   * circuit, unless all of these failures are of this call.
   */
  deniesRetryFor(call: FailedCall): number {
    const refusedFor = this.refusedFor(call.now)
    return this.#isDoubtful(call) ? Math.max(refusedFor, this.#rules.openTime) : refusedFor
  }

  /** Takes the outcome of an attempt. */
  settle(ticket: Ticket, outcome: Outcome, { hint, now, u }: Circumstances): void {
    this.#inFlight--
    if (ticket !== this.#ticket) {
      this.#stragglers--
      return
    }
    if (outcome === "Ignored") {
      // The next attempt becomes the probe, without a wait.
      if (ticket.isProbe) this.#until = now
      return
    }
    if (ticket.isProbe) return outcome === "Success" ? this.#close(now) : this.#open(now, u, hint)
    this.#window.add(now, outcome === "Failure")
    this.#consecutive = outcome === "Failure" ? this.#consecutive + 1 : 0
    if (outcome === "Failure" && this.#isTripped(now)) this.#open(now, u, hint)
    else if (this.#isRamping && outcome === "Success") this.#limit++
  }

  /** Whether this circuit equals a new one. */
  isLikeNew(now: number): boolean {
    return this.#phase === "Closed" && this.#inFlight === 0 && this.#window.calls(now) === 0 &&
      this.#consecutive === 0 && now - this.#closedAt >= this.#rules.ramp &&
      decayed(this.#down, now - this.#closedAt, this.#rules) === 0
  }

  /**
   * How much information would be lost with this circuit: `Infinity` while it is not closed, else the number of its counted
   * calls.
   */
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
