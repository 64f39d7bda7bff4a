/**
 * The connection attempts of one dial: several addresses, of which the first that answers wins (Happy Eyeballs, RFC 8305).
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as Net from "node:net"
import { timeoutOption } from "../../../internal/Timeout.ts"
import type { Reservation } from "../../../Monitor/Service.ts"
import type { Target } from "./AddressLookup.ts"
import { Attempt, type Room } from "./ConnectAttempt.ts"

/** How long an attempt is alone before the next address is tried too: the "Connection Attempt Delay" of RFC 8305, in ms. */
const attemptDelay = 250

/** What the attempts of a dial need. */
export interface AttemptOptions<A> {
  /** Starts to connect. It may throw. */
  readonly connect: (target: Target) => Net.Socket
  /** Takes over the socket that is connected, in the step in which it is. It may throw. */
  readonly adopt: (raw: Net.Socket) => A
  /** The claim of the dial, on one descriptor. */
  readonly claim: Reservation
  /** Room for a further descriptor at the same time; `undefined` if there is none. */
  readonly moreRoom: () => Room | undefined
}

/** What this host lacks for a second socket at the same time; one after the other may do. */
const lacksRoom = (error: unknown): boolean =>
  error instanceof Error && "code" in error && (error.code === "EMFILE" || error.code === "ENFILE")

/**
 * The sockets of a dial until one of them is connected, each with its claim. Whatever happens to the dial, {@link end} has to
 * follow: then no socket is left but the one that was adopted.
 */
export class Attempts<A> {
  /** What came of the addresses that were tried, as far as it is no success. */
  readonly failures: Array<unknown> = []
  /** What the connected socket has become. */
  winner: A | undefined
  readonly #options: AttemptOptions<A>
  #queue: Array<Target> = []
  readonly #pending = new Set<Attempt>()
  #latest: Attempt | undefined
  readonly #main: Room
  #isMainFree = true
  /** There was no room for two descriptors: one at a time from now on. */
  #isSerial = false
  #isOver = false
  #reclaim: (() => void) | undefined
  #onChange: (() => void) | undefined

  constructor(options: AttemptOptions<A>) {
    this.#options = options
    this.#main = { claim: options.claim, end: () => void (this.#isMainFree = true) }
  }

  /**
   * Tries the targets until one is connected: the next one when the last attempt has failed, or after a while beside it. The
   * others are destroyed then. It completes when there is a winner or nothing left to try.
   */
  run(targets: ReadonlyArray<Target>): Effect.Effect<void> {
    const step: Effect.Effect<void> = Effect.suspend(() => {
      if (this.#isSettled) return Effect.void
      const isBeside = this.#startNext() && this.#queue.length > 0
      const next = isBeside
        ? timeoutOption(this.#until(() => this.#hasLatestFailed), attemptDelay)
        : this.#until(() => this.#pending.size === 0)
      return Effect.andThen(next, step)
    })
    return Effect.suspend(() => {
      if (!this.#isOver) this.#queue = [...targets]
      return Effect.onExitPrimitive(step, () => {
        this.end()
        return undefined
      })
    })
  }

  /** Claims the room of the adopted socket again. Call it just before that is closed. */
  reclaim(): void {
    this.#reclaim?.()
  }

  /** Destroys every socket but the adopted one. Their descriptors are free when it returns. */
  end(): void {
    this.#isOver = true
    this.#queue = []
    this.#destroyPending()
    this.#onChange?.()
  }

  get #isSettled(): boolean {
    return this.winner !== undefined || this.#isOver || (this.#queue.length === 0 && this.#pending.size === 0)
  }

  get #hasLatestFailed(): boolean {
    return this.#latest === undefined || !this.#pending.has(this.#latest)
  }

  /** Completes as soon as the condition holds, or nothing more is to be done. */
  #until(condition: () => boolean): Effect.Effect<void> {
    return Effect.callback((resume) => {
      const look = () => {
        if (condition() || this.#isSettled) resume(Effect.void)
      }
      this.#onChange = look
      look()
    })
  }

  /** Starts the attempt on the next address; `false` if there is none, or no room for it beside those that are under way. */
  #startNext(): boolean {
    const room = this.#queue.length === 0 ? undefined : this.#room()
    const target = room && this.#queue.shift()
    if (room === undefined || target === undefined) return false
    try {
      this.#latest = new Attempt(target, this.#options.connect(target), room, {
        connected: (attempt) => this.#connected(attempt),
        failed: (attempt, error) => this.#failed(attempt, error)
      })
      this.#pending.add(this.#latest)
    } catch (error) {
      this.#latest = undefined
      this.failures.push(error)
      room.end()
    }
    return true
  }

  #room(): Room | undefined {
    if (this.#isMainFree) {
      this.#isMainFree = false
      return this.#main
    }
    const room = this.#isSerial ? undefined : this.#options.moreRoom()
    this.#isSerial ||= room === undefined
    return room
  }

  #connected(attempt: Attempt): void {
    this.#pending.delete(attempt)
    const undo = attempt.opened()
    attempt.release()
    this.#destroyPending()
    this.#reclaim = attempt.room === this.#main ? undo : this.#moveClaim(attempt.room)
    try {
      this.winner = this.#options.adopt(attempt.raw)
    } catch (error) {
      attempt.destroy()
      this.failures.push(error)
      this.#queue = []
    }
    this.#onChange?.()
  }

  /** From now on the claim of the dial stands for the descriptor that another one was claimed for. */
  #moveClaim(from: Room): () => void {
    from.end()
    this.#isMainFree = false
    return this.#options.claim.descriptorOpened()
  }

  #failed(attempt: Attempt, error: unknown): void {
    this.#pending.delete(attempt)
    attempt.destroy()
    if (lacksRoom(error) && this.#pending.size > 0) {
      this.#isSerial = true
      this.#queue.unshift(attempt.target)
    } else this.failures.push(error)
    this.#onChange?.()
  }

  #destroyPending(): void {
    for (const attempt of this.#pending) attempt.destroy()
    this.#pending.clear()
  }
}
