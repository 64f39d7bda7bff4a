/**
 * A budget whose permits are kept at a store.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import type { Redis } from "effect/persistence/Redis"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as Crypto from "node:crypto"
import { AgeClock } from "../../../internal/AgeClock.ts"
import { HolderId } from "../../../internal/HolderId.ts"
import { sleepUnref } from "../../../internal/Timer.ts"
import { BudgetError, type Permit, type PermitRequest } from "../../../Pool/ConnectionBudget.ts"
import type { PoolError } from "../../../Pool/PoolError.ts"
import type { Endpoint } from "../../../Resource/Endpoint.ts"
import { FirstConnection } from "./FirstConnection.ts"
import { leaseMillis, type Settings } from "./Options.ts"
import { keeps, keepsEvery, pause } from "./Pace.ts"
import { type Away, type Granted, type Held, isAllowed, leaseOf, Permits } from "./Permits.ts"
import type { Reply } from "./Reply.ts"
import { channelOf } from "./Scripts.ts"
import type { Store } from "./Store.ts"
import { StoreOutage, writeLine } from "./StoreOutage.ts"
import { Wake } from "./Wake.ts"

/** Most ids of one call, and most ids that are remembered for a store that is away. */
const batch = 500

/** What a budget needs of its client, besides the calls of the store. */
export interface StoreClient extends Pick<Redis["Service"], "subscribe"> {
  /** Opens a connection, which stays open. */
  readonly open: Effect.Effect<void, PoolError>
  /** Where the store is. */
  readonly endpoint: Endpoint
}

/** A request for permits, from its first call to the end of its scope. */
interface Taking {
  readonly label: string
  readonly timeLeft: () => number
  readonly weight: number
  readonly lease: number
  readonly holder: string
  /** A new random text for each request: a process that was copied counts on in the same way as its original. */
  id: string
  isNew: boolean
  held: Held | undefined
}

const newId = (): string => Crypto.randomUUID({ disableEntropyCache: true })

/** The permits of this process, the calls for them, and their renewal. */
export class Budget {
  readonly #settings: Settings
  readonly #store: Store
  readonly #clock: AgeClock
  readonly #fork: (effect: Effect.Effect<void>) => void
  readonly #wake: Wake
  readonly #first: FirstConnection
  readonly #outage: StoreOutage
  readonly #permits = new Permits()
  /** Ids that the store may have a permit or a place for, which no request wants. */
  readonly #stale = new Set<string>()
  /** Until then the store is not asked. */
  #awayUntil = -Infinity
  #failure: BudgetError | undefined
  #limit: number
  #isKeeping = false

  constructor(
    settings: Settings,
    store: Store,
    { endpoint, open, subscribe }: StoreClient,
    clock: Clock.Clock,
    fork: (effect: Effect.Effect<void>) => void
  ) {
    this.#settings = settings
    this.#store = store
    this.#clock = new AgeClock(clock)
    this.#fork = fork
    this.#limit = settings.connections
    this.#first = new FirstConnection({ key: settings.key, open, fork, millis: settings.connectTimeout })
    this.#outage = new StoreOutage(settings.key, endpoint)
    this.#wake = new Wake({ subscribe, fork, patience: settings.storeTimeout })
  }

  /** Takes `weight` permits at once until the scope ends. */
  take({ label, timeLeft }: PermitRequest, weight: number): Effect.Effect<Permit, BudgetError, Scope.Scope> {
    return Effect.uninterruptibleMask((restore) =>
      Effect.gen({ self: this }, function*() {
        const lease = yield* restore(leaseMillis(this.#settings.lease))
        const holder = yield* HolderId
        const taking: Taking = { label, timeLeft, weight, lease, holder, id: newId(), isNew: true, held: undefined }
        yield* Effect.addFinalizer(() => this.#giveBack(taking))
        return yield* restore(this.#obtain(taking))
      })
    )
  }

  /** A limit that a call has returned. */
  limitIs(limit: number): void {
    this.#limit = limit
  }

  /** Asks the store, unless it has just failed. */
  #ask<A>(call: Effect.Effect<A, BudgetError>): Effect.Effect<A, BudgetError> {
    return Effect.suspend(() => {
      if (this.#failure !== undefined && this.#clock.synchronize() < this.#awayUntil) return Effect.fail(this.#failure)
      return Effect.tapError(Effect.tap(call, () => this.#isBack), (error) =>
        Effect.sync(() => {
          this.#failure = error
          this.#awayUntil = this.#clock.synchronize() + pause
          this.#isAway(error)
        }))
    })
  }

  /** Logs that the store is away, once in each outage. */
  #isAway(error: BudgetError): void {
    const line = this.#outage.failed(error, this.#clock.synchronize(), this.#away)
    if (line !== undefined) this.#fork(writeLine(line))
  }

  readonly #isBack: Effect.Effect<void> = Effect.sync(() => {
    this.#failure = undefined
    const line = this.#outage.isBack(this.#clock.synchronize())
    if (line !== undefined) this.#fork(writeLine(line))
    const ids = this.#takeStale()
    if (ids.length > 0) this.#fork(this.#release(ids))
  })

  #takeStale(): ReadonlyArray<string> {
    const ids = [...this.#stale]
    this.#stale.clear()
    return ids
  }

  /** Gives ids back. If the store does not answer, they are given back later, or their leases end. */
  #release(ids: ReadonlyArray<string>): Effect.Effect<void> {
    return Effect.catch(Effect.asVoid(this.#ask(this.#store.release(ids))), () =>
      Effect.sync(() => {
        for (const id of ids) if (this.#stale.size < batch) this.#stale.add(id)
        this.#startKeeping()
      }))
  }

  #giveBack(taking: Taking): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.#wake.forget(taking.id)
      const id = taking.held === undefined ? taking.id : taking.held.id
      if (taking.held !== undefined) this.#permits.remove(taking.held)
      // A request that was never sent has nothing at the store. One that was sent may have, also if it was not answered.
      if (id === undefined || (taking.isNew && taking.held === undefined)) return Effect.void
      return this.#release([id])
    })
  }

