/**
 * The server behind the API: it answers each line of JSON-RPC after a fixed time.
 */
import * as Endpoint from "effect-sluice/Endpoint"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Net from "node:net"
import * as Readline from "node:readline"

/** The time in which it answers. */
export const serviceMillis = 8

const answer = (socket: Net.Socket): void => {
  socket.on("error", () => {})
  socket.setNoDelay(true)
  Readline.createInterface(socket).on("error", () => {}).on("line", (line) => {
    const { id } = JSON.parse(line)
    setTimeout(() => {
      if (socket.writable) socket.write(`{"jsonrpc":"2.0","id":${id},"result":"pong"}\n`)
    }, serviceMillis)
  })
}

/** A server on a free port, which the scope closes. */
export const make: Effect.Effect<Endpoint.Endpoint, never, Scope.Scope> = Effect.acquireRelease(
  Effect.callback<Net.Server>((resume) => {
    const server = Net.createServer(answer).listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
  }),
  (server) => Effect.sync(() => void server.close())
).pipe(
  // The server listens on TCP, so its address has a port.
  Effect.map((server) => Endpoint.tcp("127.0.0.1", (server.address() as Net.AddressInfo).port))
)
