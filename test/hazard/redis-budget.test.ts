/**
 * A budget at Redis under load, with counts of the server itself.
 */
import { assert, describe } from "@effect/vitest"
import { Effect } from "effect"
import { budget, during, evals, observe } from "../support/Budgets.ts"
import * as Servers from "../support/Servers.ts"

const it = Servers.needs("redis-server")

const quantile = (sorted: ReadonlyArray<number>, share: number): number =>
  sorted[Math.min(Math.floor(sorted.length * share), sorted.length - 1)] ?? 0

const [contenders, permits, rounds, hold] = [1000, 50, 2, 50]
const ideal = contenders * rounds / permits * hold

describe("1000 contenders for 50 permits, each for 50 ms, twice", () => {
  it(
    "never have more than 50 at the server's count, take about the ideal time, in order, and two scripts each",
    () =>
      Effect.gen(function*() {
        const server = yield* Servers.redis()
        const client = yield* observe(server.port)
        const shared = yield* budget({ port: server.port, key: "load", connections: permits })
        yield* during(shared, () => Effect.void)
        const scripts = yield* evals(client)
        const waits: Array<number> = []
        const count = yield* Effect.forkChild(
          Effect.forever(Effect.andThen(
            Effect.tap(
              Effect.promise(() => client.zCard("{load}:held")),
              (held) => Effect.sync(() => counts.push(held))
            ),
            Effect.sleep("10 millis")
          ))
        )
        const counts: Array<number> = []
        const one = Effect.suspend(() => {
          const began = performance.now()
          return during(shared, () => {
            waits.push(performance.now() - began)
            return Effect.sleep(hold)
          })
        })
        const began = performance.now()
        yield* Effect.forEach(
          Array.from({ length: contenders }),
          () => Effect.repeat(one, { times: rounds - 1 }),
          { concurrency: "unbounded", discard: true }
        )
        const took = performance.now() - began
        count.interruptUnsafe()
        const each = ((yield* evals(client)) - scripts) / (contenders * rounds)
        const sorted = waits.toSorted((one, other) => one - other)
        const [p50, p99] = [quantile(sorted, 0.5), quantile(sorted, 0.99)]
        const figures = { took, ratio: took / ideal, each, p50, p99, tail: p99 / p50, most: Math.max(...counts) }
        process.stdout.write(`${JSON.stringify(figures)}\n`)
        assert.isAtMost(figures.most, permits)
        assert.isAtMost(each, 2.1)
        assert.isAtMost(figures.tail, 1.1)
      }),
    60_000
  )
})
