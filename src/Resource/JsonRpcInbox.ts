/**
 * The notifications of one connection that nobody has read yet: bounded by their number and by the bytes of their lines.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as MutableList from "effect/MutableList"
import * as Queue from "effect/Queue"
import type { JsonRpcError } from "./JsonRpcError.ts"

/**
 * A message of the server that wants no answer.
 *
 * @category models
 * @since 0.1.0
 */
export interface Notification {
  readonly method: string
  /** An object, an array, or `undefined`. */
  readonly params: unknown
}

/** How much an inbox keeps. */
export interface Bounds {
  readonly messages: number
  /** At least as much as the longest line has, so that every message fits alone. */
  readonly bytes: number
}

/** Keeps the latest notifications, and drops the oldest where a bound is reached. */
export class Inbox {
  readonly queue: Queue.Queue<Notification, JsonRpcError | Cause.Done>
  /** How many were dropped. */
  dropped = 0
  readonly #bounds: Bounds
  /**
   * The bytes of each message of the queue, oldest first, and their sum. Readers take from the queue alone, so what they
   * took is subtracted when the next message comes: sizes that have no message any more are those of the oldest.
   */
  readonly #sizes = MutableList.make<number>()
  #bytes = 0

  constructor(queue: Queue.Queue<Notification, JsonRpcError | Cause.Done>, bounds: Bounds) {
    this.queue = queue
    this.#bounds = bounds
  }

  /** Adds the notification that came in a line of this many bytes. */
  offer(notification: Notification, bytes: number): void {
    this.#forgetTaken()
    while (this.#isFull(bytes) && Queue.takeUnsafe(this.queue) !== undefined) {
      this.dropped++
      this.#forgetTaken()
    }
    if (!Queue.offerUnsafe(this.queue, notification)) return
    MutableList.append(this.#sizes, bytes)
    this.#bytes += bytes
  }

  /** Ends the queue: what is in it can still be read, then comes the error, if there is one. */
  end(error: JsonRpcError | undefined): void {
    if (error === undefined) Queue.endUnsafe(this.queue)
    else Queue.failCauseUnsafe(this.queue, Cause.fail(error))
  }

  #isFull(more: number): boolean {
    return this.#sizes.length > 0 &&
      (this.#sizes.length >= this.#bounds.messages || this.#bytes + more > this.#bounds.bytes)
  }

  #forgetTaken(): void {
    while (this.#sizes.length > Queue.sizeUnsafe(this.queue)) {
      const size = MutableList.take(this.#sizes)
      if (size !== MutableList.Empty) this.#bytes -= size
    }
  }
}

/** An empty inbox. */
export const make = (bounds: Bounds): Effect.Effect<Inbox> =>
  Effect.map(Queue.unbounded<Notification, JsonRpcError | Cause.Done>(), (queue) => new Inbox(queue, bounds))