  #hold(taking: Taking, granted: Granted, token?: string): Permit {
    const held = this.#permits.add({ label: taking.label, weight: taking.weight, ...granted })
    taking.held = held
    this.#startKeeping()
    return { token, lost: Deferred.await(held.lost) }
  }

  #startKeeping(): void {
    if (this.#isKeeping) return
    this.#isKeeping = true
    this.#fork(this.#keep)
  }

  /** Asks until there is a permit. */
  #obtain(taking: Taking): Effect.Effect<Permit, BudgetError> {
    return Effect.gen({ self: this }, function*() {
      const { key, wake } = this.#settings
      if (!this.#first.hasEnded) {
        // The rest is for what happens without the store. That this request has little time says nothing of the store.
        const first = yield* Effect.result(this.#first.ready(taking.timeLeft() / 2))
        if (Result.isFailure(first)) {
          if (this.#first.hasEnded) this.#isAway(first.failure)
          return yield* this.#withoutStore(taking, first.failure)
        }
      }
      const isSubscribed = wake === "subscribe" && this.#failure === undefined
      const channel = isSubscribed ? yield* this.#wake.ready(channelOf(key, taking.holder)) : undefined
      while (true) {
        const told = channel === undefined ? undefined : this.#wake.expect(taking.id)
        const sentAt = this.#clock.synchronize()
        const answer = yield* Effect.result(this.#ask(this.#acquire(taking, channel)))
        if (Result.isFailure(answer)) return yield* this.#withoutStore(taking, answer.failure)
        const reply = answer.success
        if (reply._tag === "Waiting") {
          const waking = told === undefined ? Effect.never : Deferred.await(told)
          // oxlint-disable-next-line effecttsgo/race-first-with-sleep-to-timeout
          const next = yield* Effect.raceFirst(waking, Effect.sleep(reply.delay))
          if (next !== undefined) this.limitIs(next.limit)
          const permit = next && this.#granted(taking, next, sentAt, reply.fence)
          if (permit !== undefined) return permit
          if (next?._tag === "Refused") return yield* this.#refused(taking, next.limit)
          continue
        }
        if (reply._tag === "Refused") return yield* this.#refused(taking, reply.limit)
        const permit = this.#granted(taking, reply, sentAt, 0)
        if (permit !== undefined) return permit
        taking.isNew = true
        this.#wake.forget(taking.id)
        taking.id = newId()
      }
    })
  }

  /** The call. If it is not answered it is made once more, because what follows without the store lets the fleet exceed its limit. */
  #acquire(taking: Taking, channel: string | undefined): Effect.Effect<Reply, BudgetError> {
    const call = this.#acquireOnce(taking, channel)
    return Effect.catchIf(call, ({ cause }) => cause === undefined, () => call)
  }

  /** From here on the store may know the id. */
  #acquireOnce(taking: Taking, channel: string | undefined): Effect.Effect<Reply, BudgetError> {
    return Effect.suspend(() => {
      const { holder, id, isNew, label, lease, weight } = taking
      taking.isNew = false
      const keep = channel === undefined ? keeps.poll : keeps.subscribe
      return this.#answered(this.#store.acquire({ id, weight, lease, keep, channel, holder, isNew, label }))
    })
  }

  /** An answer of the store has the limit, which counts when the store is away later. */
  #answered<A extends { readonly limit: number }>(call: Effect.Effect<A, BudgetError>): Effect.Effect<A, BudgetError> {
    return Effect.tap(call, ({ limit }) => Effect.sync(() => this.limitIs(limit)))
  }

  /** A lease that is over before it is known is asked for again. */
  #granted(taking: Taking, reply: Reply, at: number, fence: number): Permit | undefined {
    if (reply._tag !== "Granted") return undefined
    const lease = leaseOf({ id: taking.id, at, fence }, reply, this.#clock.synchronize())
    return lease && this.#hold(taking, lease, reply.token)
  }

  #refused({ weight }: Taking, limit: number) {
    const detail = `${weight} at once are more than its limit, which is ${limit}`
    return new BudgetError({ budget: this.#settings.key, detail })
  }

  /** Decides by `onStoreError`. */
  #withoutStore(taking: Taking, error: BudgetError): Effect.Effect<Permit, BudgetError> {
    return Effect.suspend(() => {
      if (!this.#mayHave(this.#permits.weight + taking.weight)) return Effect.fail(error)
      if (!taking.isNew && this.#stale.size < batch) this.#stale.add(taking.id)
      // Also if only this request had too little time for the store: its permit is not counted there.
      this.#isAway(error)
      this.#outage.gave()
      const since = this.#clock.synchronize()
      return Effect.succeed(this.#hold(taking, { id: undefined, since, lease: taking.lease }))
    })
  }

  get #away(): Away {
    const { maxInstances, onStoreError } = this.#settings
    return { onStoreError, maxInstances, limit: this.#limit }
  }

  #mayHave(permits: number): boolean {
    return isAllowed(this.#away, permits)
  }

  /** Renews leases, ends permits and gives ids back, for as long as there are any. */
  readonly #keep: Effect.Effect<void> = Effect.suspend(() => {
    const { lease } = this.#settings
    const step = Effect.andThen(sleepUnref(keepsEvery(lease)), this.#step(lease._tag === "Warm"))
    // It ends in the step in which it finds nothing to do, so that a permit that is given later begins another one.
    const goesOn = () => this.#isKeeping = !this.#permits.isEmpty || this.#stale.size > 0
    return Effect.onError(Effect.repeat(Effect.asVoid(step), { while: goesOn }), () =>
      Effect.sync(() => {
        this.#isKeeping = false
      }))
  })

  #step(isRenewed: boolean): Effect.Effect<void> {
    return Effect.gen({ self: this }, function*() {
      this.#expire(isRenewed)
      if (this.#stale.size > 0) yield* this.#release(this.#takeStale())
      const now = this.#clock.synchronize()
      const renewing = this.#permits.due("Renew", now, isRenewed).slice(0, batch)
      if (renewing.length > 0) yield* this.#renew(renewing, now)
      for (const held of this.#permits.due("Adopt", now, isRenewed)) yield* this.#adopt(held)
      this.#expire(isRenewed)
    })
  }

  /** Ends the permits whose leases are over. Without a store, those stay that `onStoreError` allows. */
  #expire(isRenewed: boolean): void {
    const now = this.#clock.synchronize()
    for (const held of this.#permits.due("Expire", now, isRenewed)) {
      const isKept = isRenewed && this.#failure !== undefined && this.#mayHave(this.#permits.weight)
      if (isKept) this.#permits.set(held, { id: undefined, since: now, lease: held.lease })
      else this.#permits.lose(held)
    }
  }

  #renew(all: ReadonlyArray<Held>, sentAt: number): Effect.Effect<void> {
    const lease = all[0]?.lease ?? 0
    const ids = all.flatMap(({ id }) => id ?? [])
    return Effect.matchEffect(this.#ask(this.#answered(this.#store.renew(lease, ids))), {
      onFailure: () => Effect.void,
      onSuccess: ({ isHeld }) =>
        Effect.sync(() => {
          for (const [index, held] of all.entries()) {
            if (isHeld[index] === true) this.#permits.set(held, { id: held.id, since: sentAt, lease })
            else this.#permits.lose(held)
          }
        })
    })
  }

  /** Gets a lease for a permit that has none, when the store is back. If the store has none to give, the permit is lost. */
  #adopt(held: Held): Effect.Effect<void> {
    return Effect.gen({ self: this }, function*() {
      const { label, lease, weight } = held
      const [id, holder, since] = [newId(), yield* HolderId, this.#clock.synchronize()]
      const call = this.#store.acquire({ id, weight, lease, keep: 0, channel: undefined, holder, isNew: true, label })
      const answer = yield* Effect.result(this.#ask(this.#answered(call)))
      if (Result.isFailure(answer)) {
        this.#stale.add(id)
        this.#permits.set(held, { id: undefined, since, lease })
      } else if (answer.success._tag !== "Granted") this.#permits.lose(held)
      else if (!this.#permits.has(held)) yield* this.#release([id])
      else this.#permits.set(held, { id, since, lease })
    })
  }
}

/** Makes a budget, whose background work ends with the scope. */
export const makeBudget = (
  settings: Settings,
  store: Store,
  client: StoreClient
): Effect.Effect<Budget, never, Scope.Scope> =>
  Effect.gen(function*() {
    const fork = yield* FiberSet.makeRuntime<never, void, never>()
    return new Budget(settings, store, client, yield* Clock.Clock, fork)
  })
