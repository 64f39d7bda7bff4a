/**
 * A program that uses the main modules once, against real servers, and prints what it has seen as one line of JSON. The tests copy it to a
 * project of a user, and run it there with each runtime.
 */
import { Data, Effect, Exit, Fiber, Layer, Redacted, type Scope } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Endpoint from "effect-sluice/Endpoint"
import * as Http from "effect-sluice/Http"
import * as Operations from "effect-sluice/Operations"
import * as OperationsHttp from "effect-sluice/OperationsHttp"
import * as Postgres from "effect-sluice/Postgres"
import * as RedisPool from "effect-sluice/Redis"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import * as RetryPolicy from "effect-sluice/RetryPolicy"
import * as TcpConnection from "effect-sluice/TcpConnection"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import { Redis } from "effect/persistence/Redis"
import { SqlClient } from "effect/sql/SqlClient"
import * as NodeHttp from "node:http"
import * as Net from "node:net"
import * as Tls from "node:tls"

class Refused extends Data.TaggedError("Refused")<{ readonly isRetryable: boolean }> {}

const millis = (count: number) => new Promise<void>((resolve) => setTimeout(resolve, count))

/** Waits until a condition holds. Ten seconds are a bound for a busy machine. */
const until = (condition: () => boolean) =>
  Effect.promise(async () => {
    for (let tries = 0; !condition() && tries < 1000; tries++) await millis(10)
  })

const portOf = (server: Net.Server): number => {
  const address = server.address()
  return typeof address === "object" && address !== null ? address.port : 0
}

const listen = <S extends Net.Server>(server: S) =>
  Effect.acquireRelease(
    Effect.promise(() => new Promise<S>((resolve) => server.listen(0, "127.0.0.1", () => resolve(server)))),
    () => Effect.promise(() => new Promise<void>((resolve) => server.close(() => resolve())))
  )

/** Counts the connections of a server: in all, at most at once, now, and those that the client has ended without a reset. */
const counting = (server: Net.Server) => {
  const counts = { opened: 0, peak: 0, open: 0, ended: 0 }
  server.on("connection", (socket: Net.Socket) => {
    counts.peak = Math.max(counts.peak, ++counts.open)
    counts.opened++
    socket.on("end", () => counts.ended++).on("error", () => {}).on("close", () => counts.open--)
  })
  return counts
}

const echo = Effect.gen(function*() {
  const server = Net.createServer((socket) => void socket.on("error", () => {}).pipe(socket))
  const counts = counting(server)
  yield* listen(server)
  return { counts, endpoint: Endpoint.tcp("127.0.0.1", portOf(server)) }
})

/** A port on which nothing listens. */
const closedPort = Effect.scoped(Effect.map(listen(Net.createServer()), portOf))

const exchange = (connection: TcpConnection.TcpConnection) =>
  Effect.andThen(connection.write("ping"), Effect.map(connection.read, (bytes) => new TextDecoder().decode(bytes)))

/** Twenty borrowers, a cap of three. */
const pool = Effect.gen(function*() {
  const { counts, endpoint } = yield* echo
  const answers = yield* Effect.gen(function*() {
    const pool = yield* ConnectionPool.make({ connector: TcpConnection.connector(), maxPerEndpoint: 3 })
    return yield* Effect.forEach(
      Array.from({ length: 20 }),
      () => ConnectionPool.use(pool, endpoint, exchange),
      { concurrency: "unbounded" }
    )
  }).pipe(Effect.scoped, Effect.provide(ResourceMonitor.layer))
  yield* until(() => counts.open === 0)
  const { ended, open, opened, peak } = counts
  return { answers: Array.from(new Set(answers)), atMostThree: peak <= 3, allEnded: ended === opened, open }
})

