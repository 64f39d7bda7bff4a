/**
 * Servers within the test that count their own sockets: they know no labels, so each test has one.
 */
import { Effect } from "effect"
import type { Scope } from "effect"
import * as Net from "node:net"
import type { OwnServer } from "../Adapter.ts"

/** Starts a server on this port, or on a free one, with a handler for each socket and its number. */
export const listening = (
  make: () => Net.Server,
  onSocket: (socket: Net.Socket, id: number) => void
): Effect.Effect<OwnServer, never, Scope.Scope> =>
  Effect.gen(function*() {
    const sockets = new Set<Net.Socket>()
    let ids = 0
    let server: Net.Server | undefined
    const destroyAll = () => {
      for (const socket of sockets) socket.destroy()
    }
    const start = (port: number) =>
      Effect.callback<number>((resume) => {
        const started = make().on("connection", (socket) => {
          sockets.add(socket.on("error", () => {}).on("close", () => sockets.delete(socket)))
          onSocket(socket, ++ids)
        })
        server = started.listen(port, "127.0.0.1", 1024, () => {
          const address = started.address()
          resume(Effect.succeed(typeof address === "object" && address !== null ? address.port : 0))
        })
      })
    const stop = Effect.callback<void>((resume) => {
      server?.close(() => resume(Effect.void))
      destroyAll()
    })
    const port = yield* Effect.acquireRelease(start(0), () => stop)
    return {
      port,
      prepare: () => Effect.void,
      sessions: () => Effect.sync(() => sockets.size),
      transactions: () => Effect.succeed(0),
      terminate: () => Effect.sync(destroyAll),
      restart: stop.pipe(Effect.andThen(Effect.sleep("300 millis")), Effect.andThen(start(port)), Effect.asVoid)
    }
  })
