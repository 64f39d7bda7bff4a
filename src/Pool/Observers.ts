/**
 * Who is told of what happens in a pool, as it happens.
 *
 * @since 0.1.0
 */

/** Durations are in milliseconds. */
export interface Observer {
  readonly opened: (millis: number) => void
  /** A borrow that had to wait has got its connection. */
  readonly waited: (millis: number) => void
  /** A connection has come back from a borrower. */
  readonly used: (millis: number) => void
  readonly timedOut: () => void
  /** A connect or a finalizer did not end in time. */
  readonly leftBehind: (what: "Connect" | "Close") => void
  /** What is known of an endpoint may have changed. */
  readonly judged: () => void
}

const combine = (observers: ReadonlyArray<Observer>): Observer | undefined => {
  if (observers.length <= 1) return observers[0]
  const tell = (what: (observer: Observer) => void) => {
    for (const observer of observers) what(observer)
  }
  return {
    opened: (millis) => tell((observer) => observer.opened(millis)),
    waited: (millis) => tell((observer) => observer.waited(millis)),
    used: (millis) => tell((observer) => observer.used(millis)),
    timedOut: () => tell((observer) => observer.timedOut()),
    leftBehind: (what) => tell((observer) => observer.leftBehind(what)),
    judged: () => tell((observer) => observer.judged())
  }
}

/** Everybody who is told, as one observer, or as none, which costs a pool nothing. */
export class Observers {
  #all: ReadonlyArray<Observer> = []
  current: Observer | undefined

  /** Tells an observer from now on; the result ends that. */
  add(observer: Observer): () => void {
    this.#set([...this.#all, observer])
    return () => this.#set(this.#all.filter((other) => other !== observer))
  }

  #set(all: ReadonlyArray<Observer>): void {
    this.#all = all
    this.current = combine(all)
  }
}
