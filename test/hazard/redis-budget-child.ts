/**
 * A process that opens and closes sessions of PostgreSQL within a budget, until it is ended. It prints its holder id.
 *
 * Usage: node redis-budget-child.ts HOST REDIS-PORT POSTGRES-PORT SKEW
 */
const [host = "", redisPort, postgresPort, skew] = process.argv.slice(2)

// The wall clock of this process is wrong from the beginning.
const right = Date.now
Date.now = () => right() + Number(skew)

const { Effect } = await import("effect")
const RedisBudget = await import("../../src/Clients/RedisBudget.ts")
const NodePostgres = await import("../../src/Clients/NodePostgres.ts")
const { HolderId } = await import("../../src/internal/HolderId.ts")
const ResourceMonitor = await import("../../src/Monitor/ResourceMonitor.ts")
const ConnectionBudget = await import("../../src/Pool/ConnectionBudget.ts")
const ConnectionPool = await import("../../src/Pool/ConnectionPool.ts")
const Endpoint = await import("../../src/Resource/Endpoint.ts")

const program = Effect.gen(function*() {
  const budget = yield* RedisBudget.make({
    host,
    port: Number(redisPort),
    key: "fleet",
    connections: 5,
    lease: "4 seconds",
    storeTimeout: "1 second",
    onStoreError: "fail"
  })
  const pool = yield* Effect.provideService(
    ConnectionPool.make({
      connector: NodePostgres.connector({
        user: "sluice",
        database: "postgres",
        application_name: "fleet",
        options: "-c idle_session_timeout=1000 -c statement_timeout=1000"
      }),
      maxPerEndpoint: 3,
      maxTotal: 3,
      idleTimeout: "300 millis",
      maxLifetime: "700 millis",
      acquireTimeout: "20 seconds"
    }),
    ConnectionBudget.ConnectionBudget,
    budget
  )
  process.stdout.write(`${yield* HolderId}\n`)
  const endpoint = Endpoint.tcp(host, Number(postgresPort))
  const work = ConnectionPool.use(
    pool,
    endpoint,
    (client) => Effect.tryPromise(() => client.query("select pg_sleep(0.05)"))
  )
  const one = Effect.andThen(Effect.ignore(work), Effect.sleep("20 millis"))
  yield* Effect.all([Effect.forever(one), Effect.forever(one), Effect.forever(one)], { concurrency: "unbounded" })
})

await Effect.runPromise(Effect.provide(Effect.scoped(program), ResourceMonitor.layerUnlimited))
