/**
 * What the scripts of a budget do, as functions of values. It repeats them in another language, so that both can be compared.
 */

interface Record {
  readonly weight: number
  readonly token: number
}

interface Place {
  readonly seq: number
  readonly weight: number
  readonly lease: number
  readonly seen: number
  readonly channel: string | undefined
}

/** A message to a process. */
export interface Message {
  readonly id: string
  readonly text: string
}

export type Answer =
  | readonly [tag: "granted", lease: number, token: number]
  | readonly [tag: "waiting", position: number]
  | readonly [tag: "refused", limit: number]
  | readonly [tag: "conflict"]

export interface Ask {
  readonly id: string
  readonly weight: number
  readonly lease: number
  readonly keep: number
  readonly channel: string | undefined
  readonly isNew: boolean
}

/** A budget at its store. `now` is set by the test, in milliseconds. */
export class BudgetModel {
  now = 1_000_000
  limit: number
  used = 0
  fence = 0
  #seq = 0
  readonly held = new Map<string, Record>()
  readonly expiry = new Map<string, number>()
  readonly queue = new Map<string, Place>()
  readonly messages: Array<Message> = []
  readonly #listening: (channel: string) => boolean

  constructor(limit: number, listening: (channel: string) => boolean) {
    this.limit = limit
    this.#listening = listening
  }

  /** The ids that wait, in their order. */
  get waiting(): ReadonlyArray<string> {
    return [...this.queue].toSorted(([, one], [, other]) => one.seq - other.seq).map(([id]) => id)
  }

  acquire({ channel, id, isNew, keep, lease, weight }: Ask): Answer {
    const place = this.queue.get(id)
    if (place !== undefined && !isNew) this.queue.set(id, { ...place, seen: this.now + keep, channel: undefined })
    if (this.#sweep(64) > 0) this.#serve()
    const known = this.held.get(id)
    if (isNew && (known !== undefined || place !== undefined)) return ["conflict"]
    if (known !== undefined) {
      this.expiry.set(id, this.now + lease)
      return ["granted", lease, known.token]
    }
    if (weight > this.limit) {
      this.queue.delete(id)
      this.#serve()
      return ["refused", this.limit]
    }
    if (keep > 0) {
      const seq = place?.seq ?? ++this.#seq
      this.queue.set(id, { seq, weight, lease, seen: this.now + keep, channel: undefined })
      this.#serve()
      const granted = this.held.get(id)
      if (granted === undefined) {
        this.queue.set(id, { seq, weight, lease, seen: this.now + keep, channel })
        return ["waiting", this.waiting.indexOf(id)]
      }
    } else if (this.used + weight > this.limit || this.queue.size > 0) {
      return ["waiting", 0]
    } else this.#grant(id, weight, lease)
    this.expiry.set(id, this.now + lease)
    return ["granted", lease, this.held.get(id)?.token ?? 0]
  }

  release(ids: ReadonlyArray<string>): number {
    let count = 0
    for (const id of ids) {
      this.queue.delete(id)
      if (this.#drop(id)) count++
    }
    this.#sweep(64)
    this.#serve()
    return count
  }

  renew(lease: number, ids: ReadonlyArray<string>): ReadonlyArray<number> {
    this.#sweep(64)
    const results = ids.map((id) => {
      if (this.held.has(id)) this.expiry.set(id, this.now + lease)
      return this.held.has(id) ? 1 : 0
    })
    this.#serve()
    return results
  }

  setLimit(limit: number): number {
    this.limit = limit
    this.#sweep(64)
    this.#serve()
    return limit
  }

  #drop(id: string): boolean {
    const record = this.held.get(id)
    if (record === undefined) return false
    this.used -= record.weight
    this.expiry.delete(id)
    return this.held.delete(id)
  }

  #sweep(most: number): number {
    const over = [...this.expiry].filter(([, time]) => time <= this.now)
    const sorted = over.toSorted(([one, first], [other, second]) => first - second || (one < other ? -1 : 1))
    for (const [id] of sorted.slice(0, most)) this.#drop(id)
    return Math.min(sorted.length, most)
  }

  #grant(id: string, weight: number, lease: number): void {
    this.fence = Math.max(this.fence + 1, this.now * 1000)
    this.used += weight
    this.held.set(id, { weight, token: this.fence })
    this.expiry.set(id, this.now + lease)
  }

  #serve(): void {
    for (const id of this.waiting.slice(0, 128)) {
      const place = this.queue.get(id)
      if (place === undefined || this.used >= this.limit) return
      const { channel, lease, seen, weight } = place
      if (seen >= this.now && weight <= this.limit && this.used + weight > this.limit) return
      this.queue.delete(id)
      if (seen < this.now) continue
      if (weight > this.limit) {
        if (channel !== undefined && this.#listening(channel)) {
          this.messages.push({ id, text: `${id} refused ${this.limit}` })
        }
        continue
      }
      this.#grant(id, weight, lease)
      if (channel !== undefined && this.#listening(channel)) {
        this.messages.push({ id, text: `${id} granted ${this.now} ${lease} ${this.fence}` })
      } else this.expiry.set(id, this.now + Math.min(lease, 2000))
    }
  }
}
