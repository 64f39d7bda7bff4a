/**
 * Finds what belongs to a key, by value.
 *
 * @since 0.1.0
 */
import * as MutableHashMap from "effect/MutableHashMap"
import * as Option from "effect/Option"

/**
 * A map whose keys are equal by `Equal`, with a short cut for a key object that was seen before.
 *
 * **Details**
 *
 * The hash of a structured key is worth remembering: most programs make an endpoint once and borrow with it for ever. The
 * short cut holds its keys weakly, so that a program that makes a new endpoint object for each borrow leaves nothing.
 */
export class KeyIndex<K, V extends { readonly key: K; readonly isForgotten: boolean }> {
  readonly #primitives = new Map<K, V>()
  readonly #objects = MutableHashMap.empty<K, V>()
  readonly #seen = new WeakMap<object, V>()

  get(key: K): V | undefined {
    if (typeof key !== "object" || key === null) return this.#primitives.get(key)
    const seen = this.#seen.get(key)
    if (seen !== undefined && !seen.isForgotten) return seen
    const found = Option.getOrUndefined(MutableHashMap.get(this.#objects, key))
    if (found !== undefined) this.#seen.set(key, found)
    return found
  }

  add(value: V): void {
    const { key } = value
    if (typeof key !== "object" || key === null) this.#primitives.set(key, value)
    else MutableHashMap.set(this.#objects, key, value)
  }

  /** Forgets a value, which is marked as forgotten: the short cuts to it cannot be listed, and lead nowhere from then on. */
  remove(value: V): void {
    const { key } = value
    if (typeof key !== "object" || key === null) this.#primitives.delete(key)
    else {
      MutableHashMap.remove(this.#objects, key)
      this.#seen.delete(key)
    }
  }

  values(): ReadonlyArray<V> {
    return [...this.#primitives.values(), ...MutableHashMap.values(this.#objects)]
  }
}
