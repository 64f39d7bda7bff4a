/**
 * A real TCP server for tests that keeps an account of every connection it saw.
 */
import { Effect } from "effect"
import type { Scope } from "effect"
import * as Endpoint from "effect-sluice/Endpoint"
import * as Net from "node:net"

export interface Account {
  opened: number
  /** Most connections open at once. */
  peak: number
  /** The client ended its side and the connection closed without an error. */
  graceful: number
  /** The connection broke with an error, such as a reset. */
  broken: number
}

export interface TcpServer {
  readonly endpoint: Endpoint.TcpEndpoint
  readonly sockets: Set<Net.Socket>
  readonly account: Account
  /** Waits (in real time) until no connection is open, at most ten seconds. */
  readonly drained: Effect.Effect<void>
}

const waitUntil = (condition: () => boolean, millis: number): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    const start = performance.now()
    const timer = setInterval(() => {
      if (!condition() && performance.now() - start < millis) return
      clearInterval(timer)
      resume(Effect.void)
    }, 2)
    return Effect.sync(() => clearInterval(timer))
  })

/** Waits in real time, whatever the clock of the test. */
export const eventually = (condition: () => boolean, millis = 10_000): Effect.Effect<void> =>
  waitUntil(condition, millis)

export const make = (
  onConnection: (socket: Net.Socket) => void,
  options: Net.ServerOpts & { readonly port?: number } = {}
): Effect.Effect<TcpServer, never, Scope.Scope> =>
  Effect.gen(function*() {
    const sockets = new Set<Net.Socket>()
    const account: Account = { opened: 0, peak: 0, graceful: 0, broken: 0 }
    const server = Net.createServer(options, (socket) => {
      account.opened++
      sockets.add(socket)
      account.peak = Math.max(account.peak, sockets.size)
      let ended = false
      socket.on("end", () => ended = true)
      socket.on("error", () => {})
      socket.on("close", (hadError) => {
        sockets.delete(socket)
        if (hadError) account.broken++
        else if (ended) account.graceful++
      })
      onConnection(socket)
    })
    yield* Effect.acquireRelease(
      Effect.callback<void>((resume) => {
        server.listen(options.port ?? 0, "127.0.0.1", 1024, () => resume(Effect.void))
      }),
      () =>
        Effect.callback<void>((resume) => {
          server.close(() => resume(Effect.void))
          for (const socket of sockets) socket.destroy()
        })
    )
    const { port } = server.address() as Net.AddressInfo
    return {
      endpoint: Endpoint.tcp("127.0.0.1", port),
      sockets,
      account,
      drained: waitUntil(() => sockets.size === 0, 10_000)
    }
  })

/** Answers every byte with itself. */
export const echo = make((socket) => void socket.on("data", (data) => socket.write(data)))

/** Accepts, reads and never answers. */
export const silent = make((socket) => void socket.resume())
