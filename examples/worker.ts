/**
 * The program of a process: it does some jobs with a pool, and closes the pool however it ends. Try Ctrl-C while it runs.
 *
 * Run it with `node examples/worker.ts` after `npm run build`.
 */
import { Console, Effect, Layer } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Endpoint from "effect-sluice/Endpoint"
import * as Main from "effect-sluice/Main"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import * as TcpConnection from "effect-sluice/TcpConnection"
import * as Net from "node:net"

/** A server that answers each byte with itself, in place of yours. */
const server = Effect.acquireRelease(
  Effect.callback<Net.Server>((resume) => {
    const server = Net.createServer((socket) => {
      socket.on("data", (data) => socket.write(data)).on("close", () => console.log("server: a connection has ended"))
    })
    server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
  }),
  (server) => Effect.sync(() => server.close())
)

class Peers extends ConnectionPool.Service<Peers>()("example/Peers", { connector: TcpConnection.connector() }) {}

const ask = (connection: TcpConnection.TcpConnection, text: string) =>
  Effect.andThen(connection.write(text), Effect.map(connection.read, (bytes) => new TextDecoder().decode(bytes)))

const program = Effect.gen(function*() {
  const { port } = (yield* server).address() as Net.AddressInfo
  const endpoint = Endpoint.tcp("127.0.0.1", port)
  for (const job of ["one", "two", "three"]) {
    const answer = yield* Peers.withConnection(endpoint, (connection) => ask(connection, job))
    yield* Console.log(`done: ${answer}`)
    yield* Effect.sleep("100 millis")
  }
})

Main.run(program, { layer: Peers.layer.pipe(Layer.provide(ResourceMonitor.layer)), cleanupTimeout: "2 seconds" })
