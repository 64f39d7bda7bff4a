/**
 * One value for each label, within a bound on their number: labels may come from untrusted input.
 *
 * @since 0.1.0
 */

/** A value that can be dropped. `now` is the time of the caller. */
export interface Droppable {
  /** Whether it equals a new one, so that nothing is lost with it. */
  readonly isLikeNew: (now: number) => boolean
  /** Of two values, the one with the lower worth is dropped first. */
  readonly worth: (now: number) => number
}

/** With fewer values than this there is no search for values to drop. */
const few = 100

/** The share of the bound that is kept when values are dropped. */
const keptShare = 0.9

/** Makes the value of a label when it is first asked for. */
export class LabelMap<A extends Droppable> {
  readonly #bound: number
  readonly #make: (label: string) => A
  /** In the order in which they were made. */
  readonly #values = new Map<string, A>()
  #sweepAt: number

  constructor(bound: number, make: (label: string) => A) {
    this.#bound = bound
    this.#make = make
    this.#sweepAt = Math.min(few, bound)
  }

  get all(): ReadonlyMap<string, A> {
    return this.#values
  }

  get(label: string, now: number): A {
    const found = this.#values.get(label)
    if (found !== undefined) return found
    if (this.#values.size >= this.#sweepAt) this.#sweep(now)
    const made = this.#make(label)
    this.#values.set(label, made)
    return made
  }

  /** Drops the values that equal a new one, each time the number of values has doubled. */
  #sweep(now: number): void {
    for (const [label, value] of this.#values) if (value.isLikeNew(now)) this.#values.delete(label)
    if (this.#values.size >= this.#bound) this.#drop(now)
    this.#sweepAt = Math.min(this.#bound, Math.max(few, this.#values.size * 2))
  }

  /** Drops the values with the lowest worth; of equal ones the oldest. */
  #drop(now: number): void {
    const entries = Array.from(this.#values, ([label, value]) => ({ label, worth: value.worth(now) }))
    // The difference of two infinities is no number.
    entries.sort((left, right) => left.worth === right.worth ? 0 : left.worth - right.worth)
    const surplus = entries.length - Math.floor(this.#bound * keptShare)
    for (const { label } of entries.slice(0, surplus)) this.#values.delete(label)
  }
}
