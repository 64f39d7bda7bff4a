/**
 * A backend that asks a JSON-RPC server through a pool: a hundred callers at once, two connections.
 *
 * Run it with `node examples/backend.ts` after `npm run build`.
 */
import { Console, Effect } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Endpoint from "effect-sluice/Endpoint"
import * as JsonRpcClient from "effect-sluice/JsonRpcClient"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import * as Net from "node:net"
import * as Readline from "node:readline"

/** A server that doubles numbers, in place of yours. It is closed with the scope. */
const server = Effect.acquireRelease(
  Effect.callback<Net.Server>((resume) => {
    const server = Net.createServer((socket) => {
      Readline.createInterface(socket).on("line", (line) => {
        const { id, params } = JSON.parse(line)
        socket.write(`${JSON.stringify({ jsonrpc: "2.0", id, result: params.n * 2 })}\n`)
      })
    })
    server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
  }),
  (server) => Effect.sync(() => server.close())
)

class Doublers extends ConnectionPool.Service<Doublers>()("example/Doublers", {
  connector: JsonRpcClient.connector({ requestTimeout: "5 seconds" }),
  maxPerEndpoint: 2
}) {}

/** Callers use the service and the endpoint, without sockets. */
const double = (endpoint: Endpoint.Endpoint, n: number) =>
  Doublers.withConnection(endpoint, (client) => client.request("double", { n }))

const program = Effect.gen(function*() {
  const { port } = (yield* server).address() as Net.AddressInfo
  const endpoint = Endpoint.tcp("127.0.0.1", port)
  const numbers = Array.from({ length: 100 }, (_, n) => n)
  const ask = Effect.forEach(numbers, (n) => double(endpoint, n), { concurrency: "unbounded" })
  const [doubled, stats] = yield* Effect.all([ask, Doublers.stats]).pipe(Effect.provide(Doublers.layer))
  yield* Console.log(`${doubled.length} answers, the last is ${String(doubled.at(-1))}`)
  yield* Console.log(`${stats.borrowed} borrows, ${stats.opened} connections opened`)
})

await Effect.runPromise(program.pipe(Effect.scoped, Effect.provide(ResourceMonitor.layer)))
