/**
 * A program with a pool and its page. It prints the address of the page, and does what it reads: `refuse`, `accept`.
 *
 * Usage: node program.ts PORT
 */
import { Console, Effect, Layer, Redacted } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Endpoint from "effect-sluice/Endpoint"
import * as Main from "effect-sluice/Main"
import * as Operations from "effect-sluice/Operations"
import * as OperationsHttp from "effect-sluice/OperationsHttp"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import * as TcpConnection from "effect-sluice/TcpConnection"
import { FaultProxy } from "effect-sluice/Testing"
import * as Net from "node:net"
import * as Readline from "node:readline"
import { token } from "./Token.ts"

const [port = "0"] = process.argv.slice(2)

const echo = Effect.acquireRelease(
  Effect.callback<Net.Server>((resume) => {
    const server = Net.createServer((socket) => socket.on("error", () => {}).pipe(socket))
    server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
  }),
  (server) => Effect.sync(() => server.close())
)

const program = Effect.gen(function*() {
  const { url } = yield* OperationsHttp.Server
  const { port } = (yield* echo).address() as Net.AddressInfo
  const proxy = yield* FaultProxy.make(Endpoint.tcp("127.0.0.1", port))
  const pool = yield* ConnectionPool.make({
    name: "orders",
    connector: TcpConnection.connector(),
    acquireTimeout: "2 seconds"
  })
  const ask = ConnectionPool.use(
    pool,
    proxy.endpoint,
    (connection) => Effect.andThen(connection.write("ping"), connection.read)
  )
  const user = Effect.ignore(ask).pipe(Effect.andThen(Effect.sleep("50 millis")), Effect.forever)
  yield* Effect.forkScoped(user)
  const standing = ConnectionPool.use(pool, proxy.endpoint, () => Effect.never)
  yield* Effect.forkScoped(Effect.ignore(Effect.withSpan(standing, "GET /report")).pipe(Effect.forever))
  const run = Effect.runForkWith(yield* Effect.context<never>())
  Readline.createInterface(process.stdin).on("line", (line) => {
    if (line === "refuse") void run(Effect.andThen(proxy.refuse, proxy.reset))
    if (line === "accept") void run(Effect.ignore(proxy.accept))
  })
  yield* Console.log(url)
  return yield* Effect.never
})

Main.run(program, {
  layer: OperationsHttp.layerServer({ port: Number(port), token: Redacted.make(token) }).pipe(
    Layer.provide(Operations.layerOptions({ logs: false })),
    Layer.provideMerge(ResourceMonitor.layer)
  )
})
