/**
 * The connection attempts of one dial: several addresses, of which the first that answers wins (Happy Eyeballs, RFC 8305).
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as Net from "node:net"
import { descriptorLimitCode } from "../../../internal/DescriptorLimit.ts"
import { timeoutOption } from "../../../internal/Timeout.ts"
import type { Reservation } from "../../../Monitor/Service.ts"
import type { Target } from "./AddressLookup.ts"
import { ConnectAttempt, type SocketReservation } from "./ConnectAttempt.ts"

/** How many milliseconds after one attempt the next address is tried too: the "Connection Attempt Delay" of RFC 8305. */
const attemptDelay = 250

/** The functions of a dial that the attempts use. */
export interface AttemptOptions<A> {
  /** Starts to connect. May throw. */
  readonly connect: (target: Target) => Net.Socket
  /** Called with the connected socket, in the same step. May throw. */
  readonly adopt: (raw: Net.Socket, target: Target) => A
  /** The dial's reservation, of one descriptor. */
  readonly claim: Reservation
  /** Reserves a further descriptor; `undefined` if the gate refuses. */
  readonly reserveMore: () => SocketReservation | undefined
}

/**
 * The sockets of a dial until one of them is connected, each with its reservation. At the end of the dial, in any case,
 * {@link end} has to be called: then only the adopted socket is left.
 */
export class HappyEyeballs<A> {
  /** The failures of the addresses that were tried. */
  readonly failures: Array<unknown> = []
  /** What `adopt` has returned for the connected socket. */
  winner: A | undefined
  readonly #options: AttemptOptions<A>
  #queue: Array<Target> = []
  readonly #pending = new Set<ConnectAttempt>()
  #latest: ConnectAttempt | undefined
  readonly #main: SocketReservation
  #isMainFree = true
  /** A second reservation was refused: one attempt at a time from now on. */
  #isSerial = false
  #isOver = false
  #reclaim: (() => void) | undefined
  #onChange: (() => void) | undefined

  constructor(options: AttemptOptions<A>) {
    this.#options = options
    this.#main = { claim: options.claim, end: () => void (this.#isMainFree = true) }
  }

  /**
   * Tries the targets until one is connected. The next attempt starts when the last one has failed, or {@link attemptDelay}
   * after it. The first connected socket wins, and the others are destroyed. It completes when there is a winner, or when all
   * targets have failed.
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

  /** Reserves the descriptor of the adopted socket again. Call it just before that socket is closed. */
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

  /** Completes as soon as the condition holds, or the run is settled. */
  #until(condition: () => boolean): Effect.Effect<void> {
    return Effect.callback((resume) => {
      const look = () => {
        if (condition() || this.#isSettled) resume(Effect.void)
      }
      this.#onChange = look
      look()
    })
  }

  /**
   * Starts the attempt on the next address; `false` if there is no address left, or no reservation for another attempt at the
   * same time.
   */
  #startNext(): boolean {
    const room = this.#queue.length === 0 ? undefined : this.#room()
    const target = room && this.#queue.shift()
    if (room === undefined || target === undefined) return false
    try {
      this.#latest = new ConnectAttempt(target, this.#options.connect(target), room, {
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

  #room(): SocketReservation | undefined {
    if (this.#isMainFree) {
      this.#isMainFree = false
      return this.#main
    }
    const room = this.#isSerial ? undefined : this.#options.reserveMore()
    this.#isSerial ||= room === undefined
    return room
  }

  #connected(attempt: ConnectAttempt): void {
    this.#pending.delete(attempt)
    const undo = attempt.opened()
    attempt.release()
    this.#destroyPending()
    this.#reclaim = attempt.room === this.#main ? undo : this.#moveClaim(attempt.room)
    try {
      this.winner = this.#options.adopt(attempt.raw, attempt.target)
    } catch (error) {
      attempt.destroy()
      this.failures.push(error)
      this.#queue = []
    }
    this.#onChange?.()
  }

  /** Moves the winner from its own reservation to that of the dial. */
  #moveClaim(from: SocketReservation): () => void {
    from.end()
    this.#isMainFree = false
    return this.#options.claim.descriptorOpened()
  }

  #failed(attempt: ConnectAttempt, error: unknown): void {
    this.#pending.delete(attempt)
    attempt.destroy()
    // There is no descriptor for two sockets at once, but one after the other may succeed.
    if (descriptorLimitCode(error) !== undefined && this.#pending.size > 0) {
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
