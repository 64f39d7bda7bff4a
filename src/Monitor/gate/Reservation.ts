/**
 * The gate as Effects: reserving, waiting, and what a failure has to do with lack of room.
 *
 * @since 0.1.0
 */
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import { checkOptions } from "../../internal/Options.ts"
import type { OpeningSite } from "../Alert.ts"
import * as Ledger from "../Ledger.ts"
import { LedgerReservation } from "../Ledger.ts"
import { defaultHeadroom } from "../Options.ts"
import type { Resolved } from "../Options.ts"
import { fewestHeld, usageOf } from "../readings/Probes.ts"
import type { DescriptorGauge, Readings } from "../readings/Probes.ts"
import type { Reserve, ReserveUnsafe, ShortageRequest } from "../Service.ts"
import type { Gauge } from "../Usage.ts"
import { ResourceExhausted, shortageOf } from "./Decision.ts"
import type { Capacity, ReserveRequest } from "./Decision.ts"
import { GateQueue, lookMillis, monotonic } from "./Queue.ts"

/** For so long the readings of a process stand, in nanoseconds: a fifth of a millisecond. */
export const validFor = 200_000n

/** For so long they stand where there are no limits: the time of any clock is before that. */
export const validForever = 2n ** 64n

/**
 * At most so many descriptors are opened in that time by somebody who does not ask. Opening a file or a socket takes Node 3 to
 * 30 microseconds, so that one thread opens 70 of them; workers and the threads of libuv are within the rest.
 */
export const foreign = 250

const valueOf = ({ limit }: Gauge): number => limit._tag === "Known" ? limit.value : Infinity

/** What is left of a limit. A figure that cannot be read leaves nothing: the gate itself knows what to do about that. */
const roomIn = (gauge: Gauge): number => {
  if (gauge.limit._tag !== "Known") return Infinity
  return gauge.used._tag === "Known" ? gauge.limit.value - gauge.used.value : 0
}

/**
 * Openings that may be admitted without another look at the readings.
 *
 * **Details**
 *
 * A look costs several microseconds. Near the limit nothing less would do; far from it one look answers for those first
 * attempts that come in the next fifth of a millisecond. Every claim since the look counts as a descriptor that is open, also
 * when it has ended, and to these is added what others may have opened: no opening is admitted for which there would be no
 * room in the worst case. Connections are counted by the ledger, and their count is exact at any time.
 *
 * @category models
 * @since 0.1.0
 */
export class ReadingCache {
  readonly #ledger: Ledger.Ledger
  readonly #validFor: bigint
  #until = -1n
  #descriptors = 0
  #connectionLimit = 0
  #claimed = 0

  constructor(ledger: Ledger.Ledger, validFor: bigint) {
    this.#ledger = ledger
    this.#validFor = validFor
  }

  /** Learns from readings that were taken now, a time in nanoseconds of the monotonic clock. */
  learn({ headroom, usage }: Capacity, now: bigint): void {
    this.#until = roomIn(usage.memory) > 0 ? now + this.#validFor : -1n
    this.#descriptors = roomIn(usage.descriptors) - usage.reserved - headroom - foreign
    this.#connectionLimit = valueOf(usage.connections)
    this.#claimed = this.#ledger.claimed
  }

  /** Whether a request may be admitted now without a look. */
  covers({ attempt = 0, descriptors = 1 }: ReserveRequest, now: bigint): boolean {
    if (now > this.#until || attempt > 0) return false
    const ledger = this.#ledger
    return ledger.claimed - this.#claimed + descriptors <= this.#descriptors &&
      Ledger.open(ledger) + Ledger.opening(ledger) + Math.min(descriptors, 1) <= this.#connectionLimit
  }
}

// The monitor's own descriptors are part of the headroom, because the program cannot use them: up to `fewestHeld` of them, so that
// small limits stay usable. Those beyond are added, so that the headroom still covers what it is for.
const headroomOf = ({ limit, own, reserve }: DescriptorGauge, options: Resolved): number => {
  const headroom = options.headroom ?? (limit._tag === "Known" ? defaultHeadroom(limit.value + reserve) : 0)
  return Math.max(own, headroom + Math.max(own - fewestHeld, 0)) - reserve
}

/** What the gate decides by, from readings that are taken now. */
export const capacityOf = (readings: Readings, now: number): Capacity => {
  const { gauges, ledger, options } = readings
  const descriptors = gauges.descriptors(now, false)
  return {
    usage: usageOf(readings, descriptors, now),
    open: Ledger.open(ledger),
    opening: Ledger.opening(ledger),
    headroom: headroomOf(descriptors, options),
    reserve: descriptors.reserve,
    warningThreshold: options.warningThreshold,
    errorThreshold: options.errorThreshold
  }
}

const check = checkOptions("ResourceMonitor.reserve")

/** Checks a request and returns how long it may wait, in milliseconds. */
const maxWaitOf = (request: ReserveRequest): number => {
  if (request.descriptors !== undefined) check.whole("descriptors", request.descriptors, { min: 0 })
  return request.maxWait === undefined ? 0 : Duration.toMillis(check.duration("maxWait", request.maxWait, { min: 0 }))
}

type Restore = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

/**
 * Waits in the queue. Whatever it was granted is given back when the fiber is interrupted, also between the moment at which
 * it was granted and that at which the fiber goes on: the hook is outside of the interruptible region for that.
 */
const wait = (
  queue: GateQueue,
  restore: Restore,
  options: { readonly request: ReserveRequest; readonly maxWait: number; readonly fiber: Fiber.Fiber<unknown, unknown> }
): Effect.Effect<LedgerReservation, ResourceExhausted> => {
  const ticket = queue.ticket(options.request, options.maxWait, options.fiber)
  return Effect.onExitPrimitive(
    restore(Effect.callback<LedgerReservation, ResourceExhausted>((resume) => {
      ticket.resume = resume
      queue.join(ticket)
    })),
    (exit) => {
      if (Exit.isFailure(exit)) queue.abandon(ticket)
      return undefined
    }
  )
}

const enter = (
  queue: GateQueue,
  request: ReserveRequest,
  restore: Restore
): Effect.Effect<LedgerReservation, ResourceExhausted> =>
  Effect.withFiber((fiber) => {
    const maxWait = maxWaitOf(request)
    const answer = queue.ask(request)
    if (answer instanceof LedgerReservation) return Effect.succeed(answer)
    return maxWait > 0 && queue.canWait(request)
      ? wait(queue, restore, { request, maxWait, fiber })
      : Effect.fail(queue.refuse(request, answer))
  })

const reserveWith = (queue: GateQueue) => (request: ReserveRequest) =>
  Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(Effect.scope, (scope) =>
      Effect.flatMap(
        enter(queue, request, restore),
        (claim) => Effect.as(Scope.addFinalizer(scope, Effect.sync(() => queue.end(claim))), claim)
      ))
  )

