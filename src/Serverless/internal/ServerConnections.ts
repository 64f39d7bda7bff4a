/**
 * The connections to the HTTP servers of this process, and their end.
 *
 * Node counts a connection on which no whole request has come as busy, so that a browser or a proxy that has connected in advance would
 * hold up a server that closes.
 *
 * @since 0.1.0
 */
import * as DiagnosticsChannel from "node:diagnostics_channel"
import type * as Net from "node:net"
import type * as Tls from "node:tls"
import { afterTurn, keepAlive, startTimer } from "../../internal/Timer.ts"

/** What Node announces when a server of any kind has accepted a connection. */
interface Accepted {
  /** `server` is a property of the sockets of servers. */
  readonly socket: Net.Socket & { readonly server?: object | null }
}

// Node documents what this channel announces.
const accepted = (message: unknown): Accepted => message as Accepted

const socketAccepted = "net.server.socket"

/** How often the connections are looked at after the end of the program, in milliseconds. */
const interval = 300

interface Connection {
  readonly server: Net.Server
  /** TLS is not established yet. */
  readonly isHandshake: boolean
  /** The bytes that had come when the connection was last seen without a request, after its server had stopped listening. */
  seen: number | undefined
}

/** The servers of `node:http`, `node:https` and `node:http2` have no class in common but `net.Server`. */
const isHttp = (server: object | null | undefined): server is Net.Server =>
  server !== undefined && server !== null && ("closeIdleConnections" in server || "updateSettings" in server)

const isTls = (server: Net.Server): boolean => "setSecureContext" in server

/**
 * Whether a socket speaks HTTP. Node removes the parser from a connection that was upgraded, for which the code that has upgraded it is
 * responsible. Node does not document the property. Without it all connections would count as upgraded, and none would be closed here. A
 * connection of HTTP/2 has none either: Node ends it after its last request.
 */
const isParsed = (socket: Net.Socket): boolean => "parser" in socket && socket.parser !== null

/** Connects the socket below TLS and the one above. Both have the same peer. */
const peerOf = (socket: Net.Socket): string => `${socket.localPort} ${socket.remoteAddress} ${socket.remotePort}`

export class ServerConnections {
  readonly #connections = new Map<Net.Socket, Connection>()
  /** The connections in the middle of the handshake of TLS. */
  readonly #handshakes = new Map<string, Net.Socket>()
  readonly #observed = new WeakSet<Net.Server>()
  readonly #busy: () => ReadonlySet<unknown>
  /** Ends the wait for the next look at the connections. */
  #cancel: (() => void) | undefined

  /** `busy` has the sockets on which a request is under way. */
  constructor(busy: () => ReadonlySet<unknown>) {
    this.#busy = busy
  }

  readonly #accepted = (message: unknown): void => {
    const { socket } = accepted(message)
    const { server } = socket
    if (!isHttp(server)) return
    if (!isTls(server)) return this.#add(socket, server, false)
    this.#observe(server)
    // A connection to a Unix path has no peer by which both sockets are recognized.
    if (socket.remotePort === undefined) return
    const peer = peerOf(socket)
    this.#handshakes.set(peer, socket)
    this.#add(socket, server, true)
    socket.once("close", () => {
      if (this.#handshakes.get(peer) === socket) this.#handshakes.delete(peer)
    })
  }

  /** Follows the connections of a server with TLS, whose requests come on other sockets than it has accepted. */
  #observe(server: Net.Server): void {
    if (this.#observed.has(server)) return
    this.#observed.add(server)
    server.on("secureConnection", (socket: Tls.TLSSocket) => {
      const peer = peerOf(socket)
      const below = this.#handshakes.get(peer)
      this.#handshakes.delete(peer)
      if (below !== undefined) this.#connections.delete(below)
      this.#add(socket, server, false)
    })
  }

  #add(socket: Net.Socket, server: Net.Server, isHandshake: boolean): void {
    this.#connections.set(socket, { server, isHandshake, seen: undefined })
    socket.once("close", () => this.#connections.delete(socket))
  }

  start(): void {
    DiagnosticsChannel.subscribe(socketAccepted, this.#accepted)
  }

  /** From now on connections without a request are closed when their server has stopped listening. */
  end(): void {
    this.#wait()
  }

  /** Closes all connections of servers that have stopped listening. Returns whether there were any. */
  cut(): boolean {
    const stopped = Array.from(this.#connections).filter(([, { server }]) => !server.listening)
    for (const [socket] of stopped) socket.destroy()
    return stopped.length > 0
  }

  stop(): void {
    this.#cancel?.()
    DiagnosticsChannel.unsubscribe(socketAccepted, this.#accepted)
  }

  /**
   * Node does not announce that a server stops listening. The open connections keep the process alive, so the timer does not. After the
   * event loop was blocked, or the process was stopped, timers fire before sockets are read, so that what has come is read first.
   */
  #wait(): void {
    const timer = startTimer(() => {
      this.#cancel = afterTurn(() => {
        this.#closeUnused()
        this.#wait()
      })
    }, interval)
    keepAlive(timer, false)
    this.#cancel = () => clearTimeout(timer)
  }

  /** Closes each connection without a request on which nothing has come since the last time. Its server has stopped listening before that. */
  #closeUnused(): void {
    const busy = this.#busy()
    for (const [socket, connection] of this.#connections) {
      const { isHandshake, server } = connection
      if (server.listening || busy.has(socket) || !(isHandshake || isParsed(socket))) connection.seen = undefined
      else if (connection.seen === socket.bytesRead) socket.destroy()
      else connection.seen = socket.bytesRead
    }
  }
}
