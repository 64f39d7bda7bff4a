/**
 * A queue whose entries are numbered in the order of their arrival, may leave from anywhere, and know how many are before them.
 */
export class Ranks {
  /** A Fenwick tree: how many entries are in the queue, by ranges of their numbers. */
  #tree = new Int32Array(1025)
  #ids: Array<string | undefined> = []
  #first = 0
  #size = 0

  get size(): number {
    return this.#size
  }

  /** Adds an entry at the end, and returns its number. */
  push(id: string): number {
    const number = this.#ids.push(id) - 1
    if (number + 1 >= this.#tree.length) this.#grow()
    this.#add(number, 1)
    this.#size++
    return number
  }

  remove(number: number): void {
    if (this.#ids[number] === undefined) return
    this.#ids[number] = undefined
    this.#add(number, -1)
    this.#size--
  }

  get head(): string | undefined {
    while (this.#first < this.#ids.length && this.#ids[this.#first] === undefined) this.#first++
    return this.#ids[this.#first]
  }

  /** How many entries are before this number. */
  rank(number: number): number {
    let sum = 0
    for (let index = number; index > 0; index -= index & -index) sum += this.#tree[index] ?? 0
    return sum
  }

  get all(): ReadonlyArray<string> {
    return this.#ids.slice(this.#first).filter((id) => id !== undefined)
  }

  #add(number: number, change: number): void {
    const tree = this.#tree
    for (let index = number + 1; index < tree.length; index += index & -index) tree[index] = (tree[index] ?? 0) + change
  }

  #grow(): void {
    this.#tree = new Int32Array(2 * this.#tree.length - 1)
    for (const [number, id] of this.#ids.entries()) {
      if (id !== undefined && number < this.#ids.length - 1) this.#add(number, 1)
    }
  }
}
