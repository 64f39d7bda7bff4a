/**
 * A process with instances of a function, which do the same in different ways. It does what the lines of its input say:
 *
 * - `prepare WAY`: makes the instances, with services and drivers that are loaded, and without a connection to PostgreSQL.
 * - `invoke MILLIS`: invokes all at once, each with so much time. It prints the result of each.
 * - `end`: closes them.
 *
 * Usage: node instances.cjs COUNT POSTGRES-PORT REDIS-PORT
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Readline from "node:readline"
import { Client } from "pg"
import ServerlessClient from "serverless-postgres"
import * as NodePostgres from "../../../src/Clients/NodePostgres.ts"
import * as RedisBudget from "../../../src/Clients/RedisBudget.ts"
import * as ResourceMonitor from "../../../src/Monitor/ResourceMonitor.ts"
import * as ConnectionPool from "../../../src/Pool/ConnectionPool.ts"
import * as Endpoint from "../../../src/Resource/Endpoint.ts"
import * as Lambda from "../../../src/Serverless/Lambda.ts"
import { fleet } from "../../support/Figures.ts"

const [count, postgresPort, redisPort] = process.argv.slice(2).map(Number)
const login = { user: "app", database: "postgres" }
const address = { ...login, host: "127.0.0.1", port: postgresPort ?? 0 }

/** What each invocation does. */
const statement = "select pg_sleep(0.05)"

interface Instance {
  /** `isWarmUp`: it needs no connection. */
  readonly invoke: (millis: number, isWarmUp: boolean) => Promise<unknown>
  readonly end: () => Promise<unknown>
}

class Sessions extends ConnectionPool.Service<Sessions>()("test/Sessions", {
  ...ConnectionPool.serverless,
  connector: NodePostgres.connector({ ...login, application_name: "fleet" }),
  endpoint: Endpoint.tcp(address.host, address.port)
}) {}

const budget = RedisBudget.layer({
  host: address.host,
  port: redisPort ?? 0,
  key: "fleet",
  connections: fleet.sessions,
  lease: "20 seconds",
  wake: "poll",
  onStoreError: "fail",
  // All instances share two processors here.
  storeTimeout: "2 seconds"
})

/** The defaults, in a process that has not loaded the client of Redis and is not connected to it. */
const cold = RedisBudget.layer({
  host: address.host,
  port: redisPort ?? 0,
  key: "fleet",
  connections: fleet.sessions,
  wake: "poll"
})

const sluice = (
  between: Lambda.Between,
  around: Layer.Layer<never, never, ResourceMonitor.ResourceMonitor>,
  isCold = between === "keep"
) => {
  const layer = Sessions.layer.pipe(Layer.provide(around), Layer.provide(ResourceMonitor.layerUnlimited))
  const query = Sessions.withConnection((client) => Effect.tryPromise(() => client.query(statement)))
  const handler = Lambda.handler({
    layer,
    between,
    extension: false,
    // Drivers are loaded when they first connect.
    handle: (isWarmUp: boolean) => isWarmUp && isCold ? Effect.void : Effect.asVoid(query)
  })
  return {
    invoke: (millis: number, isWarmUp: boolean) =>
      // Only this is used of it.
      handler(isWarmUp, { getRemainingTimeInMillis: () => millis } as Lambda.LambdaContext),
    end: handler.close
  }
}

const ways: Record<string, () => Instance> = {
  "closed": () => sluice("closeIdle", Layer.empty),
  "kept": () => sluice("keep", Layer.empty),
  "budget": () => sluice("closeIdle", budget),
  "budget-cold": () => sluice("closeIdle", cold, true),
  "pg": () => ({
    invoke: async (_, isWarmUp) => {
      if (isWarmUp) return
      const client = new Client(address)
      client.on("error", () => {})
      try {
        await client.connect()
        await client.query(statement)
      } finally {
        await client.end()
      }
    },
    end: () => Promise.resolve()
  }),
  "serverless-postgres": () => {
    const client = new ServerlessClient(address)
    return {
      invoke: async (_, isWarmUp) => {
        if (isWarmUp) return
        await client.connect()
        await client.query(statement)
        await client.clean()
      },
      end: () => client.end().catch(() => {})
    }
  }
}

let instances: ReadonlyArray<Instance> = []

const prepare = async (way: string) => {
  instances = Array.from({ length: count ?? 0 }, () => ways[way]?.()).filter((one) => one !== undefined)
  for (const { invoke } of instances) await invoke(60_000, true)
}

/** The error with which it has failed, or `undefined`. The platform ends an invocation that takes too long. */
const outcome = async (instance: Instance, millis: number): Promise<string | undefined> => {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<string>((resolve) => {
    timer = setTimeout(() => resolve("it takes too long"), millis)
  })
  const invoked = instance.invoke(millis, false).then(
    () => undefined,
    (error: unknown) => error instanceof Error ? error.message : String(error)
  )
  const first = await Promise.race([invoked, late])
  clearTimeout(timer)
  return first
}

const commands: Record<string, (argument: string) => Promise<unknown>> = {
  prepare,
  invoke: (millis) =>
    Promise.all(instances.map(async (instance) => {
      const start = performance.now()
      const error = await outcome(instance, Number(millis))
      return { error, millis: performance.now() - start }
    })),
  end: () => Promise.all(instances.map(({ end }) => end()))
}

Readline.createInterface(process.stdin).on("line", (line) => {
  const [name = "", argument = ""] = line.split(" ")
  const print = (answer: unknown) => process.stdout.write(`= ${JSON.stringify(answer ?? null)}\n`)
  commands[name]?.(argument).then(print, (error: unknown) => print({ crash: String(error) }))
})

process.stdout.write("= null\n")
