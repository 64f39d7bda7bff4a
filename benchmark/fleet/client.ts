/**
 * The budget of one process, as `src/Clients/internal/redisbudget/Budget.ts` asks its store. Its rules and its times are those of the library.
 */
import { keeps, keepsEvery, pause } from "../../src/Clients/internal/redisbudget/Pace.ts"
import { dueOf, type Granted, isAllowed, leaseOf } from "../../src/Clients/internal/redisbudget/Permits.ts"
import type { Event, Heap } from "../simulation/heap.ts"
import type { RemoteBudget } from "./remote.ts"
import type { Setting } from "./setting.ts"
import type { Answer, Message } from "./store.ts"

/** The delays with which a pool dials again after a failure, by default. */
const redial = { first: 500, factor: 1.5, most: 1050, jitter: 0.1 }

/** Most ids that are remembered for a store that is away. */
const batch = 500

/** What a request for permits leads to: one of both is called, once. */
export interface Taker {
  readonly weight: number
  /** When the request runs out of time. */
  readonly deadline: number
  readonly granted: (at: number, permit: Permit) => void
  readonly failed: (at: number) => void
}

/** Permits that are held. */
export interface Permit {
  readonly weight: number
  lease: Granted
  /** Called when another process may have the permit. */
  lost: (at: number) => void
}

interface Request {
  readonly taker: Taker
  id: string
  isNew: boolean
  failures: number
  /** Counts the steps, so that an event for an earlier step does nothing. */
  step: number
}

/** Ids are unique in a simulation, as the random ids of the library are. */
export interface Ids {
  next: number
}

export interface Surroundings {
  readonly setting: Setting
  readonly agenda: Heap<Event>
  readonly random: () => number
  readonly ids: Ids
}

export class Client {
  readonly #budget: RemoteBudget
  readonly #around: Surroundings
  readonly #held = new Set<Permit>()
  readonly #stale = new Set<string>()
  #weight = 0
  #awayUntil = -Infinity
  #isFailed = false
  #isKeeping = false

  constructor(budget: RemoteBudget, around: Surroundings) {
    this.#budget = budget
    this.#around = around
  }

  take(now: number, taker: Taker): void {
    this.#ask(now, { taker, id: this.#newId(), isNew: true, failures: 0, step: 0 })
  }

  giveBack(now: number, permit: Permit): void {
    if (!this.#drop(permit)) return
    if (permit.lease.id !== undefined) this.#release(now, [permit.lease.id])
  }

  /** The process is gone, with all that it holds. */
  end(): void {
    this.#held.clear()
    this.#stale.clear()
  }

  #newId(): string {
    return String(this.#around.ids.next++)
  }

  #at(at: number, run: (at: number) => void): void {
    this.#around.agenda.add({ at, run: () => run(at) })
  }

