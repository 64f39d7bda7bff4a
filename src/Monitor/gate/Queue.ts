/**
 * The heart of the gate: who is let in now, and who waits.
 *
 * Everything here is synchronous. Nothing can happen between the look at the readings and the claim, which is what no burst
 * can pass.
 *
 * @since 0.1.0
 */
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import { Alarm } from "../../internal/Timer.ts"
import type { OpeningSite } from "../Alert.ts"
import type * as Ledger from "../Ledger.ts"
import { LedgerReservation } from "../Ledger.ts"
import { decide, isHopeless, isRetry, refusalOfLatecomer, ResourceExhausted } from "./Decision.ts"
import type { Capacity, Refusal, ReserveRequest } from "./Decision.ts"

/**
 * How many were let in during a window of time, and during the one before it.
 *
 * **Details**
 *
 * In each window at most twice as many are let in as in the window before, and one at least. So a thousand that have waited
 * do not dial in the tick in which room came back: they go in as 1, 2, 4, 8 and so on, ten windows in all. Where room comes
 * back bit by bit, the pace follows it, and after a pause it starts from one again. The idea is TCP's: slow standstill, and the
 * decay of a window that was not used (RFC 7661).
 *
 * @category models
 * @since 0.1.0
 */
export interface AdmissionRamp {
  /** The number of the window, counted on the monotonic clock. */
  readonly window: number
  readonly admitted: number
  readonly before: number
}

/** How long a window is, in milliseconds. */
export const windowMillis = 50

/**
 * A ramp on which nobody was let in.
 *
 * @category constructors
 * @since 0.1.0
 */
export const standstill: AdmissionRamp = { window: 0, admitted: 0, before: 0 }

/** The ramp in the window of this moment, which is a time of the monotonic clock in milliseconds. */
const movedTo = (ramp: AdmissionRamp, now: number): AdmissionRamp => {
  const window = Math.floor(now / windowMillis)
  if (window === ramp.window) return ramp
  return { window, admitted: 0, before: window === ramp.window + 1 ? ramp.admitted : 0 }
}

/**
 * The ramp after one more was let in at this moment, or `undefined` when nobody may be let in before the next window.
 *
 * @category combinators
 * @since 0.1.0
 */
export const admit = (ramp: AdmissionRamp, now: number): AdmissionRamp | undefined => {
  const moved = movedTo(ramp, now)
  return moved.admitted < Math.max(1, 2 * moved.before) ? { ...moved, admitted: moved.admitted + 1 } : undefined
}

/**
 * When the next window begins, in milliseconds of the monotonic clock.
 *
 * @category combinators
 * @since 0.1.0
 */
export const nextWindow = (now: number): number => (Math.floor(now / windowMillis) + 1) * windowMillis

/**
 * How long it takes at least until so many are let in, from a standstill: in `n` windows at most `2^n - 1` are.
 *
 * @category combinators
 * @since 0.1.0
 */
export const leastMillis = (waiting: number): number => Math.ceil(Math.log2(waiting + 1)) * windowMillis

/** How often the readings are looked at for room that nobody has told of, in milliseconds, while somebody waits. */
export const lookMillis = 100

/** What the queue needs from outside. */
export interface Environment {
  readonly ledger: Ledger.Ledger
  readonly capacity: () => Capacity
  /** The places in the program that hold the most. */
  readonly topSites: () => ReadonlyArray<OpeningSite>
  readonly clock: Clock.Clock
  /** Starts a fiber that outlives the caller. */
  readonly fork: (effect: Effect.Effect<void>) => Fiber.Fiber<void>
}

/** One request that waits. */
export interface Ticket {
  readonly request: ReserveRequest
  readonly fiber: Fiber.Fiber<unknown, unknown>
  readonly since: number
  readonly deadline: number
  /** Continues the fiber that waits. */
  resume: ((outcome: Effect.Effect<LedgerReservation, ResourceExhausted>) => void) | undefined
  /** What was granted. It is the ticket's from then on, whether or not the fiber has noticed yet. */
  claim: LedgerReservation | undefined
}

/** The monotonic clock in milliseconds. */
export const monotonic = (clock: Clock.Clock): number => Number(clock.monotonicTimeNanosUnsafe()) / 1e6

export class GateQueue {
  readonly #env: Environment
  readonly #alarm: Alarm
  /** Both lanes are in order of arrival: a set iterates so, and whoever gives up leaves it at no cost for the others. */
  readonly #firstAttempts = new Set<Ticket>()
  readonly #retries = new Set<Ticket>()
  readonly #lanes = [this.#firstAttempts, this.#retries]
  #ramp = standstill
  #isClosed = false

  constructor(env: Environment) {
    this.#env = env
    const { clock, fork } = env
    this.#alarm = new Alarm({ clock, fork, now: () => monotonic(clock), onDue: () => this.#ring() })
  }

  /** Requests that wait. */
  get waiting(): number {
    return this.#firstAttempts.size + this.#retries.size
  }

  /** Grants a request now, or says why not. */
  ask(request: ReserveRequest): LedgerReservation | Refusal {
    return this.#refusalOf(request) ?? new LedgerReservation(this.#env.ledger, request.descriptors ?? 1)
  }

  /** What would refuse a request now. Nothing is claimed, and nothing counted. */
  obstacle(request: ReserveRequest): ResourceExhausted | undefined {
    const refusal = this.#refusalOf(request)
    return refusal === undefined ? undefined : this.#errorOf(request, refusal)
  }