/** A connection whose server shows a certificate that it trusts, and one to a server that it does not trust. */
const tls = Effect.gen(function*() {
  const { cert = "", key = "", name = "" } = JSON.parse(process.env["CERTIFICATE"] ?? "{}")
  const server = Tls.createServer({ cert, key }, (socket) => void socket.on("error", () => {}).pipe(socket))
  server.on("tlsClientError", () => {})
  const counts = counting(server)
  yield* listen(server)
  const endpoint = Endpoint.tcp("127.0.0.1", portOf(server))
  const open = (tls: Tls.ConnectionOptions) =>
    Effect.scoped(Effect.flatMap(TcpConnection.connect(endpoint, { tls }), exchange))
  const trusted = yield* open({ ca: cert, servername: name })
  const { reason } = yield* Effect.flip(open({ servername: name }))
  yield* until(() => counts.open === 0)
  return { trusted, untrusted: [reason._tag, reason.isRetryable], open: counts.open }
}).pipe(Effect.provide(ResourceMonitor.layer))

/** A borrower that is interrupted while it waits for an answer, with its connection. */
const interruption = Effect.gen(function*() {
  const { counts, endpoint } = yield* echo
  yield* Effect.gen(function*() {
    const pool = yield* ConnectionPool.make({ connector: TcpConnection.connector() })
    const borrower = yield* Effect.forkChild(
      ConnectionPool.use(pool, endpoint, (connection) => connection.read)
    )
    yield* until(() => counts.open === 1)
    yield* Fiber.interrupt(borrower)
  }).pipe(Effect.scoped, Effect.provide(ResourceMonitor.layer))
  yield* until(() => counts.open === 0)
  return counts.open
})

/** A dial of a port where nothing listens. */
const refusal = Effect.gen(function*() {
  const port = yield* closedPort
  const error = yield* Effect.flip(Effect.scoped(TcpConnection.connect(Endpoint.tcp("127.0.0.1", port))))
  return [error.reason._tag, error.reason.isRetryable, "code" in error.reason ? error.reason.code : undefined]
}).pipe(Effect.provide(ResourceMonitor.layer))

const retry = Effect.gen(function*() {
  let tries = 0
  const flaky = Effect.suspend(() =>
    ++tries < 3 ? Effect.fail(new Refused({ isRetryable: true })) : Effect.succeed("done")
  )
  const policy = RetryPolicy.make({ maxAttempts: 5, initialDelay: "1 millis", maxDelay: "2 millis" })
  return [yield* RetryPolicy.retry(flaky, policy), tries]
}).pipe(Effect.provide(ResourceMonitor.layer))

/** The gate opens nothing when there is no room for it, and the figures of the process are those of the system. */
const monitor = Effect.gen(function*() {
  const { counts, endpoint } = yield* echo
  const seen = yield* Effect.gen(function*() {
    const { descriptors } = yield* Effect.flatMap(ResourceMonitor.ResourceMonitor, ({ usage }) => usage)
    yield* TcpConnection.connect(endpoint)
    const { reason } = yield* Effect.flip(TcpConnection.connect(endpoint))
    const second = reason._tag === "DialFailed" ? Object(reason.cause)._tag : reason._tag
    return { used: descriptors.used._tag, limit: descriptors.limit._tag, second }
  }).pipe(Effect.scoped, Effect.provide(ResourceMonitor.layerOptions({ maxConnections: 1 })))
  yield* until(() => counts.open === 0)
  return { ...seen, opened: counts.opened, open: counts.open }
})

const postgres = Effect.gen(function*() {
  const url = process.env["POSTGRES"]
  if (url === undefined) return "skipped"
  const name = `smoke-${process.pid}`
  const count = Effect.flatMap(
    SqlClient,
    (sql) =>
      sql<{ count: number }>`select count(*)::int as count from pg_stat_activity where application_name = ${name}`
  )
  const client = (applicationName: string) =>
    Postgres.layer({ url: Redacted.make(url), applicationName, maxConnections: 2 })
  const [rows, rolledBack, most] = yield* Effect.gen(function*() {
    const sql = yield* SqlClient
    const rows = yield* Effect.forEach(
      [1, 2, 3, 4],
      (n) => sql<{ n: number }>`select ${n}::int as n from pg_sleep(0.05)`,
      {
        concurrency: "unbounded"
      }
    )
    const rolledBack = yield* Effect.flip(sql.withTransaction(sql`select 1/0`))
    return [rows.flat().map(({ n }) => n), rolledBack._tag, (yield* count)[0]?.count] as const
  }).pipe(Effect.provide(client(name)))
  const left = yield* Effect.provide(
    Effect.repeat(count, { until: ([row]) => row?.count === 0, times: 200 }),
    client("smoke-after")
  )
  return { rows, rolledBack, most, left: left[0]?.count }
}).pipe(Effect.provide(ResourceMonitor.layer))

