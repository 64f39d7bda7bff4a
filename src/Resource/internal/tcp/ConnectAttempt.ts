/**
 * One attempt to connect to one address, with its reserved descriptor.
 *
 * @since 0.1.0
 */
import type * as Net from "node:net"
import type { Reservation } from "../../../Monitor/Service.ts"
import type { Target } from "./AddressLookup.ts"

/** A reservation of one descriptor. */
export interface SocketReservation {
  readonly claim: Reservation
  /** Returns the reservation. */
  readonly end: () => void
}

/** The outcome of an attempt. Unless the attempt is destroyed before, one of these functions is called once. */
export interface AttemptEvents {
  readonly connected: (attempt: ConnectAttempt) => void
  readonly failed: (attempt: ConnectAttempt, error: unknown) => void
}

const nothing = (): void => {}

/** A socket that is being connected. */
export class ConnectAttempt {
  readonly target: Target
  readonly raw: Net.Socket
  readonly room: SocketReservation
  #undo: (() => void) | undefined
  readonly #stopListening: () => void

  /**
   * A Unix socket has its descriptor when it is created. A TCP socket gets its descriptor in the step that starts to connect,
   * right after the event `connectionAttempt`. So one microtask after this event, the descriptor exists or never will.
   */
  constructor(target: Target, raw: Net.Socket, room: SocketReservation, outcomes: AttemptEvents) {
    this.target = target
    this.raw = raw
    this.room = room
    const onConnect = () => outcomes.connected(this)
    const onError = (error: unknown) => outcomes.failed(this, error)
    const onClose = () => onError(new Error("the socket was closed before it was connected"))
    raw.once("connect", onConnect).once("error", onError).once("close", onClose)
    this.#stopListening = () => {
      raw.off("connect", onConnect).off("error", onError).off("close", onClose)
    }
    if ("path" in target) this.opened()
    else raw.once("connectionAttempt", () => queueMicrotask(() => this.opened()))
  }

  /** Ends the reservation, because the descriptor exists. The result reserves it again. */
  opened(): () => void {
    if (!this.raw.destroyed) this.#undo ??= this.room.claim.descriptorOpened()
    return this.#undo ?? nothing
  }

  /** Stops watching the socket. */
  release(): void {
    this.#stopListening()
  }

  /** Destroys the socket and returns the reservation. The descriptor is free when this function returns. */
  destroy(): void {
    this.#stopListening()
    // Later errors do not matter, but an `error` event without a listener would end the process.
    this.raw.on("error", nothing)
    this.#undo?.()
    this.raw.destroy()
    this.room.end()
  }
}
