/**
 * What the scripts of a budget do, as a plain state machine. It repeats them in another language, so that both can be compared:
 * `test/hazard/redis-budget-model.test.ts` compares each answer of random histories with the real scripts.
 */
import { Heap } from "../simulation/heap.ts"
import { Ranks } from "./ranks.ts"

interface Record {
  readonly weight: number
  readonly token: number
}

interface Place {
  readonly number: number
  readonly weight: number
  readonly lease: number
  readonly seen: number
  readonly channel: string | undefined
}

/** A message to a process. */
export type Message =
  | { readonly _tag: "Granted"; readonly id: string; readonly lease: number; readonly fence: number }
  | { readonly _tag: "Refused"; readonly id: string; readonly limit: number }

export type Answer =
  | readonly [tag: "granted", lease: number, token: number, limit: number]
  | readonly [tag: "waiting", position: number, delay: number, fence: number, limit: number]
  | readonly [tag: "refused", limit: number]
  | readonly [tag: "conflict", limit: number]

export interface Ask {
  readonly id: string
  readonly weight: number
  readonly lease: number
  readonly keep: number
  readonly channel: string | undefined
  readonly isNew: boolean
}

interface End {
  readonly at: number
  readonly id: string
}

/** A number as the scripts write it. */
const rounded = (value: number): number => Number(value.toFixed(3))

/** A budget at its store. `now` is set from outside, in whole milliseconds. */
export class BudgetModel {
  now = 1_000_000
  limit: number
  used = 0
  fence = 0
  /** The time of the last release, or of the first request that waited since; and the mean time between releases while requests wait. */
  #freed = 0
  #gap = 1
  readonly held = new Map<string, Record>()
  readonly expiry = new Map<string, number>()
  /** Ends of leases, those included that have been renewed or given back since. */
  readonly #ends = new Heap<End>()
  readonly queue = new Map<string, Place>()
  readonly #order = new Ranks()
  readonly messages: Array<Message> = []
  readonly #listening: (channel: string) => boolean

  constructor(limit: number, listening: (channel: string) => boolean) {
    this.limit = limit
    this.#listening = listening
  }

  /** The ids that wait, in their order. */
  get waiting(): ReadonlyArray<string> {
    return this.#order.all
  }

  acquire(ask: Ask): Answer {
    return this.#script(() => this.#acquire(ask))
  }

