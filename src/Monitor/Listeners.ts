/**
 * A stream for whoever listens, told by a function. `PubSub` and `Queue` do the same and more, for 5 KB and 2 KB of a
 * bundle.
 *
 * @since 0.1.0
 */
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Channel from "effect/Channel"
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"

/**
 * Those who listen, and what they listen to.
 *
 * @category models
 * @since 0.1.0
 */
export interface Listeners<A> {
  /** What is told from now on, until the scope ends; who is slow misses the oldest. */
  readonly stream: Stream.Stream<A>
  /** Tells all who listen. Nobody is waited for, and nobody runs before this returns. */
  readonly tell: (value: A) => void
}

type Told<A> = Effect.Effect<Arr.NonEmptyReadonlyArray<A>, Cause.Done>

/** One who listens, and what it has not heard yet. */
class Listener<A> {
  readonly #bufferSize: number
  #unheard: ReadonlyArray<A>
  #hasEnded: boolean
  #wake: (() => void) | undefined

  constructor(bufferSize: number, unheard: ReadonlyArray<A>, hasEnded: boolean) {
    this.#bufferSize = bufferSize
    this.#unheard = unheard
    this.#hasEnded = hasEnded
  }

  tell(value: A): void {
    this.#unheard = [...this.#unheard, value].slice(-this.#bufferSize)
    this.#wake?.()
  }

  end(): void {
    this.#hasEnded = true
    this.#wake?.()
  }

  /** All that it has not heard yet, as soon as there is something, and the end after it. */
  readonly next: Told<A> = Effect.suspend(() => {
    const unheard = this.#unheard
    this.#unheard = []
    if (Arr.isReadonlyArrayNonEmpty(unheard)) return Effect.succeed(unheard)
    return this.#hasEnded ? Cause.done() : Effect.flatMap(this.#news, () => this.next)
  })

  /** Whoever tells must not run those who listen, so they go on in a later step. */
  readonly #news = Effect.callback<void>((resume) => {
    this.#wake = () => {
      this.#wake = undefined
      resume(Effect.yieldNow)
    }
    return Effect.sync(() => {
      this.#wake = undefined
    })
  })
}

const open = <A>(bufferSize: number, first: () => ReadonlyArray<A>): Listeners<A> & { readonly end: () => void } => {
  const listeners = new Set<Listener<A>>()
  let hasEnded = false
  const listen = Effect.acquireRelease(
    Effect.sync(() => {
      const listener = new Listener(bufferSize, hasEnded ? [] : first(), hasEnded)
      listeners.add(listener)
      return listener
    }),
    (listener) => Effect.sync(() => listeners.delete(listener))
  )
  return {
    stream: Stream.fromChannel(
      Channel.fromTransform((_, scope) => Effect.map(Scope.provide(listen, scope), (listener) => listener.next))
    ),
    tell: (value) => {
      for (const listener of listeners) listener.tell(value)
    },
    end: () => {
      hasEnded = true
      for (const listener of listeners) listener.end()
      listeners.clear()
    }
  }
}

/**
 * Nobody listens yet. Each one who does has a queue of `bufferSize`, and is first told what `first` gives. When the scope ends,
 * they are told what is left in their queues, and their streams end; one that begins later ends at once.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <A>(
  bufferSize: number,
  first: () => ReadonlyArray<A> = () => []
): Effect.Effect<Listeners<A>, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => open(bufferSize, first)),
    ({ end }) => Effect.sync(end)
  )
