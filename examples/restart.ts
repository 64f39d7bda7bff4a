/**
 * A client that starts before its server: each dial passes the gate, fails, and is retried after a delay with jitter, until
 * the server is up. The failed dials leave nothing open.
 *
 * Run it with `node examples/restart.ts` after `npm run build`.
 */
import { Console, Effect, Fiber } from "effect"
import * as Endpoint from "effect-sluice/Endpoint"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import * as RetryPolicy from "effect-sluice/RetryPolicy"
import * as TcpConnection from "effect-sluice/TcpConnection"
import * as Net from "node:net"

const listen = (port: number) =>
  Effect.callback<Net.Server>((resume) => {
    const server = Net.createServer((socket) => socket.end("welcome"))
    server.listen(port, "127.0.0.1", () => resume(Effect.succeed(server)))
  })

const close = (server: Net.Server) => Effect.sync(() => server.close())

/** A port on which nothing listens. */
const freePort = Effect.scoped(
  Effect.map(Effect.acquireRelease(listen(0), close), (server) => (server.address() as Net.AddressInfo).port)
)

const patient = RetryPolicy.make({ initialDelay: 50, maxDelay: 200, maxAttempts: 20, deadline: "10 seconds" })

const program = Effect.gen(function*() {
  const port = yield* freePort
  const endpoint = Endpoint.tcp("127.0.0.1", port)
  let dials = 0
  const dial = Effect.suspend(() => {
    dials++
    return TcpConnection.connect(endpoint, { connectTimeout: "1 second" })
  })
  const client = yield* Effect.forkChild(RetryPolicy.retry(dial, patient, { label: String(endpoint) }))
  yield* Effect.sleep("300 millis")
  yield* Effect.acquireRelease(listen(port), close)
  const connection = yield* Fiber.join(client)
  const greeting = new TextDecoder().decode(yield* connection.read)
  yield* Console.log(`connected on ${dials > 1 ? "a later" : "the first"} dial: ${greeting}`)
  const monitor = yield* ResourceMonitor.ResourceMonitor
  const { connections, reserved } = yield* monitor.usage
  yield* Console.log(`open: ${"value" in connections.used ? connections.used.value : "unknown"}, reserved: ${reserved}`)
})

await Effect.runPromise(program.pipe(Effect.scoped, Effect.provide(ResourceMonitor.layer)))