const redis = Effect.gen(function*() {
  const url = process.env["REDIS"]
  if (url === undefined) return "skipped"
  const key = `smoke:${process.pid}`
  return yield* Effect.gen(function*() {
    const redis = yield* Redis
    const counts = yield* Effect.forEach([1, 2, 3], () => redis.send<number>("INCR", key), { concurrency: 3 })
    yield* redis.send("DEL", key)
    return counts.toSorted((a, b) => a - b)
  }).pipe(Effect.provide(RedisPool.layer({ url })))
}).pipe(Effect.provide(ResourceMonitor.layer))

const http = Effect.gen(function*() {
  const server = NodeHttp.createServer((request, response) => {
    if (request.method === "GET") response.end(request.url)
    else request.pipe(response)
  })
  const counts = counting(server)
  yield* listen(server)
  const answers = yield* Effect.forEach(
    [1, 2, 3, 4, 5, 6],
    (n) => Effect.flatMap(HttpClient.get(`http://127.0.0.1:${portOf(server)}/${n}`), (response) => response.text),
    { concurrency: "unbounded" }
  ).pipe(Effect.provide(Layer.provide(Http.layer({ maxPerOrigin: 2 }), ResourceMonitor.layer)))
  const form = new FormData()
  form.set("field", "value of the form")
  const sent = yield* HttpClient.execute(
    HttpClientRequest.bodyFormData(HttpClientRequest.post(`http://127.0.0.1:${portOf(server)}/form`), form)
  ).pipe(
    Effect.flatMap((response) => response.text),
    Effect.provide(Layer.provide(Http.layer(), ResourceMonitor.layer))
  )
  yield* until(() => counts.open === 0)
  return { answers, form: sent.includes("value of the form"), atMostTwo: counts.peak <= 2, open: counts.open }
})

/** The status of each route of the operations server, and the pool that its JSON shows. */
const operations = Effect.gen(function*() {
  const { url } = yield* OperationsHttp.Server
  yield* ConnectionPool.make({ name: "shown", connector: TcpConnection.connector() })
  // The client of the runtime itself asks, as a browser or a probe would.
  // oxlint-disable-next-line effecttsgo/global-fetch-in-effect -- the client of this library is another part
  const get = (path: string) => Effect.promise(() => fetch(new URL(path, url)))
  const statuses = yield* Effect.forEach(
    ["livez", "readyz", "metrics", ""],
    (path) => Effect.map(get(path), ({ status }) => status)
  )
  const snapshot = yield* Effect.flatMap(get("pools.json"), (response) => Effect.promise(() => response.text()))
  return { statuses, shown: snapshot.includes("\"shown\"") }
}).pipe(
  Effect.provide(
    OperationsHttp.layerServer({ port: 0 }).pipe(
      Layer.provideMerge(Operations.layer),
      Layer.provideMerge(ResourceMonitor.layer)
    )
  )
)

/** What a part has seen, or why it failed, under its name. */
const observed = <A, E>(name: string, part: Effect.Effect<A, E, Scope.Scope>) =>
  Effect.map(Effect.exit(Effect.scoped(part)), (exit) => [name, Exit.isSuccess(exit) ? exit.value : String(exit)])

const seen = await Effect.runPromise(Effect.all([
  observed("pool", pool),
  observed("tls", tls),
  observed("interruption", interruption),
  observed("refusal", refusal),
  observed("retry", retry),
  observed("monitor", monitor),
  observed("postgres", postgres),
  observed("redis", redis),
  observed("http", http),
  observed("operations", operations)
]))
process.stdout.write(`${JSON.stringify(Object.fromEntries(seen))}\n`)