  /** Whether the store may be asked: not for a while after a failure. */
  #isAway(now: number): boolean {
    return this.#isFailed && now < this.#awayUntil
  }

  #hasFailed(at: number): void {
    this.#isFailed = true
    this.#awayUntil = at + pause
  }

  #isBack(at: number): void {
    this.#isFailed = false
    this.#releaseStale(at)
  }

  #releaseStale(at: number): void {
    if (this.#stale.size === 0) return
    const ids = [...this.#stale]
    this.#stale.clear()
    this.#release(at, ids)
  }

  #remember(ids: ReadonlyArray<string>): void {
    for (const id of ids) if (this.#stale.size < batch) this.#stale.add(id)
  }

  #release(now: number, ids: ReadonlyArray<string>): void {
    if (this.#isAway(now)) return this.#remember(ids)
    this.#budget.release(now, ids, {
      done: (_, at) => this.#isBack(at),
      failed: (at) => {
        this.#hasFailed(at)
        this.#remember(ids)
      }
    })
  }

  #ask(now: number, request: Request): void {
    if (now >= request.taker.deadline) return this.#giveUp(now, request)
    if (this.#isAway(now)) return this.#withoutStore(now, request)
    const { setting: { lease, wake } } = this.#around
    const { id, isNew, taker: { weight } } = request
    const step = ++request.step
    const isSubscribed = wake === "subscribe"
    if (isSubscribed) this.#budget.expect(id, (message, at) => this.#told(request, message, at, now))
    request.isNew = false
    const ask = { id, weight, lease, keep: keeps[wake], channel: isSubscribed ? id : undefined }
    const done = (answer: Answer, at: number) => {
      this.#isBack(at)
      if (request.step !== step) return
      this.#answered(at, request, answer, now)
    }
    const failed = (at: number) => {
      this.#hasFailed(at)
      if (request.step === step) this.#withoutStore(at, request)
    }
    // A call that is not answered is made once more.
    const repeat = (at: number) => this.#budget.acquire(at, { ...ask, isNew: false }, { done, failed })
    this.#budget.acquire(now, { ...ask, isNew }, { done, failed: repeat })
  }

  #answered(at: number, request: Request, answer: Answer, sentAt: number): void {
    if (answer[0] === "waiting") {
      const step = ++request.step
      const next = Math.min(at + answer[2], request.taker.deadline)
      return this.#at(next, (then) => request.step === step && this.#ask(then, request))
    }
    if (answer[0] === "granted") return this.#grant(at, request, { id: request.id, since: sentAt, lease: answer[1] })
    // More than the limit, or an id that is known already: the pool asks again.
    this.#redial(at, request)
  }

  #told(request: Request, message: Message, at: number, sentAt: number): void {
    if (message._tag === "Refused") return this.#redial(at, request)
    // Clocks are not set here, so the message is about the last call. A request whose lease is over asks again at its time.
    const lease = leaseOf({ id: request.id, at: sentAt, fence: 0 }, message, at)
    if (lease !== undefined) this.#grant(at, request, lease)
  }

  #grant(at: number, request: Request, lease: Granted): void {
    request.step++
    this.#budget.forget(request.id)
    const permit: Permit = { weight: request.taker.weight, lease, lost: () => undefined }
    this.#held.add(permit)
    this.#weight += permit.weight
    if (!this.#isKeeping) this.#keepLater(at)
    request.taker.granted(at, permit)
  }

  #mayHave(permits: number): boolean {
    const { maxInstances, onStoreError, permits: limit } = this.#around.setting
    return isAllowed({ onStoreError, maxInstances, limit }, permits)
  }

  #withoutStore(at: number, request: Request): void {
    if (!this.#mayHave(this.#weight + request.taker.weight)) return this.#redial(at, request)
    if (!request.isNew) this.#remember([request.id])
    this.#grant(at, request, { id: undefined, since: at, lease: this.#around.setting.lease })
  }

  /** The pool gives the request up and makes another one after a delay. */
  #redial(at: number, request: Request): void {
    this.#abandon(at, request)
    const delay = Math.min(redial.first * redial.factor ** request.failures, redial.most)
    const jittered = delay * (1 + redial.jitter * (2 * this.#around.random() - 1))
    const next = { ...request, id: this.#newId(), isNew: true, failures: request.failures + 1 }
    this.#at(Math.min(at + jittered, request.taker.deadline), (then) => this.#ask(then, next))
  }

  #giveUp(at: number, request: Request): void {
    this.#abandon(at, request)
    request.taker.failed(at)
  }

  #abandon(at: number, request: Request): void {
    request.step++
    this.#budget.forget(request.id)
    if (!request.isNew) this.#release(at, [request.id])
  }

  #drop(permit: Permit): boolean {
    if (!this.#held.delete(permit)) return false
    this.#weight -= permit.weight
    return true
  }

  #keepLater(now: number): void {
    this.#isKeeping = true
    const every = keepsEvery({ _tag: "Warm", millis: this.#around.setting.lease })
    this.#at(now + every, (at) => {
      this.#isKeeping = false
      if (this.#held.size === 0) return
      this.#keep(at)
      this.#keepLater(at)
    })
  }

  #keep(at: number): void {
    for (const permit of this.#due("Expire", at)) this.#expire(at, permit)
    this.#releaseStale(at)
    const renewing = this.#due("Renew", at)
    if (renewing.length > 0 && !this.#isAway(at)) this.#renew(at, renewing)
    for (const permit of this.#due("Adopt", at)) this.#adopt(at, permit)
  }

  #due(what: "Expire" | "Renew" | "Adopt", at: number): ReadonlyArray<Permit> {
    return [...this.#held].filter(({ lease }) => dueOf(lease, at, true) === what)
  }

  #lose(at: number, permit: Permit): void {
    if (this.#drop(permit)) permit.lost(at)
  }

  #expire(at: number, permit: Permit): void {
    if (!this.#isFailed || !this.#mayHave(this.#weight)) return this.#lose(at, permit)
    permit.lease = { id: undefined, since: at, lease: permit.lease.lease }
  }

  #renew(sentAt: number, permits: ReadonlyArray<Permit>): void {
    const { lease } = this.#around.setting
    const ids = permits.flatMap((permit) => permit.lease.id ?? [])
    this.#budget.renew(sentAt, lease, ids, {
      done: ([, ...isHeld], at) => {
        this.#isBack(at)
        for (const [index, permit] of permits.entries()) {
          if (isHeld[index] === 1) permit.lease = { id: permit.lease.id, since: sentAt, lease }
          else this.#lose(at, permit)
        }
      },
      failed: (at) => this.#hasFailed(at)
    })
  }

  #adopt(sentAt: number, permit: Permit): void {
    const { lease } = this.#around.setting
    const wait = () => {
      permit.lease = { id: undefined, since: sentAt, lease }
    }
    if (this.#isAway(sentAt)) return wait()
    const id = this.#newId()
    this.#budget.acquire(sentAt, { id, weight: permit.weight, lease, keep: 0, channel: undefined, isNew: true }, {
      done: (answer, at) => {
        this.#isBack(at)
        if (answer[0] !== "granted") this.#lose(at, permit)
        else if (this.#held.has(permit)) permit.lease = { id, since: sentAt, lease }
        else this.#release(at, [id])
      },
      failed: (at) => {
        this.#hasFailed(at)
        this.#remember([id])
        wait()
      }
    })
  }
}
