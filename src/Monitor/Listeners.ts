/**
 * A stream for whoever listens, told by a function. `PubSub` does the same and more, for 5 KB of a bundle.
 *
 * @since 0.1.0
 */
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
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

const open = <A>(bufferSize: number, first: () => ReadonlyArray<A>): Listeners<A> & { readonly end: () => void } => {
  const queues = new Set<Queue.Queue<A, Cause.Done>>()
  let hasEnded = false
  const listen = (queue: Queue.Queue<A, Cause.Done>): unknown => {
    if (hasEnded) return Queue.endUnsafe(queue)
    Queue.offerAllUnsafe(queue, first())
    return queues.add(queue)
  }
  return {
    stream: Stream.callback((queue) =>
      Effect.acquireRelease(
        Effect.sync(() => listen(queue)),
        () => Effect.sync(() => queues.delete(queue))
      ), { bufferSize, strategy: "sliding" }),
    tell: (value) => {
      for (const queue of queues) Queue.offerUnsafe(queue, value)
    },
    end: () => {
      hasEnded = true
      for (const queue of queues) Queue.endUnsafe(queue)
      queues.clear()
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
