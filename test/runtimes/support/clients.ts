/**
 * A program that asks a real server once through each client, closes it, and prints the answers and the sockets that are left as one line of
 * JSON. The tests copy it to a project of a user, and run it there with each runtime.
 */
import { Effect, Exit, Layer, Redacted } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Endpoint from "effect-sluice/Endpoint"
import * as IoRedis from "effect-sluice/IoRedis"
import * as Lambda from "effect-sluice/Lambda"
import * as Mysql from "effect-sluice/Mysql"
import * as NodePostgres from "effect-sluice/NodePostgres"
import * as Postgres from "effect-sluice/Postgres"
import * as RedisPool from "effect-sluice/Redis"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import { Redis } from "effect/persistence/Redis"
import { SqlClient } from "effect/sql/SqlClient"
import * as Fs from "node:fs"

const portOf = (name: string): number => Number(process.env[name])

/** The open TCP sockets of this process. Runtimes have others, of families that no client here uses: Deno has pairs of Unix sockets. */
const sockets = (): number => {
  const tcp = ["tcp", "tcp6"].flatMap((family) => {
    const lines = Fs.readFileSync(`/proc/self/net/${family}`, "utf8").split("\n").slice(1)
    return lines.map((line) => `socket:[${line.trim().split(/\s+/)[9]}]`)
  })
  return Fs.readdirSync("/proc/self/fd").filter((descriptor) => {
    try {
      return tcp.includes(Fs.readlinkSync(`/proc/self/fd/${descriptor}`))
    } catch {
      // It was the descriptor of the folder itself.
      return false
    }
  }).length
}

const millis = (count: number) => new Promise<void>((resolve) => setTimeout(resolve, count))

/** The number of sockets, as soon as it is not above this one. Ten seconds are a bound for a busy machine. */
const settled = (before: number) =>
  Effect.promise(async () => {
    for (let tries = 0; sockets() > before && tries < 1000; tries++) await millis(10)
    return sockets()
  })

const mysql = Effect.flatMap(SqlClient, (sql) => sql<{ n: number }>`select ${7} + 0 as n`).pipe(
  Effect.map(([row]) => Number(row?.n)),
  Effect.provide(Mysql.layer({ host: "127.0.0.1", port: portOf("MARIADB"), username: "root" }))
)

const ioredis = Effect.gen(function*() {
  const pool = yield* ConnectionPool.make({ connector: IoRedis.connector() })
  const endpoint = Endpoint.tcp("127.0.0.1", portOf("REDIS"))
  return yield* ConnectionPool.use(pool, endpoint, (client) => Effect.promise(() => client.echo("seven")))
}).pipe(Effect.scoped)

const nodePostgres = Effect.gen(function*() {
  const pool = yield* ConnectionPool.make({
    connector: NodePostgres.connector({ user: "postgres", database: "postgres" })
  })
  const endpoint = Endpoint.tcp("127.0.0.1", portOf("POSTGRESQL"))
  const { rows } = yield* ConnectionPool.use(
    pool,
    endpoint,
    (client) => Effect.promise(() => client.query<{ n: number }>("select $1::int as n", [7]))
  )
  return rows[0]?.n
}).pipe(Effect.scoped)

const redis = Effect.flatMap(Redis, (redis) => redis.send<string>("ECHO", "seven")).pipe(
  Effect.provide(RedisPool.layer({ host: "127.0.0.1", port: portOf("REDIS") }))
)

/** A function of Lambda, called twice as its runtime client does. Outside of AWS there is no extension. */
const lambda = Effect.gen(function*() {
  const url = Redacted.make(`postgres://postgres@127.0.0.1:${portOf("POSTGRESQL")}/postgres`)
  const handler = Lambda.handler({
    layer: Layer.provide(Postgres.layer({ url }), ResourceMonitor.layer),
    between: "closeAll",
    handle: (event: { readonly n: number }) =>
      Effect.flatMap(SqlClient, (sql) => sql<{ n: number }>`select ${event.n}::int as n`)
  })
  const context: Lambda.LambdaContext = {
    awsRequestId: "1",
    functionName: "smoke",
    functionVersion: "$LATEST",
    invokedFunctionArn: "arn:aws:lambda:eu-central-1:0:function:smoke",
    memoryLimitInMB: "128",
    logGroupName: "smoke",
    logStreamName: "smoke",
    getRemainingTimeInMillis: () => 30_000
  }
  const call = (n: number) => Effect.promise(() => handler({ n }, context))
  return [yield* call(7), yield* call(8)].flat().map(({ n }) => n)
})

/** What a part has answered, or why it failed, and how many sockets it has left, under its name. */
const observed = <A, E>(name: string, part: Effect.Effect<A, E, ResourceMonitor.ResourceMonitor>) =>
  Effect.gen(function*() {
    const before = sockets()
    const exit = yield* Effect.exit(Effect.provide(part, ResourceMonitor.layer))
    const after = yield* settled(before)
    return [name, { answer: Exit.isSuccess(exit) ? exit.value : String(exit), left: after - before }] as const
  })

const seen = await Effect.runPromise(Effect.all([
  observed("mysql", mysql),
  observed("ioredis", ioredis),
  observed("nodePostgres", nodePostgres),
  observed("redis", redis),
  observed("lambda", lambda)
]))
process.stdout.write(`${JSON.stringify(Object.fromEntries(seen))}\n`)
