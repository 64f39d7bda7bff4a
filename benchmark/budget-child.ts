/**
 * Runs one crowd on the budget of this library, through PgBouncer, or without a budget, and prints what it took.
 *
 * Usage: node budget-child.ts subscribe|poll|pgbouncer|none PORT CONTENDERS PERMITS ROUNDS HOLD
 */
import * as Effect from "effect/Effect"
import * as Fs from "node:fs"
import pg from "pg"
import { createClient } from "redis"
import * as RedisBudget from "../src/Clients/RedisBudget.ts"
import * as ResourceMonitor from "../src/Monitor/ResourceMonitor.ts"

const [name, port, ...numbers] = process.argv.slice(2)
const [contenders = 0, permits = 0, rounds = 0, hold = 0] = numbers.map(Number)

interface Result {
  readonly took: number
  readonly most: number
  readonly p50: number
  readonly p99: number
}

type WithPermit = (use: () => Promise<void>) => Promise<void>

interface Size {
  readonly contenders: number
  readonly rounds: number
  readonly hold: number
}

// Plain JavaScript, because the peers run it too, with another version of Effect.
const { crowd } = await import(new URL("budget/crowd.mjs", import.meta.url).href) as {
  readonly crowd: (withPermit: WithPermit, size: Size) => Promise<Result>
}

const print = (result: object): void => {
  process.stdout.write(`\n${JSON.stringify(result)}\n`)
  process.exit(0)
}

interface Client {
  readonly info: (section: string) => Promise<string>
}

const processOf = async (client: Client): Promise<string> =>
  /process_id:(\d+)/.exec(await client.info("server"))?.[1] ?? "self"

/** For how many milliseconds a process had work: it ran, or it waited for a processor that was busy with something else. */
const busy = (process: string): number => {
  const [ran, waited] = Fs.readFileSync(`/proc/${process}/schedstat`, "utf8").split(" ").map(Number)
  return ((ran ?? 0) + (waited ?? 0)) / 1e6
}

const evals = async (client: Client): Promise<number> =>
  [...(await client.info("commandstats")).matchAll(/cmdstat_eval(?:sha)?:calls=(\d+)/g)].reduce(
    (sum, [, calls]) => sum + Number(calls),
    0
  )

const ours = (wake: RedisBudget.Wake) =>
  Effect.gen(function*() {
    const options = { host: "127.0.0.1", port: Number(port), key: "bench", connections: permits, wake }
    const budget = yield* RedisBudget.make({ ...options, storeTimeout: "5 seconds", onStoreError: "fail" })
    const request = { label: "db", timeLeft: () => Infinity }
    const withPermit: WithPermit = (use) =>
      // oxlint-disable-next-line effecttsgo/run-effect-inside-effect
      Effect.runPromise(Effect.scoped(Effect.andThen(budget.take(request), Effect.promise(use))))
    yield* Effect.promise(() => withPermit(async () => {}))
    const client = yield* Effect.promise(() => createClient({ socket: { port: Number(port) } }).connect())
    const before = yield* Effect.promise(() => evals(client))
    const store = yield* Effect.promise(() => processOf(client))
    const [used, usedAtStore] = [busy("self"), busy(store)]
    const result = yield* Effect.promise(() => crowd(withPermit, { contenders, rounds, hold }))
    const [own, atStore] = [busy("self") - used, busy(store) - usedAtStore]
    const scripts = (yield* Effect.promise(() => evals(client))) - before
    print({ ...result, scripts, own, atStore })
  }).pipe(Effect.scoped, Effect.provide(ResourceMonitor.layerUnlimited))

/** Each contender has a connection to the pooler, whose server sees the sleep of each. */
const bouncer = async (): Promise<void> => {
  const clients = Array.from(
    { length: contenders },
    () => new pg.Client({ host: "127.0.0.1", port: Number(port), user: "postgres", database: "postgres" })
  )
  for (let index = 0; index < contenders; index += 50) {
    await Promise.all(clients.slice(index, index + 50).map((client) => client.connect()))
  }
  const waits: Array<number> = []
  let most = 0
  const observer = new pg.Client({ host: "127.0.0.1", port: 5432, user: "postgres", database: "postgres" })
  await observer.connect()
  const counting = setInterval(() => {
    observer.query(
      "select count(*)::int as n from pg_stat_activity where query like '%crowd%' and state = 'active' and pid <> pg_backend_pid()"
    )
      .then(({ rows }) => {
        most = Math.max(most, rows[0].n)
      }, () => {})
  }, 25)
  const one = async (client: pg.Client): Promise<void> => {
    for (let round = 0; round < rounds; round++) {
      const began = performance.now()
      await client.query(`select pg_sleep(${hold / 1000}) /* crowd */`)
      waits.push(performance.now() - began - hold)
    }
  }
  const began = performance.now()
  await Promise.all(clients.map(one))
  const took = performance.now() - began
  clearInterval(counting)
  waits.sort((one, other) => one - other)
  print({ took, most, p50: waits[Math.floor(waits.length * 0.5)], p99: waits[Math.floor(waits.length * 0.99)] })
}

if (name === "subscribe" || name === "poll") await Effect.runPromise(ours(name))
else if (name === "pgbouncer") await bouncer()
else print(await crowd((use) => use(), { contenders, rounds, hold }))
