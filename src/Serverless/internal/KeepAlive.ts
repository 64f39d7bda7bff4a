/**
 * Ends the keep-alive of HTTP servers when a program ends. A server that closes waits for its connections, and Node keeps the connection
 * of a request that was under way open for the next request, for the server's `keepAliveTimeout`.
 *
 * It works for every server of `node:http` and `node:https` in the process, Effect's included, because Node announces requests and
 * connections by its diagnostics channels. It closes no connection of a server that still listens: a program may answer requests for some
 * seconds after the signal, until load balancers know that it ends.
 *
 * @since 0.1.0
 */
import * as DiagnosticsChannel from "node:diagnostics_channel"
import type * as Http from "node:http"
import { inNextTurn } from "../../internal/Timer.ts"
import { ServerConnections } from "./ServerConnections.ts"

/** What Node announces when a request begins. */
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

/** The requests that are under way in the HTTP servers of this process, and the connections of these servers. */
export class KeepAlive {
  readonly #underWay = new Map<Http.ServerResponse, Http.Server>()
  readonly #connections = new ServerConnections(() =>
    new Set(Array.from(this.#underWay.keys(), ({ socket }) => socket))
  )
  #isOver = false

  readonly #began = (message: unknown): void => {
    const { response, server } = announced(message)
    this.#underWay.set(response, server)
    response.once("close", () => {
      this.#underWay.delete(response)
      // The head of the response may have been sent before the end of the program. Then its connection is idle after this turn.
      if (this.#isOver) inNextTurn(() => server.listening ? undefined : server.closeIdleConnections())
    })
    if (this.#isOver) lastOf(response)
  }

  /** The number of requests that are under way. */
  get requests(): number {
    return this.#underWay.size
  }

  start(): void {
    DiagnosticsChannel.subscribe(requestStart, this.#began)
    this.#connections.start()
  }

  /** From now on each response is the last one of its connection. Of requests that were sent together, that of the last one is. */
  end(): void {
    this.#isOver = true
    const last = new Map(Array.from(this.#underWay.keys(), (response) => [response.req.socket, response]))
    for (const response of last.values()) lastOf(response)
    this.#connections.end()
  }

  /** Ends all connections of servers that have stopped listening, also those with a request or an upgrade. Returns whether there were any. */
  cut(): boolean {
    return this.#connections.cut()
  }

  stop(): void {
    DiagnosticsChannel.unsubscribe(requestStart, this.#began)
    this.#connections.stop()
  }
}
