/**
 * The gate as Effects: it reserves room, waits for room, and says whether lack of room has caused a failure.
 *
 * @since 0.1.0
 */
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import { monotonicMillis } from "../../internal/MonotonicTime.ts"
import { safeLabel } from "../../internal/SafeText.ts"
import type { OpeningSite } from "../Alert.ts"
import type { GateObserver, GateStats } from "../GateStats.ts"
import * as Ledger from "../Ledger.ts"
import { defaultHeadroom, type Resolved } from "../Options.ts"
import { cachedFor, type DescriptorGauge, fewestHeld, type Readings, usageOf } from "../readings/Probes.ts"
import type { Reserve, ReserveUnsafe, ShortageRequest } from "../Service.ts"
import type { Gauge } from "../Usage.ts"
import { type Capacity, type ReserveRequest, ResourceExhausted, shortageOf } from "./Decision.ts"
import { GateObservers } from "./Observers.ts"
import { GateQueue, lookMillis } from "./Queue.ts"
import { maxWaitOf } from "./Request.ts"

/** How long a reading of the process stays valid, in nanoseconds: a fifth of a millisecond. */
export const validFor = 200_000n

/**
 * The most descriptors that other code can open, without a reservation, during {@link validFor}. Node needs 3 to 30
 * microseconds to open a file or a socket, so one thread opens up to 70. The rest is for workers and the threads of libuv.
 */
export const openedElsewhere = 250

const valueOf = ({ limit }: Gauge): number => limit._tag === "Known" ? limit.value : Infinity

/** The room below a limit. It is 0 if the use cannot be read, so that each decision takes a new reading. */
const roomIn = (gauge: Gauge): number => {
  if (gauge.limit._tag !== "Known") return Infinity
  return gauge.used._tag === "Known" ? gauge.limit.value - gauge.used.value : 0
}

/**
 * Decides from an earlier reading whether a request may be admitted.
 *
 * **Details**
 *
 * A reading takes several microseconds. Near the limit each decision needs a new one. Far from the limit, one reading serves
 * for the first attempts of the next fifth of a millisecond. It assumes the worst case: each reservation since the reading
 * counts as an open descriptor, even after its end, and so do {@link openedElsewhere} others. The number of connections is taken
 * from the ledger and always exact.
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

  /** Stores readings that were taken now. `now` is in monotonic nanoseconds. */
  learn({ headroom, usage }: Capacity, now: bigint): void {
    this.#until = roomIn(usage.memory) > 0 ? now + this.#validFor : -1n
    this.#descriptors = roomIn(usage.descriptors) - usage.reserved - headroom - openedElsewhere
    this.#connectionLimit = valueOf(usage.connections)
    this.#claimed = this.#ledger.claimed
  }

  /** Whether a request may be admitted now without a new reading. */
  covers({ attempt = 0, descriptors = 1 }: ReserveRequest, now: bigint): boolean {
    if (now > this.#until || attempt > 0) return false
    const ledger = this.#ledger
    return ledger.claimed - this.#claimed + descriptors <= this.#descriptors &&
      Ledger.open(ledger) + Ledger.opening(ledger) + Math.min(descriptors, 1) <= this.#connectionLimit
  }
}

// Up to `fewestHeld` of the monitor's own descriptors are a part of the headroom, so that small limits stay usable. Any more of
// them are added, so that the headroom still has room for code that does not use the gate.
const headroomOf = ({ limit, own, reserve }: DescriptorGauge, options: Resolved): number => {
  const headroom = options.headroom ?? (limit._tag === "Known" ? defaultHeadroom(limit.value + reserve) : 0)
  return Math.max(own, headroom + Math.max(own - fewestHeld, 0)) - reserve
}

/** Takes the readings from which the gate decides. */
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

type Restore = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

/**
 * Waits in the queue. A reservation may be granted just before an interruption, so that the fiber never receives it. Therefore
 * the exit hook, which then ends it, is outside of the interruptible region.
 */
