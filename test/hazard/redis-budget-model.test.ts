/**
 * Random histories of a budget: of its model, and of the real scripts beside it.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { keysOf, scriptsWith } from "../../src/Clients/internal/redisbudget/Scripts.ts"
import { history } from "../support/BudgetHistory.ts"
import { observe } from "../support/Budgets.ts"
import { seeded } from "../support/random.ts"
import * as Servers from "../support/Servers.ts"

const real = Servers.needs("redis-server")

describe("random histories with crashes, late messages, clocks that are set and changed limits", () => {
  it("violate nothing, 10 000 of them", () => {
    let [grants, crashes, endedEarly] = [0, 0, 0]
    for (let seed = 1; seed <= 10_000; seed++) {
      const result = history(seeded(seed), 60)
      assert.deepStrictEqual(result.violations, [], `seed ${seed}`)
      grants += result.grants
      crashes += result.crashes
      endedEarly += result.endedEarly
    }
    process.stdout.write(`${JSON.stringify({ histories: 10_000, grants, crashes, endedEarly })}\n`)
    assert.isAbove(grants, 50_000)
    assert.isAbove(crashes, 10_000)
    // Otherwise no clock of a store would have been set forward while a lease lasted.
    assert.isAbove(endedEarly, 10_000)
  }, 120_000)

  real("are the same at the real scripts, 400 of them", () =>
    Effect.gen(function*() {
      const server = yield* Servers.redis()
      const client = yield* observe(server.port)
      const listener = yield* observe(server.port)
      yield* Effect.promise(() => listener.subscribe(["{m}:wake:0", "{m}:wake:1"], () => {}))
      // The time of a script is the one of the history.
      const scripts = scriptsWith(`local micros = tonumber(redis.call('GET', 'now')) * 1000\n`)
      const keys = keysOf("m")
      let compared = 0
      for (let seed = 1; seed <= 400; seed++) {
        yield* Effect.promise(() => client.flushAll())
        for (const { args, expected, name, now, used, waiting } of history(seeded(seed), 60).steps) {
          const answer = yield* Effect.promise(async () => {
            await client.set("now", String(now))
            return client.eval(scripts[name].lua, { keys: [...keys], arguments: args.map(String) })
          })
          const at = `seed ${seed}, ${name} ${args.join(" ")}`
          if (name === "acquire" && Array.isArray(answer)) {
            const [tag, time, ...rest] = answer
            assert.strictEqual(time, now, at)
            assert.deepStrictEqual([tag, ...rest.map(Number)], expected, at)
          } else assert.deepStrictEqual(answer, expected, at)
          const [atStore, queue] = yield* Effect.promise(() =>
            Promise.all([client.hGet("{m}:state", "used"), client.zRange("{m}:queue", 0, -1)])
          )
          assert.strictEqual(Number(atStore ?? 0), used, at)
          assert.deepStrictEqual(queue, waiting, at)
          compared++
        }
      }
      process.stdout.write(`${JSON.stringify({ compared })}\n`)
    }), 120_000)
})

describe("a store whose clock is set back", () => {
  real("does not have each request that waits ask every 10 ms", () =>
    Effect.gen(function*() {
      const server = yield* Servers.redis()
      const client = yield* observe(server.port)
      const scripts = scriptsWith(`local micros = tonumber(redis.call('GET', 'now')) * 1000\n`)
      const keys = [...keysOf("m")]
      let now = 1_800_000_000_000
      const run = (name: "acquire" | "release", args: ReadonlyArray<string>) =>
        Effect.promise(async () => {
          await client.set("now", String(now))
          return client.eval(scripts[name].lua, { keys, arguments: ["1", ...args] })
        })
      const acquire = (id: string, isNew: "0" | "1" = "1") =>
        run("acquire", [id, "1", "60000", "3000", "-", "process", isNew, "db"])
      yield* acquire("0")
      for (let id = 1; id <= 20; id++) yield* acquire(String(id))
      now += 1000
      yield* run("release", ["0"])
      now -= 3_600_000
      yield* acquire("1", "0")
      yield* run("release", ["1"])
      const answer = yield* acquire("21")
      assert(Array.isArray(answer))
      // 18 are before it, and a permit came back after 1 s: the mean of 51 ms falls by a twentieth.
      assert.deepStrictEqual(answer.slice(0, 4), ["waiting", now, 18, 348])
    }))
})

describe("a store that has lost a part of a budget", () => {
  for (const part of ["state", "info", "wait"]) {
    real(
      `has no permit too many or too few when the leases of that time are over, without the key ${part}`,
      () =>
        Effect.gen(function*() {
          const server = yield* Servers.redis()
          const client = yield* observe(server.port)
          const scripts = scriptsWith(`local micros = tonumber(redis.call('GET', 'now')) * 1000\n`)
          const keys = [...keysOf("m")]
          let now = 1_800_000_000_000
          const run = (name: "acquire" | "release", args: ReadonlyArray<string>) =>
            Effect.promise(async () => {
              await client.set("now", String(now))
              return client.eval(scripts[name].lua, { keys, arguments: ["2", ...args] })
            })
          const acquire = (id: string) =>
            Effect.map(run("acquire", [id, "1", "10000", "3000", "-", "process", "1", "db"]), (answer) => {
              assert(Array.isArray(answer))
              const [tag]: Array<unknown> = answer
              return tag
            })
          for (const id of ["a", "b", "c", "d"]) yield* acquire(id)
          yield* Effect.promise(() => client.del(`{m}:${part}`))
          yield* run("release", ["a"])
          for (const round of [1, 2]) {
            now += 100_000
            const answers = yield* Effect.forEach(["x", "y", "z"], (id) => acquire(`${id}${round}`))
            assert.deepStrictEqual(answers, ["granted", "granted", "waiting"])
            const used = yield* Effect.promise(() => client.hGet("{m}:state", "used"))
            assert.strictEqual(used, "2")
          }
        })
    )
  }
})
