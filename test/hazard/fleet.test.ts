/**
 * A fleet with more instances than its server has room for: all are invoked at once, twice. An instance that is alone in its process is
 * frozen between the rounds.
 */
import { assert, describe } from "@effect/vitest"
import { Effect } from "effect"
import * as Figures from "../support/Figures.ts"
import * as Servers from "../support/Servers.ts"
import * as Fleet from "./fleet/Fleet.ts"

const it = Servers.needs("postgres", "initdb", "redis-server")

const { instances, sessions } = Figures.fleet

/** How much time each invocation has, in milliseconds. */
const limit = 15_000

/** Two rounds of one way, of which a line is printed. */
const rounds = (fleet: Fleet.Fleet, way: string, millis = limit) =>
  Effect.gen(function*() {
    yield* fleet.prepare(way)
    const found: Array<Fleet.Round> = []
    for (let round = 0; round < 2; round++) {
      found.push(yield* fleet.invoke(millis))
      yield* Effect.sleep("300 millis")
    }
    const served = found.map(({ outcomes }) => outcomes.filter(({ error }) => error === undefined).length)
    const refused = found.map((round) => round.refused)
    const seconds = found.map((round) => Number((round.millis / 1000).toFixed(1)))
    const errors = [...new Set(found.flatMap(({ outcomes }) => outcomes.flatMap(({ error }) => error ?? [])))]
    process.stdout.write(`${JSON.stringify({ way, served, refused, seconds, errors: errors.length })}\n`)
    return { served, refused, errors }
  })

const fleetOf = (processes: number, each: number) =>
  Effect.gen(function*() {
    const postgres = yield* Fleet.database
    const { port } = yield* Servers.redis()
    return yield* Fleet.make(processes, each, { postgres, redisPort: port })
  })

describe(`${instances} instances, a process each, and ${sessions} sessions`, () => {
  it(
    "are all served by default, with a budget without a refusal, and not if connections are kept",
    () =>
      Effect.gen(function*() {
        const fleet = yield* fleetOf(instances, 1)
        assert.deepStrictEqual((yield* rounds(fleet, "closed")).served, [instances, instances])
        const budget = yield* rounds(fleet, "budget")
        assert.deepStrictEqual([budget.served, budget.refused], [[instances, instances], [0, 0]])
        const kept = yield* rounds(fleet, "kept")
        assert.isBelow(Math.max(...kept.served), instances)
        assert.include(kept.errors[0], "close connections between invocations, run fewer instances")
        yield* rounds(fleet, "pg")
        yield* rounds(fleet, "serverless-postgres", 4000)
      }),
    120_000
  )

  it(
    "are all served with the defaults of a budget by processes that have just started, without a refusal",
    () =>
      Effect.gen(function*() {
        const cold = yield* rounds(yield* fleetOf(instances, 1), "budget-cold")
        assert.deepStrictEqual([cold.served, cold.refused], [[instances, instances], [0, 0]])
      }),
    120_000
  )
})

describe(`200 instances in 10 processes, and ${sessions} sessions`, () => {
  it(
    "are all served by default, with a budget without a refusal, and not if connections are kept",
    () =>
      Effect.gen(function*() {
        const fleet = yield* fleetOf(10, 20)
        assert.deepStrictEqual((yield* rounds(fleet, "closed")).served, [200, 200])
        const budget = yield* rounds(fleet, "budget")
        assert.deepStrictEqual([budget.served, budget.refused], [[200, 200], [0, 0]])
        const kept = yield* rounds(fleet, "kept", 5000)
        assert.isBelow(Math.max(...kept.served), 200)
        yield* rounds(fleet, "pg")
        yield* rounds(fleet, "serverless-postgres", 4000)
      }),
    180_000
  )
})
