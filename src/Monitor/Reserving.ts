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
import { checkOptions } from "../internal/Options.ts"
import type { OpeningSite } from "./Alert.ts"
import { Allowance } from "./Allowance.ts"
import type { ReserveRequest, Situation } from "./Gate.ts"
import { ResourceExhausted, shortageOf } from "./Gate.ts"
import { GateQueue, lookMillis, monotonic } from "./GateQueue.ts"
import type * as Ledger from "./Ledger.ts"
import { LedgerClaim } from "./LedgerClaim.ts"
import type { Reserve, ReserveUnsafe, ShortageRequest } from "./Service.ts"

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
): Effect.Effect<LedgerClaim, ResourceExhausted> => {
  const ticket = queue.ticket(options.request, options.maxWait, options.fiber)
  return Effect.onExitPrimitive(
    restore(Effect.callback<LedgerClaim, ResourceExhausted>((resume) => {
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
): Effect.Effect<LedgerClaim, ResourceExhausted> =>
  Effect.withFiber((fiber) => {
    const maxWait = maxWaitOf(request)
    const answer = queue.ask(request)
    if (answer instanceof LedgerClaim) return Effect.succeed(answer)
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
  { ledger, situation }: Parts,
  allowance: Allowance | undefined
): ReserveUnsafe => ({
  claim: (request, now) => {
    if (queue.waiting === 0 && allowance?.covers(request, now) === true) {
      return new LedgerClaim(ledger, request.descriptors ?? 1)
    }
    maxWaitOf(request)
    const answer = queue.ask(request)
    return answer instanceof LedgerClaim ? answer : undefined
  },
  end: (claim) => {
    if (claim instanceof LedgerClaim) queue.end(claim)
  },
  isShort: () => shortageOf(situation()) !== undefined,
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
  readonly situation: () => Situation
  readonly topSites?: (() => ReadonlyArray<OpeningSite>) | undefined
  /** How long one look may answer for several requests, in nanoseconds; `undefined` for not at all. */
  readonly standsFor?: bigint | undefined
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
const learning = (situation: () => Situation, allowance: Allowance | undefined, clock: Clock.Clock) => () => {
  const readings = situation()
  allowance?.learn(readings, clock.monotonicTimeNanosUnsafe())
  return readings
}

/** Makes a gate. When its scope ends, whoever waits is refused. */
export const make = (parts: Parts): Effect.Effect<Gate, never, Scope.Scope> =>
  Effect.gen(function*() {
    const clock = yield* Effect.clockWith(Effect.succeed)
    const fork = Effect.runForkWith(yield* Effect.context<never>())
    const topSites = remembering(parts.topSites ?? nobody, clock)
    const { ledger, standsFor } = parts
    const allowance = standsFor === undefined ? undefined : new Allowance(ledger, standsFor)
    const situation = learning(parts.situation, allowance, clock)
    const queue = new GateQueue({ ledger, situation, topSites, clock, fork })
    yield* Effect.addFinalizer(() => Effect.sync(() => queue.close()))
    return {
      reserve: Object.assign(reserveWith(queue), { unsafe: unsafeOf(queue, parts, allowance) }),
      shortage: ({ cause, label }) =>
        Effect.sync(() => {
          const shortage = shortageOf(parts.situation())
          if (shortage === undefined) return undefined
          const retryAfter = Duration.millis(lookMillis)
          return new ResourceExhausted({ ...shortage, label, cause, retryAfter, topSites: topSites() })
        }),
      look: () => queue.look(),
      waiting: () => queue.waiting
    }
  })
