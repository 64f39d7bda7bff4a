/**
 * The circuit of one endpoint, as a state machine without any Effect.
 *
 * Time is told with each call, in milliseconds of the monotonic clock, and so is chance.
 *
 * @since 0.1.0
 */
import type { Account } from "./Account.ts"
import { atLeast } from "./Backoff.ts"
import { BreakerWindow } from "./BreakerWindow.ts"
import { CircuitOpen } from "./RetryError.ts"

/** The decoded options of a breaker. Times are in milliseconds. */
export interface Rules {
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

/** Where a circuit stands. */
export type Phase = "Closed" | "Open" | "HalfOpen"

/**
 * The right to one attempt. What comes of it is told with `settle`, exactly once. Each turn of the circuit has a ticket of
 * its own: what comes of an attempt that was let in before the last turn says nothing about the time after it.
 */
export interface Ticket {
  readonly isProbe: boolean
}

/** After closing, at least this share of the calls is let in. */
const leastShare = 0.1

/** The share of calls that is let in so long after closing. */
export const rampShare = (sinceClosed: number, ramp: number): number =>
  sinceClosed >= ramp ? 1 : Math.max(leastShare, sinceClosed / ramp)

/**
 * How long the `n`-th opening in a row lasts: it doubles from `openTime` up to `maxOpenTime`, and is spread over the upper
 * half of that, so that the processes that saw the same fault do not all probe at the same moment.
 */
export const openFor = (opening: number, { maxOpenTime, openTime }: Rules, u: number): number =>
  Math.min(maxOpenTime, openTime * 2 ** (opening - 1)) * (1 + u) / 2

/** The openings that still count after the circuit was closed for so long: each whole window takes one away. */
export const decayed = (openings: number, closedFor: number, window: number): number =>
  Math.max(0, openings - Math.floor(Math.max(0, closedFor) / window))

export class BreakerCircuit {
  readonly #rules: Rules
  readonly #onChange: (from: Phase, to: Phase, now: number) => void
  readonly #window: BreakerWindow
  #phase: Phase = "Closed"
  #ticket: Ticket = { isProbe: false }
  #consecutive = 0
  /** Openings that count for how long the next one lasts. */
  #openings = 0
  /** When it was closed last. */
  #closedAt = -Infinity
  /** While it is open, when it lets a probe in; while a probe is under way, when that one loses its place. */
  #until = -Infinity
  #isRamping = false
  /** Calls that may be let in on the ramp, in fractions of a call. */
  #rampCredit = 0
  #inFlight = 0

  constructor(rules: Rules, onChange: (from: Phase, to: Phase, now: number) => void) {
    this.#rules = rules
    this.#onChange = onChange
    this.#window = new BreakerWindow(rules.window)
  }

  get phase(): Phase {
    return this.#phase
  }

  /** Attempts that were let in and have not ended. */
  get inFlight(): number {
    return this.#inFlight
  }

  /** Calls that ended within the window, and those of them that failed. */
  counts(now: number): { readonly calls: number; readonly failures: number } {
    return { calls: this.#window.calls(now), failures: this.#window.failures(now) }
  }

  /** The share of calls that is let in now. */
  share(now: number): number {
    return this.#phase === "Closed" ? rampShare(now - this.#closedAt, this.#rules.ramp) : 0
  }

  /**
   * For how many milliseconds from `now` on it is sure that no attempt is let in; 0 when one may be. It changes nothing.
   */
  refusedFor(now: number): number {
    return this.#phase === "Closed" ? 0 : Math.max(0, this.#until - now)
  }

  /** Lets an attempt in, or not. */
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

  /** When an attempt that was not let in may ask again, in milliseconds from `now`: never 0. */
  retryAfter(now: number): number {
    if (this.#phase !== "Closed") return Math.max(1, this.#until - now)
    return Math.max(1, Math.min(this.#rules.ramp * leastShare, this.#closedAt + this.#rules.ramp - now))
  }

  /** Why an attempt was not let in. `cause` is the last failure, if there was one. */
  refusal<E>(account: Account, cause: E | undefined): CircuitOpen<E> {
    return new CircuitOpen({ ...account, state: this.#phase, cause })
  }

  /** What came of an attempt. */
  settle(ticket: Ticket, outcome: Outcome, { hint, now, u }: Circumstances): void {
    this.#inFlight--
    if (ticket !== this.#ticket) return
    if (outcome === "Ignored") {
      // The place of the probe is free again at once.
      if (ticket.isProbe) this.#until = now
      return
    }
    if (ticket.isProbe) return outcome === "Success" ? this.#close(now) : this.#open(now, u, hint)
    this.#window.add(now, outcome === "Failure")
    this.#consecutive = outcome === "Failure" ? this.#consecutive + 1 : 0
    if (outcome === "Failure" && this.#isTripped(now)) this.#open(now, u, hint)
  }

  /** Whether a new circuit would do the same as this one from now on. */
  isLikeNew(now: number): boolean {
    return this.#phase === "Closed" && this.#inFlight === 0 && this.#window.calls(now) === 0 &&
      this.#consecutive === 0 && now - this.#closedAt >= this.#rules.ramp &&
      decayed(this.#openings, now - this.#closedAt, this.#rules.window) === 0
  }

  #isTripped(now: number): boolean {
    const { consecutiveFailures, failureRate, minimumCalls } = this.#rules
    if (this.#consecutive >= consecutiveFailures) return true
    const calls = this.#window.calls(now)
    return calls >= minimumCalls && this.#window.failures(now) >= failureRate * calls
  }

  #passesRamp(now: number): boolean {
    const share = rampShare(now - this.#closedAt, this.#rules.ramp)
    if (share === 1) this.#isRamping = false
    // Every so many-th call, and not each with a chance: no run of luck lets a crowd in.
    this.#rampCredit += share
    if (this.#rampCredit < 1) return false
    this.#rampCredit -= 1
    return true
  }

  #open(now: number, u: number, hint: number | undefined): void {
    const closedFor = this.#phase === "Closed" ? now - this.#closedAt : 0
    this.#openings = decayed(this.#openings, closedFor, this.#rules.window) + 1
    this.#begin("Open", now, false)
    this.#until = now + atLeast(openFor(this.#openings, this.#rules, u), hint, u)
  }

  #close(now: number): void {
    this.#begin("Closed", now, false)
    this.#closedAt = now
    this.#consecutive = 0
    this.#window.clear()
    this.#isRamping = this.#rules.ramp > 0
    this.#rampCredit = 1
  }

  #begin(phase: Phase, now: number, isProbe: boolean): void {
    const from = this.#phase
    this.#ticket = { isProbe }
    this.#phase = phase
    if (from !== phase) this.#onChange(from, phase, now)
  }
}
