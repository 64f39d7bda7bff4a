/**
 * A process that has a lease and a dial under way when it is stopped for longer than its limits, and prints what has come of them.
 *
 * Usage: node stopped-child.ts PORT
 */
import { Effect, Fiber, Layer, Logger } from "effect"
import * as Fs from "node:fs"
import * as Monitor from "../../src/Monitor/ResourceMonitor.ts"
import * as ConnectionPool from "../../src/Pool/ConnectionPool.ts"
import * as Endpoint from "../../src/Resource/Endpoint.ts"
import * as TcpConnection from "../../src/Resource/TcpConnection.ts"

const endpoint = Endpoint.tcp("127.0.0.1", Number(process.argv[2]))

const lines: Array<string> = []
const logged = Logger.layer([Logger.make(({ message }) => void lines.push(String(message)))])

const ask = (text: string) => (connection: TcpConnection.TcpConnection) =>
  Effect.gen(function*() {
    yield* connection.write(text)
    return new TextDecoder().decode(yield* connection.read)
  })

const limit = "1 second"

const program = Effect.gen(function*() {
  const pool = yield* ConnectionPool.make({
    connector: TcpConnection.connector({ connectTimeout: limit, readTimeout: limit }),
    // The server greets each connection, which it does to the second one while this process is stopped.
    hooks: { afterOpen: ask("hello") },
    connectTimeout: limit,
    leakThreshold: limit,
    maxLease: "1500 millis",
    maxTotal: 2
  })
  yield* ConnectionPool.use(pool, endpoint, () => Effect.void)
  const answers = yield* Effect.forEach(
    [1, 2],
    () => Effect.forkChild(Effect.exit(ConnectionPool.use(pool, endpoint, ask("question"))), { startImmediately: true })
  )
  const exits = yield* Effect.forEach(answers, Fiber.join)
  const { failedAttempts, leaksReported, leasesExpired, opened } = yield* ConnectionPool.stats(pool)
  const outcomes = exits.map((exit) => exit._tag === "Success" ? exit.value : String(exit.cause))
  return { outcomes, failedAttempts, leaksReported, leasesExpired, opened }
})

const result = await Effect.runPromise(
  Effect.provide(Effect.scoped(program), Layer.merge(Monitor.layerUnlimited, logged))
)
Fs.writeSync(1, JSON.stringify({ ...result, lines }))
