/**
 * One attempt to connect to one address, and what it holds of the gate's room.
 *
 * @since 0.1.0
 */
import type * as Net from "node:net"
import type { Reservation } from "../../../Monitor/Service.ts"
import type { Target } from "./AddressLookup.ts"

/** A claim on room for one descriptor. */
export interface Room {
  readonly claim: Reservation
  /** Gives the claim back to where it comes from. */
  readonly end: () => void
}

/** What an attempt comes to: one of these, once, unless it is given up before. */
export interface Outcomes {
  readonly connected: (attempt: Attempt) => void
  readonly failed: (attempt: Attempt, error: unknown) => void
}

const nothing = (): void => {}

/** A socket that is being connected. */
export class Attempt {
  readonly target: Target
  readonly raw: Net.Socket
  readonly room: Room
  #undo: (() => void) | undefined
  readonly #stopListening: () => void

  /**
   * A Unix socket has its descriptor when it is made. One of TCP gets it in the step that starts the connection, right after
   * the event that announces it, so that a microtask later it is there or will never be.
   */
  constructor(target: Target, raw: Net.Socket, room: Room, outcomes: Outcomes) {
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

  /** Says that the descriptor exists, and returns what claims its room again. */
  opened(): () => void {
    if (!this.raw.destroyed) this.#undo ??= this.room.claim.descriptorOpened()
    return this.#undo ?? nothing
  }

  /** Has the socket go its own way. */
  release(): void {
    this.#stopListening()
  }

  /** Destroys the socket, whose descriptor is free when this returns, and gives back the room. */
  destroy(): void {
    this.#stopListening()
    // Later events do not matter, but an `error` without a listener would end the process.
    this.raw.on("error", nothing)
    this.#undo?.()
    this.raw.destroy()
    this.room.end()
  }
}