  /** Whether it makes sense for a refused request to wait. */
  canWait(request: ReserveRequest): boolean {
    return !this.#isClosed && !isHopeless(request, this.#env.capacity())
  }

  ticket(request: ReserveRequest, maxWait: number, fiber: Fiber.Fiber<unknown, unknown>): Ticket {
    const since = monotonic(this.#env.clock)
    return { request, fiber, since, deadline: since + maxWait, resume: undefined, claim: undefined }
  }

  /** Puts a refused request at the end of its lane. */
  join(ticket: Ticket): void {
    this.#laneOf(ticket.request).add(ticket)
    this.#alarm.hold(true)
    this.#alarm.at(ticket.deadline)
    // Its fiber may have paused since it was refused, and nobody was told of room that came back meanwhile.
    this.look()
  }

  /** Ends a ticket whose fiber goes on without it: it leaves the queue, or what it was granted is given back. */
  abandon(ticket: Ticket): void {
    if (ticket.claim !== undefined) this.end(ticket.claim)
    else if (this.#leave(ticket)) this.look()
  }

  /** Ends a claim. */
  end(claim: LedgerReservation): void {
    claim.end()
    this.look()
  }

  /** Looks whether there is room for those that wait. It is to be called whenever there may be more than before. */
  look(): void {
    if (this.waiting === 0) return
    const now = monotonic(this.#env.clock)
    for (let next = this.#next(); next !== undefined; next = this.#next()) {
      const ramp = admit(this.#ramp, now)
      if (ramp === undefined) return this.#alarm.at(nextWindow(now))
      if (decide(next.request, this.#env.capacity()) !== undefined) return this.#alarm.at(now + lookMillis)
      this.#ramp = ramp
      next.claim = new LedgerReservation(this.#env.ledger, next.request.descriptors ?? 1)
      this.#settle(next, Effect.succeed(next.claim))
    }
  }

  /** The error of a refusal that is delivered now, after so long and with so many ahead. */
  refuse(
    request: ReserveRequest,
    refusal: Refusal,
    queued: { readonly ahead?: number; readonly waited?: number } = {}
  ): ResourceExhausted {
    this.#env.ledger.refused += 1
    return this.#errorOf(request, refusal, queued)
  }

  /** Refuses all that wait, and whoever comes later waits no more. */
  close(): void {
    this.#isClosed = true
    this.#refuseIf(() => true)
    this.#alarm.stop()
  }

  #refusalOf(request: ReserveRequest): Refusal | undefined {
    const capacity = this.#env.capacity()
    return decide(request, capacity) ??
      (this.#aheadOf(request) > 0 ? refusalOfLatecomer(request, capacity) : undefined)
  }

  #errorOf(
    request: ReserveRequest,
    refusal: Refusal,
    { ahead = this.#aheadOf(request), waited = 0 }: { readonly ahead?: number; readonly waited?: number } = {}
  ): ResourceExhausted {
    return new ResourceExhausted({
      ...refusal,
      label: request.label,
      ahead,
      waited: Duration.millis(Math.round(waited)),
      retryAfter: Duration.millis(Math.max(lookMillis, leastMillis(ahead + 1))),
      topSites: this.#env.topSites()
    })
  }

  #laneOf(request: ReserveRequest): Set<Ticket> {
    return isRetry(request) ? this.#retries : this.#firstAttempts
  }

  /** How many are served before a request that comes now. One that claims nothing is in nobody's way. */
  #aheadOf(request: ReserveRequest): number {
    if (request.descriptors === 0) return 0
    return isRetry(request) ? this.waiting : this.#firstAttempts.size
  }

  #next(): Ticket | undefined {
    for (const lane of this.#lanes) for (const ticket of lane) return ticket
    return undefined
  }

  /** Takes a ticket out of the queue and continues its fiber: soon, but not in this step, which may be half done. */
  #settle(ticket: Ticket, outcome: Effect.Effect<LedgerReservation, ResourceExhausted>): void {
    this.#leave(ticket)
    ticket.fiber.currentDispatcher.scheduleTask(() => ticket.resume?.(outcome), 0)
  }

  #ring(): number {
    const now = monotonic(this.#env.clock)
    this.#refuseIf(({ deadline }) => deadline <= now)
    this.look()
    let next = Infinity
    for (const lane of this.#lanes) for (const { deadline } of lane) next = Math.min(next, deadline)
    return next
  }

  /** Refuses those of the queue that meet a condition. */
  #refuseIf(isRefused: (ticket: Ticket) => boolean): void {
    const now = monotonic(this.#env.clock)
    let ahead = 0
    for (const lane of this.#lanes) {
      for (const ticket of lane) {
        if (isRefused(ticket)) {
          const { request, since } = ticket
          const capacity = this.#env.capacity()
          const refusal = decide(request, capacity) ?? refusalOfLatecomer(request, capacity)
          this.#settle(ticket, Effect.fail(this.refuse(request, refusal, { ahead, waited: now - since })))
        } else ahead += 1
      }
    }
  }

  #leave(ticket: Ticket): boolean {
    const waited = this.#laneOf(ticket.request).delete(ticket)
    if (this.waiting === 0) this.#alarm.hold(false)
    return waited
  }
}