const wait = (
  queue: GateQueue,
  restore: Restore,
  options: { readonly request: ReserveRequest; readonly maxWait: number; readonly fiber: Fiber.Fiber<unknown, unknown> }
): Effect.Effect<Ledger.LedgerReservation, ResourceExhausted> => {
  const ticket = queue.ticket(options.request, options.maxWait, options.fiber)
  return Effect.onExitPrimitive(
    restore(Effect.callback<Ledger.LedgerReservation, ResourceExhausted>((resume) => {
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
): Effect.Effect<Ledger.LedgerReservation, ResourceExhausted> =>
  Effect.withFiber((fiber) => {
    const maxWait = maxWaitOf(request)
    const answer = queue.ask(request)
    if (answer instanceof Ledger.LedgerReservation) return Effect.succeed(answer)
    return maxWait > 0 && queue.canWait(request)
      ? wait(queue, restore, { request, maxWait, fiber })
      : Effect.fail(queue.refuse(request, answer))
  })

const reserveWith = (queue: GateQueue) => (request: ReserveRequest) =>
  Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(Effect.scope, (scope) =>
      Effect.flatMap(
        enter(queue, request, restore),
        (reservation) => Effect.as(Scope.addFinalizer(scope, Effect.sync(() => queue.end(reservation))), reservation)
      ))
  )

/** Reserves in one step, without waiting. */
const unsafeOf = (
  queue: GateQueue,
  { ledger, capacity, observers }: Parts & { readonly observers: GateObservers },
  cache: ReadingCache | undefined
): ReserveUnsafe => ({
  reserve: (request, now) => {
    if (queue.waiting === 0 && cache?.covers(request, now) === true) {
      const reservation = new Ledger.LedgerReservation(ledger, request.descriptors ?? 1)
      observers.admitted?.(0)
      return reservation
    }
    maxWaitOf(request)
    const answer = queue.ask(request)
    return answer instanceof Ledger.LedgerReservation ? answer : undefined
  },
  end: (reservation) => {
    if (reservation instanceof Ledger.LedgerReservation) queue.end(reservation)
  },
  isShort: () => shortageOf(capacity()) !== undefined,
  obstacle: (request) => queue.obstacle(request)
})

/** The gate of one monitor. */
export interface Gate {
  readonly reserve: Reserve
  readonly shortage: (request: ShortageRequest) => Effect.Effect<ResourceExhausted | undefined>
  /** Admits waiting requests for which there is room. Call it whenever there may be more room than before. */
  readonly look: () => void
  readonly stats: () => GateStats
  readonly observe: (observer: Partial<GateObserver>) => () => void
}

/** What a gate is made from. */
export interface Parts {
  readonly ledger: Ledger.Ledger
  readonly capacity: () => Capacity
  readonly topSites?: (() => ReadonlyArray<OpeningSite>) | undefined
  /** How long one reading may serve for several requests, in nanoseconds; `undefined` for one request only. */
  readonly validFor?: bigint | undefined
}

/** Takes readings, and stores each in the cache. */
const cachedCapacity = (capacity: () => Capacity, cache: ReadingCache | undefined, clock: Clock.Clock) => () => {
  const readings = capacity()
  cache?.learn(readings, clock.monotonicTimeNanosUnsafe())
  return readings
}

/** Makes a gate. The end of its scope refuses the waiting requests. */
export const make = (parts: Parts): Effect.Effect<Gate, never, Scope.Scope> =>
  Effect.gen(function*() {
    const clock = yield* Effect.clockWith(Effect.succeed)
    const fork = Effect.runForkWith(yield* Effect.context<never>())
    const { ledger, validFor } = parts
    // Hundreds of requests may be refused at once, and each call sorts all places.
    const sites = cachedFor(lookMillis, parts.topSites ?? (() => []))
    const topSites = () => sites(monotonicMillis(clock))
    const cache = validFor === undefined ? undefined : new ReadingCache(ledger, validFor)
    const capacity = cachedCapacity(parts.capacity, cache, clock)
    const observers = new GateObservers()
    const queue = new GateQueue({ ledger, capacity, topSites, observers, clock, fork })
    yield* Effect.addFinalizer(() => Effect.sync(() => queue.close()))
    return {
      reserve: Object.assign(reserveWith(queue), { unsafe: unsafeOf(queue, { ...parts, observers }, cache) }),
      shortage: ({ cause, label }) =>
        Effect.sync(() => {
          const shortage = shortageOf(parts.capacity())
          if (shortage === undefined) return undefined
          const retryAfter = Duration.millis(lookMillis)
          return new ResourceExhausted({
            ...shortage,
            label: safeLabel(label),
            cause,
            retryAfter,
            topSites: topSites()
          })
        }),
      look: () => queue.look(),
      stats: () => ({ waiting: queue.waiting, admitted: ledger.admitted, refusals: { ...ledger.refusals } }),
      observe: (observer) => observers.add(observer)
    }
  })
