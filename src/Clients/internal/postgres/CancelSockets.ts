/**
 * The CancelRequests of one session. Each gets a new socket to the server of its session. The socket does not pass the monitor's
 * gate, because a CancelRequest frees resources.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Net from "node:net"
import { elapsed, timeoutOrElse } from "../../../internal/Timeout.ts"
import type { Endpoint } from "../../../Resource/Endpoint.ts"
import type { RawSocket } from "../../../Resource/RawSocket.ts"

/** How long a statement may run after its CancelRequest. After that its session is ended. */
const patience = "1 second"

/** The address to which the session is connected. Other addresses of the same name may be those of other servers. */
const addressOf = (endpoint: Endpoint, { remoteAddress, remotePort }: Net.Socket): Net.NetConnectOpts =>
  endpoint._tag === "UnixEndpoint"
    ? { path: endpoint.path }
    : { host: remoteAddress ?? endpoint.host, port: remotePort ?? endpoint.port, noDelay: true }

const closed = (socket: Net.Socket): Effect.Effect<void> =>
  Effect.callback((resume) => {
    if (socket.closed) return resume(Effect.void)
    const onClose = () => resume(Effect.void)
    socket.once("close", onClose)
    return Effect.sync(() => socket.off("close", onClose))
  })

type Fork = (effect: Effect.Effect<void>) => Fiber.Fiber<void>

export class CancelSockets {
  readonly #address: Net.NetConnectOpts
  readonly #session: RawSocket
  readonly #fork: Fork
  readonly #sockets = new Set<Net.Socket>()
  #limit: Fiber.Fiber<void> | undefined

  /** `fork` runs the time limit of a cancelled statement. */
  constructor(endpoint: Endpoint, session: RawSocket, fork: Fork) {
    this.#address = addressOf(endpoint, session.raw)
    this.#session = session
    this.#fork = fork
  }

  /** Connects for one CancelRequest, whose sender ends the socket. */
  connect(): Net.Socket {
    const socket = Net.connect(this.#address)
    this.#sockets.add(socket)
    return socket.on("error", () => {}).once("close", () => this.#sockets.delete(socket))
  }

  /** Ends the session if its cancelled statement does not end soon, because the server is silent or the request was lost. */
  limit(): void {
    this.#limit ??= this.#fork(Effect.andThen(
      elapsed(patience),
      Effect.sync(() => {
        this.#session.raw.destroy()
        this.#destroyAll()
      })
    ))
  }

  /** The statement has ended. */
  drained(): void {
    this.#limit?.interruptUnsafe()
    this.#limit = undefined
  }

  /** Waits until all sockets are closed. Those that are still open after a short time are destroyed. */
  readonly end: Effect.Effect<void> = Effect.suspend(() => {
    this.drained()
    if (this.#sockets.size === 0) return Effect.void
    return timeoutOrElse(Effect.interruptible(Effect.forEach(this.#sockets, closed, { discard: true })), {
      duration: patience,
      orElse: () => Effect.sync(() => this.#destroyAll())
    })
  })

  #destroyAll(): void {
    for (const socket of this.#sockets) socket.destroy()
  }
}
