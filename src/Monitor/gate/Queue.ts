/**
 * The queue of the gate: it admits requests, or lets them wait for room.
 *
 * Everything here is synchronous. The reading and the reservation happen in one step, so that many requests at once cannot all
 * pass by the same reading.
 *
 * @since 0.1.0
 */
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import { monotonicMillis } from "../../internal/MonotonicTime.ts"
import { safeLabel } from "../../internal/SafeText.ts"
import { Alarm } from "../../internal/Timer.ts"
import type { OpeningSite } from "../Alert.ts"
import * as Ledger from "../Ledger.ts"
import { decide, isHopeless, isRetry, refusalBehindOthers, ResourceExhausted } from "./Decision.ts"
import type { Capacity, Refusal, ReserveRequest } from "./Decision.ts"
import type { GateObservers } from "./Observers.ts"

/**
 * How many requests were admitted during a window of time, and during the window before.
 *
 * **Details**
 *
 * A window admits at most twice as many requests as the window before, and at least one. So a thousand waiting requests do not
 * all dial at the moment when room becomes free: 1, 2, 4, 8 and so on are admitted, in ten windows. After a window without an
 * admission the numbers begin with 1 again. This is TCP's slow start, with the decay of an unused window (RFC 7661).
 *
 * @category models
 * @since 0.1.0
 */
export interface AdmissionRamp {
  /** The number of the window on the monotonic clock. */
  readonly window: number
  readonly admitted: number
  readonly before: number
}

/** The length of a window in milliseconds. */
export const windowMillis = 50

/**
 * The ramp before the first admission.
 *
 * @category constructors
 * @since 0.1.0
 */
export const standstill: AdmissionRamp = { window: 0, admitted: 0, before: 0 }

/** The ramp in the present window. `now` is in monotonic milliseconds. */
const movedTo = (ramp: AdmissionRamp, now: number): AdmissionRamp => {
  const window = Math.floor(now / windowMillis)
  if (window === ramp.window) return ramp
  return { window, admitted: 0, before: window === ramp.window + 1 ? ramp.admitted : 0 }
}

/**
 * The ramp after one more admission, or `undefined` if this window admits no more.
 *
 * @category combinators
 * @since 0.1.0
 */
export const admit = (ramp: AdmissionRamp, now: number): AdmissionRamp | undefined => {
  const moved = movedTo(ramp, now)
  return moved.admitted < Math.max(1, 2 * moved.before) ? { ...moved, admitted: moved.admitted + 1 } : undefined
}

/**
 * When the next window begins, in monotonic milliseconds.
 *
 * @category combinators
 * @since 0.1.0
 */
export const nextWindow = (now: number): number => (Math.floor(now / windowMillis) + 1) * windowMillis

/**
 * The shortest time in which a ramp without admissions so far admits this many requests: `n` windows admit at most `2^n - 1`.
 *
 * @category combinators
 * @since 0.1.0
 */
export const leastMillis = (waiting: number): number => Math.ceil(Math.log2(waiting + 1)) * windowMillis

/** While requests wait, the gate takes readings again after this many milliseconds. */
export const lookMillis = 100

/** What a queue is made from. */
export interface QueueOptions {
  readonly ledger: Ledger.Ledger
  readonly capacity: () => Capacity
  /** The places in the program that have most connections open. */
  readonly topSites: () => ReadonlyArray<OpeningSite>
  readonly observers: GateObservers
  readonly clock: Clock.Clock
  /** Starts a fiber that outlives the caller. */
  readonly fork: (effect: Effect.Effect<void>) => Fiber.Fiber<void>
}

/** A waiting request. */
export interface Ticket {
  readonly request: ReserveRequest
  readonly fiber: Fiber.Fiber<unknown, unknown>
  readonly since: number
  readonly deadline: number
  /** Resumes the waiting fiber. */
  resume: ((outcome: Effect.Effect<Ledger.LedgerReservation, ResourceExhausted>) => void) | undefined
  /** The granted reservation. It exists before the fiber resumes, so an interruption in between must end it. */
  reservation: Ledger.LedgerReservation | undefined
}

/** How long a refused request has waited, and how many are ahead of it. */
interface Queued {
  readonly ahead?: number
  readonly waited?: number
}

/** The waiting requests of one gate. */
export class GateQueue {
  readonly #options: QueueOptions
  readonly #alarm: Alarm
  /** The queue has two lanes, each a `Set`: it keeps the order of arrival, and removes a ticket at constant cost. */
  readonly #firstAttempts = new Set<Ticket>()
  readonly #retries = new Set<Ticket>()
  readonly #lanes = [this.#firstAttempts, this.#retries]
  #ramp = standstill
  #isClosed = false

  constructor(options: QueueOptions) {
    this.#options = options
    const { clock, fork } = options
    this.#alarm = new Alarm({ clock, fork, now: () => monotonicMillis(clock), onDue: () => this.#onDue() })
  }

  /** The number of waiting requests. */
  get waiting(): number {
    return this.#firstAttempts.size + this.#retries.size
  }

  /** Grants a request now, or returns its refusal. */
  ask(request: ReserveRequest): Ledger.LedgerReservation | Refusal {
    return this.#refusalOf(request) ?? this.#admit(request, 0)
  }

