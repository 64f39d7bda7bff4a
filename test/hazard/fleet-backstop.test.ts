/**
 * The limit of a role at PostgreSQL, behind a budget whose store is lost, and without a budget.
 */
import { assert, describe } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import * as ConnectionBudget from "effect-sluice/ConnectionBudget"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Endpoint from "effect-sluice/Endpoint"
import * as NodePostgres from "effect-sluice/NodePostgres"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import { budget } from "../support/Budgets.ts"
import * as Servers from "../support/Servers.ts"
import * as Fleet from "./fleet/Fleet.ts"

const it = Servers.needs("postgres", "initdb", "redis-server")

/** What the budget has, what the role has, and the pools and how many connections each would open. */
const [permits, limit, members, each] = [5, 6, 4, 5]

/** A fleet whose workers insert numbered rows. Connections last for a second, so that many are opened. */
const working = (port: number, budgets: ReadonlyArray<ConnectionBudget.ConnectionBudget>) =>
  Effect.gen(function*() {
    const endpoint = Endpoint.tcp("127.0.0.1", port)
    const state = { next: 0, isOver: false, served: [] as Array<number>, errors: [] as Array<unknown> }
    const worker = (pool: ConnectionPool.ConnectionPool<Endpoint.Endpoint, Fleet.PgClient>) =>
      Effect.suspend(() => {
        const row = state.next++
        const insert = ConnectionPool.use(pool, endpoint, (client) =>
          Effect.tryPromise(() => client.query("insert into work select $1 from pg_sleep(0.02)", [row])))
        return Effect.match(insert, {
          onFailure: (error) =>
            state.errors.push(error),
          onSuccess: () => state.served.push(row)
        })
      }).pipe(Effect.repeat({ until: () => state.isOver }))
    const start = (own: ConnectionBudget.ConnectionBudget) =>
      ConnectionPool.make({
        connector: NodePostgres.connector({ user: "app", database: "postgres" }),
        maxPerEndpoint: each,
        maxTotal: each,
        maxLifetime: "1 second",
        acquireTimeout: "20 seconds"
      }).pipe(
        Effect.provideService(ConnectionBudget.ConnectionBudget, own),
        Effect.flatMap((pool) =>
          Effect.forkScoped(Effect.forEach(Array.from({ length: each }), () =>
            worker(pool), { concurrency: "unbounded" }))
        )
      )
    const running = yield* Effect.forEach(budgets, start)
    return {
      state,
      end: Effect.andThen(
        Effect.sync(() =>
          state.isOver = true
        ),
        Fiber.joinAll(running)
      )
    }
  })

/** What the server has counted since it was asked last: the most sessions of the role at once, and refusals. */
const observed = (postgres: Fleet.Database) =>
  Effect.gen(function*() {
    const count = "select count(*)::int as sessions from pg_stat_activity where usename = 'app'"
    let [most, refusals] = [0, yield* postgres.refused]
    const look = Effect.map(postgres.query(count), ([row]) => most = Math.max(most, Number(row?.["sessions"])))
    yield* Effect.forkScoped(Effect.forever(Effect.andThen(look, Effect.sleep("50 millis"))))
    return Effect.map(postgres.refused, (all) => {
      const found = { most, refused: all - refusals }
      ;[most, refusals] = [0, all]
      return found
    })
  })

const database = Effect.gen(function*() {
  const postgres = yield* Fleet.database
  yield* postgres.query(`alter role app connection limit ${limit}`)
  yield* postgres.query("create table work (id int)")
  yield* postgres.query("grant insert on work to app")
  const rows = Effect.map(postgres.query("select id from work order by id"), (all) => all.map(({ id }) => Number(id)))
  return { postgres, rows }
})

describe("a role with a limit of connections", () => {
  it(
    "holds while the store of the budget is lost: nothing is lost, and all goes on when it is back",
    () =>
      Effect.gen(function*() {
        const { postgres, rows } = yield* database
        const store = yield* Servers.redis()
        const options = {
          port: store.port,
          key: "backstop",
          connections: permits,
          onStoreError: "allow",
          storeTimeout: "500 millis"
        } as const
        const budgets = yield* Effect.forEach(Array.from({ length: members }), () => budget(options))
        const { end, state } = yield* working(postgres.port, budgets)
        const since = yield* observed(postgres)
        const phase = (millis: number) =>
          Effect.gen(function*() {
            const before = state.served.length
            yield* Effect.sleep(millis)
            return { ...(yield* since), served: state.served.length - before }
          })
        const within = yield* phase(4000)
        yield* store.kill("SIGKILL")
        const lost = yield* phase(6000)
        yield* store.restart
        yield* phase(3000)
        const back = yield* phase(4000)
        yield* end
        process.stdout.write(`${JSON.stringify({ within, lost, back, errors: state.errors.map(String) })}\n`)
        assert.deepStrictEqual([within.refused, within.most <= permits], [0, true])
        assert.isAbove(lost.refused, 0)
        assert.isAtMost(lost.most, limit)
        for (const { served } of [within, lost, back]) assert.isAbove(served, 100)
        assert.deepStrictEqual([back.refused, back.most <= permits], [0, true])
        assert.deepStrictEqual(state.errors, [])
        assert.deepStrictEqual(yield* rows, state.served.toSorted((one, other) => one - other))
      }).pipe(Effect.provide(ResourceMonitor.layerUnlimited)),
    60_000
  )

  it("holds without a budget: the others wait, and nothing is lost", () =>
    Effect.gen(function*() {
      const { postgres, rows } = yield* database
      const none = Array.from({ length: members }, () => ConnectionBudget.unlimited)
      const { end, state } = yield* working(postgres.port, none)
      const since = yield* observed(postgres)
      yield* Effect.sleep("4 seconds")
      const { most, refused } = yield* since
      yield* end
      process.stdout.write(`${JSON.stringify({ most, refused, served: state.served.length })}\n`)
      assert.isAtMost(most, limit)
      assert.isAbove(refused, 0)
      assert.isAbove(state.served.length, 100)
      assert.deepStrictEqual(state.errors, [])
      assert.deepStrictEqual(yield* rows, state.served.toSorted((one, other) => one - other))
    }).pipe(Effect.provide(ResourceMonitor.layerUnlimited)), 60_000)
})