  release(ids: ReadonlyArray<string>): number {
    return this.#script(() => {
      let count = 0
      const isWaiting = this.queue.size > 0
      for (const id of ids) {
        if (this.#drop(id)) {
          count++
          if (isWaiting) this.#gap = 0.95 * this.#gap + 0.05 * Math.max(Math.min(this.now - this.#freed, 1000), 0)
          this.#freed = this.now
        } else this.#leave(id)
      }
      this.#sweep(64)
      this.#serve()
      return count
    })
  }

  renew(lease: number, ids: ReadonlyArray<string>): ReadonlyArray<number> {
    return this.#script(() => {
      this.#sweep(64)
      const results = ids.map((id) => {
        if (this.held.has(id)) this.#expires(id, this.now + lease)
        return this.held.has(id) ? 1 : 0
      })
      this.#serve()
      return [this.limit, ...results]
    })
  }

  setLimit(limit: number): number {
    return this.#script(() => {
      this.limit = limit
      this.#sweep(64)
      this.#serve()
      return limit
    })
  }

  /** Runs a script, which writes numbers as text. */
  #script<A>(body: () => A): A {
    const result = body()
    this.#gap = rounded(this.#gap)
    return result
  }

  #acquire({ channel, id, isNew, keep, lease, weight }: Ask): Answer {
    const place = this.queue.get(id)
    if (place !== undefined && !isNew) {
      this.queue.set(id, { ...place, weight, lease, seen: this.now + keep, channel: undefined })
    }
    if (this.#sweep(64) > 0) this.#serve()
    const known = this.held.get(id)
    if (isNew && (known !== undefined || place !== undefined)) return ["conflict", this.limit]
    if (known !== undefined) return this.#confirm(id, lease, known)
    if (this.limit > 0 && weight > this.limit) {
      this.#leave(id)
      this.#serve()
      return ["refused", this.limit]
    }
    if (keep > 0) return this.#queueUp(id, { weight, lease, seen: this.now + keep, channel }, keep)
    if (this.used + weight > this.limit || this.queue.size > 0) return ["waiting", 0, 0, this.fence, this.limit]
    return this.#confirm(id, lease, this.#grant(id, weight, lease))
  }

  #confirm(id: string, lease: number, { token }: Record): Answer {
    this.#expires(id, this.now + lease)
    return ["granted", lease, token, this.limit]
  }

  #queueUp(id: string, { channel, ...rest }: Omit<Place, "number">, keep: number): Answer {
    const known = this.queue.get(id)?.number
    const number = known ?? this.#order.push(id)
    this.queue.set(id, { ...rest, number, channel: undefined })
    if (this.used < this.limit) {
      this.#serve()
      const granted = this.held.get(id)
      if (granted !== undefined) return this.#confirm(id, rest.lease, granted)
    }
    this.queue.set(id, { ...rest, number, channel })
    const position = this.#order.rank(number)
    if (known === undefined && position === 0) this.#freed = this.now
    return ["waiting", position, this.#delay(position, channel, keep), this.fence, this.limit]
  }

  /** When the request is to ask again. */
  #delay(position: number, channel: string | undefined, keep: number): number {
    const gap = Math.max(this.#gap, (this.now - this.#freed) / 20)
    const usual = channel === undefined ? Math.max(position * gap * 0.4, 10) : keep / 3
    const first = position < 4 ? this.#firstEnd : Infinity
    return Math.floor(Math.min(usual, Math.max(first - this.now + 1, 10), keep / 3))
  }

  get #firstEnd(): number {
    while (this.#ends.first !== undefined && this.expiry.get(this.#ends.first.id) !== this.#ends.at) this.#ends.next()
    return this.#ends.at
  }

  #expires(id: string, at: number): void {
    if (this.expiry.get(id) === at) return
    this.expiry.set(id, at)
    this.#ends.add({ at, id })
  }

  #leave(id: string): void {
    const place = this.queue.get(id)
    if (place === undefined) return
    this.#order.remove(place.number)
    this.queue.delete(id)
  }

  #drop(id: string): boolean {
    const record = this.held.get(id)
    if (record === undefined) return false
    this.used -= record.weight
    this.expiry.delete(id)
    return this.held.delete(id)
  }

  #sweep(most: number): number {
    let count = 0
    while (count < most && this.#firstEnd <= this.now) {
      const { id } = this.#ends.next() ?? { id: "" }
      this.#drop(id)
      count++
    }
    return count
  }

  #grant(id: string, weight: number, lease: number): Record {
    this.fence = Math.max(this.fence + 1, this.now * 1000)
    this.used += weight
    const record = { weight, token: this.fence }
    this.held.set(id, record)
    this.#expires(id, this.now + lease)
    return record
  }

  #serve(): void {
    for (let count = 0; count < 128 && this.used < this.limit; count++) {
      const id = this.#order.head
      const place = id === undefined ? undefined : this.queue.get(id)
      if (id === undefined || place === undefined) return
      const { channel, lease, seen, weight } = place
      if (seen >= this.now && weight <= this.limit && this.used + weight > this.limit) return
      this.#leave(id)
      if (seen < this.now) continue
      if (weight > this.limit) {
        this.#tell(channel, { _tag: "Refused", id, limit: this.limit })
        continue
      }
      const { token } = this.#grant(id, weight, lease)
      const isTold = this.#tell(channel, { _tag: "Granted", id, lease, fence: token })
      if (!isTold) this.#expires(id, this.now + Math.min(lease, 2000))
    }
  }

  #tell(channel: string | undefined, message: Message): boolean {
    if (channel === undefined || !this.#listening(channel)) return false
    this.messages.push(message)
    return true
  }
}