  /** The error that would refuse a request now. Nothing is reserved or counted. */
  obstacle(request: ReserveRequest): ResourceExhausted | undefined {
    const refusal = this.#refusalOf(request)
    return refusal === undefined ? undefined : this.#errorOf(request, refusal)
  }

  /** Whether a refused request may wait. */
  canWait(request: ReserveRequest): boolean {
    return !this.#isClosed && !isHopeless(request, this.#options.capacity())
  }

  ticket(request: ReserveRequest, maxWait: number, fiber: Fiber.Fiber<unknown, unknown>): Ticket {
    const since = monotonicMillis(this.#options.clock)
    return { request, fiber, since, deadline: since + maxWait, resume: undefined, reservation: undefined }
  }

  /** Adds a refused request at the end of its lane. */
  join(ticket: Ticket): void {
    this.#laneOf(ticket.request).add(ticket)
    this.#alarm.hold(true)
    this.#alarm.at(ticket.deadline)
    // If the fiber has paused since the refusal, room may have become free.
    this.look()
  }

  /** Ends the ticket of an interrupted fiber: it leaves the queue, or its reservation ends. */
  abandon(ticket: Ticket): void {
    if (ticket.reservation !== undefined) this.end(ticket.reservation)
    else if (this.#leave(ticket)) this.look()
  }

  /** Ends a reservation. */
  end(reservation: Ledger.LedgerReservation): void {
    reservation.end()
    this.look()
  }

  /** Admits waiting requests for which there is room. It has to be called whenever room may have become free. */
  look(): void {
    if (this.waiting === 0) return
    const now = monotonicMillis(this.#options.clock)
    for (let next = this.#next(); next !== undefined; next = this.#next()) {
      const ramp = admit(this.#ramp, now)
      if (ramp === undefined) return this.#alarm.at(nextWindow(now))
      if (decide(next.request, this.#options.capacity()) !== undefined) return this.#alarm.at(now + lookMillis)
      this.#ramp = ramp
      next.reservation = this.#admit(next.request, now - next.since)
      this.#settle(next, Effect.succeed(next.reservation))
    }
  }

  /** Counts a refusal, and makes its error. */
  refuse(request: ReserveRequest, refusal: Refusal, queued: Queued = {}): ResourceExhausted {
    const { ledger, observers } = this.#options
    ledger.refusals[refusal.resource] += 1
    observers.refused?.(refusal.resource)
    return this.#errorOf(request, refusal, queued)
  }

  /** Refuses all waiting requests. Later requests do not wait. */
  close(): void {
    this.#isClosed = true
    this.#refuseIf(() => true)
    this.#alarm.stop()
  }

  #admit(request: ReserveRequest, waited: number): Ledger.LedgerReservation {
    const { ledger, observers } = this.#options
    const reservation = new Ledger.LedgerReservation(ledger, request.descriptors ?? 1)
    observers.admitted?.(waited)
    return reservation
  }

  #refusalOf(request: ReserveRequest): Refusal | undefined {
    const capacity = this.#options.capacity()
    return decide(request, capacity) ??
      (this.#aheadOf(request) > 0 ? refusalBehindOthers(request, capacity) : undefined)
  }

  #errorOf(request: ReserveRequest, refusal: Refusal, queued: Queued = {}): ResourceExhausted {
    const { ahead = this.#aheadOf(request), waited = 0 } = queued
    return new ResourceExhausted({
      ...refusal,
      label: safeLabel(request.label),
      ahead,
      waited: Duration.millis(Math.round(waited)),
      retryAfter: Duration.millis(Math.max(lookMillis, leastMillis(ahead + 1))),
      topSites: this.#options.topSites()
    })
  }

  #laneOf(request: ReserveRequest): Set<Ticket> {
    return isRetry(request) ? this.#retries : this.#firstAttempts
  }

  /** How many waiting requests are served before this one. A request that reserves nothing does not wait. */
  #aheadOf(request: ReserveRequest): number {
    if (request.descriptors === 0) return 0
    return isRetry(request) ? this.waiting : this.#firstAttempts.size
  }

  #next(): Ticket | undefined {
    for (const lane of this.#lanes) for (const ticket of lane) return ticket
    return undefined
  }

  /** Removes a ticket and resumes its fiber, but only after this step, which may still change the queue. */
  #settle(ticket: Ticket, outcome: Effect.Effect<Ledger.LedgerReservation, ResourceExhausted>): void {
    this.#leave(ticket)
    ticket.fiber.currentDispatcher.scheduleTask(() => ticket.resume?.(outcome), 0)
  }

  #onDue(): number {
    const now = monotonicMillis(this.#options.clock)
    this.#refuseIf(({ deadline }) => deadline <= now)
    this.look()
    let next = Infinity
    for (const lane of this.#lanes) for (const { deadline } of lane) next = Math.min(next, deadline)
    return next
  }

  /** Refuses the tickets that meet a condition. */
  #refuseIf(isRefused: (ticket: Ticket) => boolean): void {
    const now = monotonicMillis(this.#options.clock)
    let ahead = 0
    for (const lane of this.#lanes) {
      for (const ticket of lane) {
        if (isRefused(ticket)) {
          const { request, since } = ticket
          const capacity = this.#options.capacity()
          const refusal = decide(request, capacity) ?? refusalBehindOthers(request, capacity)
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
