/**
 * The observers of a gate.
 *
 * @since 0.1.0
 */
import type { GateObserver } from "../GateStats.ts"

type Event = keyof GateObserver

/** The observers of a gate, combined into one for each event. Without observers an event is `undefined`, so that it costs nothing. */
export class GateObservers {
  #all: ReadonlyArray<Partial<GateObserver>> = []
  admitted: GateObserver["admitted"] | undefined
  refused: GateObserver["refused"] | undefined

  /** Adds an observer of some events. The returned function removes it. */
  add(observer: Partial<GateObserver>): () => void {
    // A copy, so that the same observer can be added twice.
    const own = { ...observer }
    this.#set([...this.#all, own])
    return () => this.#set(this.#all.filter((other) => other !== own))
  }

  #set(all: ReadonlyArray<Partial<GateObserver>>): void {
    this.#all = all
    const admitted = this.#of("admitted")
    const refused = this.#of("refused")
    this.admitted = admitted.length <= 1 ? admitted[0] : (millis) => admitted.forEach((tell) => tell(millis))
    this.refused = refused.length <= 1 ? refused[0] : (resource) => refused.forEach((tell) => tell(resource))
  }

  #of<E extends Event>(event: E): ReadonlyArray<GateObserver[E]> {
    return this.#all.flatMap((one) => one[event] ?? [])
  }
}