/** The same in one step, without waiting. */
const unsafeOf = (
  queue: GateQueue,
  { ledger, capacity }: Parts,
  allowance: ReadingCache | undefined
): ReserveUnsafe => ({
  reserve: (request, now) => {
    if (queue.waiting === 0 && allowance?.covers(request, now) === true) {
      return new LedgerReservation(ledger, request.descriptors ?? 1)
    }
    maxWaitOf(request)
    const answer = queue.ask(request)
    return answer instanceof LedgerReservation ? answer : undefined
  },
  end: (claim) => {
    if (claim instanceof LedgerReservation) queue.end(claim)
  },
  isShort: () => shortageOf(capacity()) !== undefined,
  obstacle: (request) => queue.obstacle(request)
})

/** The gate of one monitor. */
export interface Gate {
  readonly reserve: Reserve
  readonly shortage: (request: ShortageRequest) => Effect.Effect<ResourceExhausted | undefined>
  /** Looks whether there is room for those that wait; to be called when there may be more than before. */
  readonly look: () => void
  /** Requests that wait now. */
  readonly waiting: () => number
}

/** What a gate is made from. */
export interface Parts {
  readonly ledger: Ledger.Ledger
  readonly capacity: () => Capacity
  readonly topSites?: (() => ReadonlyArray<OpeningSite>) | undefined
  /** How long one look may answer for several requests, in nanoseconds; `undefined` for not at all. */
  readonly validFor?: bigint | undefined
}

type TopSites = () => ReadonlyArray<OpeningSite>

const nobody: TopSites = () => []

/** Finding the places sorts all of them, and a burst is refused hundreds of times: one answer serves for a while. */
const remembering = (topSites: TopSites, clock: Clock.Clock): TopSites => {
  let askedAt = -Infinity
  let sites: ReadonlyArray<OpeningSite> = []
  return () => {
    const now = monotonic(clock)
    if (now - askedAt >= lookMillis) {
      askedAt = now
      sites = topSites()
    }
    return sites
  }
}

/** The readings, from which the allowance learns each time that they are taken. */
const learning = (capacity: () => Capacity, allowance: ReadingCache | undefined, clock: Clock.Clock) => () => {
  const readings = capacity()
  allowance?.learn(readings, clock.monotonicTimeNanosUnsafe())
  return readings
}

/** Makes a gate. When its scope ends, whoever waits is refused. */
export const make = (parts: Parts): Effect.Effect<Gate, never, Scope.Scope> =>
  Effect.gen(function*() {
    const clock = yield* Effect.clockWith(Effect.succeed)
    const fork = Effect.runForkWith(yield* Effect.context<never>())
    const topSites = remembering(parts.topSites ?? nobody, clock)
    const { ledger, validFor } = parts
    const allowance = validFor === undefined ? undefined : new ReadingCache(ledger, validFor)
    const capacity = learning(parts.capacity, allowance, clock)
    const queue = new GateQueue({ ledger, capacity, topSites, clock, fork })
    yield* Effect.addFinalizer(() => Effect.sync(() => queue.close()))
    return {
      reserve: Object.assign(reserveWith(queue), { unsafe: unsafeOf(queue, parts, allowance) }),
      shortage: ({ cause, label }) =>
        Effect.sync(() => {
          const shortage = shortageOf(parts.capacity())
          if (shortage === undefined) return undefined
          const retryAfter = Duration.millis(lookMillis)
          return new ResourceExhausted({ ...shortage, label, cause, retryAfter, topSites: topSites() })
        }),
      look: () => queue.look(),
      waiting: () => queue.waiting
    }
  })
