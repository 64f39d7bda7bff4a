/**
 * An HTTP server whose routes ask another server through a pool, with the limits that are the default. It prints its port, and ends when
 * its input ends.
 *
 * Usage: node inbound-child.ts PORT
 */
import { Effect, Layer, ManagedRuntime } from "effect"
import * as Http from "node:http"
import * as ResourceMonitor from "../../src/Monitor/ResourceMonitor.ts"
import * as ConnectionPool from "../../src/Pool/ConnectionPool.ts"
import * as Endpoint from "../../src/Resource/Endpoint.ts"
import * as TcpConnection from "../../src/Resource/TcpConnection.ts"

const backend = Endpoint.tcp("127.0.0.1", Number(process.argv[2]))

class Backend extends ConnectionPool.Service<Backend>()("test/Backend", {
  connector: TcpConnection.connector(),
  acquireTimeout: "5 seconds"
}) {}

const runtime = ManagedRuntime.make(Backend.layer.pipe(Layer.provide(ResourceMonitor.layer)))

const ask = (question: string) =>
  Backend.withConnection(
    backend,
    (connection) => Effect.andThen(connection.write(question), Effect.map(connection.read, (bytes) => bytes.length))
  )

const server = Http.createServer((request, response) => {
  runtime.runPromise(ask(request.url ?? "")).then(
    (answer) => response.end(String(answer)),
    (error: unknown) => response.writeHead(500).end(String(error))
  )
})

server.listen(0, "127.0.0.1", () => {
  const address = server.address()
  console.log(typeof address === "object" && address !== null ? address.port : 0)
})
process.stdin.resume().on("end", () => process.exit(0))
