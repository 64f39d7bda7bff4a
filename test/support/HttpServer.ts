/**
 * A real HTTP server for tests that keeps an account of every connection it saw.
 */
import { Effect, type Scope } from "effect"
import * as Http from "node:http"
import * as Https from "node:https"
import type * as Net from "node:net"
import type * as Tls from "node:tls"

export interface HttpServer {
  readonly url: string
  readonly port: number
  readonly server: Http.Server
  /** The connections that are open. */
  readonly sockets: Set<Net.Socket>
  readonly account: {
    opened: number
    /** Most connections open at once. */
    peak: number
    requests: number
    /** Connections that ended without a request. */
    unused: number
  }
}

export interface Options {
  readonly port?: number
  readonly tls?: Tls.TlsOptions
  /** Options of Node's server, such as `keepAliveTimeout`. */
  readonly server?: Http.ServerOptions
}

/** Closes a server at once, with whatever it has open. */
export const stop = ({ server, sockets }: HttpServer): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    server.close(() => resume(Effect.void))
    for (const socket of sockets) socket.destroy()
  })

/** How many milliseconds Node's own graceful shutdown takes. */
export const closeGracefully = ({ server }: HttpServer): Effect.Effect<number> =>
  Effect.callback<number>((resume) => {
    const start = performance.now()
    server.close(() => resume(Effect.succeed(performance.now() - start)))
  })

/** A server that is closed with the scope. */
export const make = (
  listener: Http.RequestListener,
  options: Options = {}
): Effect.Effect<HttpServer, never, Scope.Scope> =>
  Effect.acquireRelease(listen(listener, options), (server) => server.server.listening ? stop(server) : Effect.void)

/** A server that somebody else closes. */
export const listen = (listener: Http.RequestListener, options: Options = {}): Effect.Effect<HttpServer> =>
  Effect.callback((resume) => {
    const sockets = new Set<Net.Socket>()
    const account = { opened: 0, peak: 0, requests: 0, unused: 0 }
    const used = new WeakSet<Net.Socket>()
    const listening: Http.RequestListener = (request, response) => {
      account.requests++
      used.add(request.socket)
      listener(request, response)
    }
    const server = options.tls === undefined
      ? Http.createServer(options.server ?? {}, listening)
      : Https.createServer({ ...options.server, ...options.tls }, listening)
    server.on(options.tls === undefined ? "connection" : "secureConnection", (socket: Net.Socket) => {
      account.opened++
      sockets.add(socket)
      account.peak = Math.max(account.peak, sockets.size)
      socket.on("error", () => {})
      socket.on("close", () => {
        sockets.delete(socket)
        if (!used.has(socket)) account.unused++
      })
    })
    server.listen(options.port ?? 0, "127.0.0.1", 1024, () => {
      const { port } = server.address() as Net.AddressInfo
      const scheme = options.tls === undefined ? "http" : "https"
      resume(Effect.succeed({ url: `${scheme}://127.0.0.1:${port}`, port, server, sockets, account }))
    })
  })
