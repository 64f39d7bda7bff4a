/**
 * Keeps the unread notifications of one connection.
 *
 * They are kept as lines and parsed when they are read. A text takes at most two bytes of memory for each character, but its
 * parsed value can take thirty times as much if the peer chooses it so (such as `[[[[`).
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as MutableList from "effect/MutableList"
import * as Queue from "effect/Queue"
import type { JsonRpcError } from "../../JsonRpcError.ts"
import { decodeLine } from "./Codec.ts"

/**
 * A message of the server that needs no answer.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export interface Notification {
  readonly method: string
  /** An object, an array, or `undefined`. */
  readonly params: unknown
}

/** The limits of an inbox. */
export interface Bounds {
  readonly messages: number
  /** The length of all lines together; at least that of the longest possible line, so that any single message fits. */
  readonly length: number
}

type Lines = Queue.Queue<string, JsonRpcError | Cause.Done>

/** Keeps the latest notifications, and drops the oldest when a bound is reached. */
export class Inbox {
  readonly #queue: Lines
  readonly #bounds: Bounds
  /** How many were dropped. */
  dropped = 0
  /**
   * The length of each line of the queue, oldest first, and their sum. A reader takes a line only from the queue, so its length
   * is subtracted when the next line comes: if there are more lengths than lines, the oldest are of lines that were taken.
   */
  readonly #lengths = MutableList.make<number>()
  #length = 0

  constructor(queue: Lines, bounds: Bounds) {
    this.#queue = queue
    this.#bounds = bounds
  }

  /** Adds the line of a notification. */
  offer(line: string): void {
    this.#forgetTaken()
    while (this.#isFull(line.length) && Queue.takeUnsafe(this.#queue) !== undefined) {
      this.dropped++
      this.#forgetTaken()
    }
    if (!Queue.offerUnsafe(this.#queue, line)) return
    MutableList.append(this.#lengths, line.length)
    this.#length += line.length
  }

  /** The oldest notification that is kept. Waits for one; fails with the reason at the end. */
  get take(): Effect.Effect<Notification, JsonRpcError | Cause.Done> {
    return Effect.flatMap(Queue.take(this.#queue), (line) => {
      const message = decodeLine(line)
      return message._tag === "Notification"
        ? Effect.succeed({ method: message.method, params: message.params })
        : Effect.die(new Error("a line that is no notification was kept as one"))
    })
  }

  /** Ends the queue: its lines can still be read, and then the error follows, if there is one. */
  end(error: JsonRpcError | undefined): void {
    if (error === undefined) Queue.endUnsafe(this.#queue)
    else Queue.failCauseUnsafe(this.#queue, Cause.fail(error))
  }

  #isFull(more: number): boolean {
    return this.#lengths.length > 0 &&
      (this.#lengths.length >= this.#bounds.messages || this.#length + more > this.#bounds.length)
  }

  #forgetTaken(): void {
    while (this.#lengths.length > Queue.sizeUnsafe(this.#queue)) {
      const length = MutableList.take(this.#lengths)
      if (length !== MutableList.Empty) this.#length -= length
    }
  }
}

/** An empty inbox. */
export const make = (bounds: Bounds): Effect.Effect<Inbox> =>
  Effect.map(Queue.unbounded<string, JsonRpcError | Cause.Done>(), (queue) => new Inbox(queue, bounds))
