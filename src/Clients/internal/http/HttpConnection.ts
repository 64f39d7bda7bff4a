/**
 * One connection of HTTP/1.1: undici's `Client` on a socket that was dialed here.
 *
 * @since 0.1.0
 */
import type * as Undici from "@effect/platform-node/Undici"
import type * as Effect from "effect/Effect"
import type * as Net from "node:net"
import { TaggedError } from "../../../internal/TaggedError.ts"
import { keepAlive, type PlatformTimer, startTimer } from "../../../internal/Timer.ts"
import type { RawSocket } from "../../../Resource/RawSocket.ts"

/**
 * The connection had ended before the request was written. Nothing of it has reached the server.
 *
 * @category errors
 * @since 0.1.0
 * @stability stable
 */
export class RequestNotSent extends TaggedError("RequestNotSent")<{ readonly origin: string }> {
  readonly isRetryable = true
  readonly sent = false
  override get message(): string {
    return `the connection to ${this.origin} ended before the request was written`
  }
}

type Connected = (...args: [error: null, socket: Net.Socket] | [error: Error, socket: null]) => void

/** The options of undici that a user may set, and how long an idle connection is kept, in milliseconds. */
export interface ClientOptions extends Undici.Client.Options {
  readonly keepAliveTimeout: number
}

/** One connection, which has one request at a time. */
export class HttpConnection {
  readonly origin: string
  readonly client: Undici.Client
  readonly #socket: RawSocket
  /** undici reads the socket from its first request on. */
  #isPassedOn = false
  #isSpent = false

  /**
   * Ends the connection if no request comes. undici has such a timer from the first request on. A server that shuts down waits for
   * connections that have sent none.
   */
  readonly #unusedTimer: PlatformTimer

  constructor(undici: typeof Undici, origin: string, socket: RawSocket, options: ClientOptions) {
    this.origin = origin
    this.#socket = socket
    this.client = new undici.Client(origin, {
      ...options,
      pipelining: 1,
      allowH2: false,
      // A client whose `connect` calls back in the same step never sends its request.
      connect: (_, connected) => queueMicrotask(() => this.#connect(connected))
    })
    // Without a reader the peer's end would not be noticed.
    socket.raw.on("readable", this.#look)
    this.#unusedTimer = startTimer(() => this.end(), options.keepAliveTimeout)
    keepAlive(this.#unusedTimer, false)
  }

  /** Completes when the peer has ended the connection, or its socket is closed. */
  get dead(): Effect.Effect<void> {
    return this.#socket.dead
  }

  /** Whether another request may be sent on it. */
  get isReusable(): boolean {
    const { raw } = this.#socket
    if (this.#isSpent || this.#socket.isDead() || !this.#socket.isCurrent()) return false
    return this.#isPassedOn || raw.readableLength === 0
  }

  /** Sends no further request on it. */
  spend(): void {
    this.#isSpent = true
  }

  /** Ends the connection: by sending FIN if it has no request, and at once during a request. */
  end(): void {
    const { raw } = this.#socket
    this.spend()
    clearTimeout(this.#unusedTimer)
    if (raw.destroyed) return
    if (this.client.stats.size > 0) return this.client.destroy(null, () => {})
    raw.end()
    if (this.#isPassedOn) return
    raw.off("readable", this.#look)
    raw.resume()
  }

  /** Gives undici the socket. undici calls this again when the socket has ended, and gets an error then. */
  #connect(connected: Connected): void {
    const { raw } = this.#socket
    if (this.#isPassedOn || this.#isSpent || this.#socket.isDead()) {
      return connected(new RequestNotSent({ origin: this.origin }), null)
    }
    this.#isPassedOn = true
    clearTimeout(this.#unusedTimer)
    raw.off("readable", this.#look)
    connected(null, raw)
  }

  /** Reading 0 bytes makes an ended stream emit `end`. */
  readonly #look = (): void => {
    const { raw } = this.#socket
    if (raw.readableLength === 0) raw.read(0)
  }
}
