/**
 * Ends the keep-alive of HTTP servers when a program ends. A server that closes waits for its connections, and Node keeps the connection
 * of a request that was under way open for the next request, for the server's `keepAliveTimeout`.
 *
 * It works for every server of `node:http` in the process, Effect's included, because Node announces requests by its diagnostics channels.
 *
 * @since 0.1.0
 */
import * as DiagnosticsChannel from "node:diagnostics_channel"
import * as Http from "node:http"
import type * as Net from "node:net"
import { startTimer } from "../../internal/Timer.ts"

/** What Node announces when a request begins, and when its response was sent. */
interface Announced {
  readonly response: Http.ServerResponse
  readonly server: Http.Server
}

// Node documents what these channels announce.
const announced = (message: unknown): Announced => message as Announced

const requestStart = "http.server.request.start"

/** Asks the client not to send a further request on the connection, unless the head of the response has been sent. */
const lastOf = (response: Http.ServerResponse): void => {
  if (!response.headersSent) response.setHeader("connection", "close")
}

/** What Node announces when a server of any kind has accepted a connection. */
interface Accepted {
  readonly socket: Net.Socket & { readonly server?: unknown }
}

// Node documents what this channel announces. `server` is a property of the sockets of servers.
const accepted = (message: unknown): Accepted => message as Accepted

const socketAccepted = "net.server.socket"

/**
 * How long a connection without a request may send one after the end of the program, in milliseconds. Node counts a connection on which no
 * whole request has come as busy, so that a browser or a proxy that has connected in advance would hold up the end.
 */
const patience = 100

/** The requests that are under way in the HTTP servers of this process. */
export class KeepAlive {
  readonly #underWay = new Map<Http.ServerResponse, Http.Server>()
  /** The connections to HTTP servers, those of TLS without their encryption. */
  readonly #sockets = new Set<Net.Socket>()
  #isOver = false

  readonly #began = (message: unknown): void => {
    const { response, server } = announced(message)
    this.#underWay.set(response, server)
    response.once("close", () => {
      this.#underWay.delete(response)
      // The head of the response may have been sent before the end of the program. Then its connection is idle after this turn.
      // oxlint-disable-next-line effecttsgo/global-timers
      if (this.#isOver) setImmediate(() => server.closeIdleConnections())
    })
    if (this.#isOver) lastOf(response)
  }

  readonly #accepted = (message: unknown): void => {
    const { socket } = accepted(message)
    if (!(socket.server instanceof Http.Server)) return
    this.#sockets.add(socket)
    socket.once("close", () => this.#sockets.delete(socket))
    if (this.#isOver) this.#closeUnusedSoon()
  }

  start(): void {
    DiagnosticsChannel.subscribe(requestStart, this.#began)
    DiagnosticsChannel.subscribe(socketAccepted, this.#accepted)
  }

  /** From now on each response is the last one of its connection. */
  end(): void {
    this.#isOver = true
    for (const response of this.#underWay.keys()) lastOf(response)
    this.#closeUnusedSoon()
  }

  #closeUnusedSoon(): void {
    if (this.#sockets.size === 0) return
    startTimer(() => {
      const used = new Set(Array.from(this.#underWay.keys(), ({ socket }) => socket))
      for (const socket of this.#sockets) if (!used.has(socket)) socket.destroy()
    }, patience)
  }

  stop(): void {
    DiagnosticsChannel.unsubscribe(requestStart, this.#began)
    DiagnosticsChannel.unsubscribe(socketAccepted, this.#accepted)
  }
}
