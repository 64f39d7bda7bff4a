import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import * as RedisBudget from "effect-sluice/RedisBudget"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import * as View from "../../../src/Cli/fleet/View.ts"
import { keysOf, type ScriptName, scripts } from "../../../src/Clients/internal/redisbudget/Scripts.ts"
import { observe } from "../../support/Budgets.ts"
import { describeWith, ports } from "../../support/LiveServers.ts"
import { run as runCommand } from "../running.ts"

const run = (args: ReadonlyArray<string>, env: Readonly<Record<string, string>> = {}) =>
  runCommand(["fleet", ...args], env)

const url = "redis://127.0.0.1:6379"

const keyOf = (name: string) => `test-fleet-${process.pid}-${name}`

describe("the view of a budget", () => {
  it("has a line for each holder and for each waiter, and says how many are left out", () => {
    const budget: View.Budget = {
      limit: 2,
      isLimitSet: true,
      used: 2,
      held: 3,
      waiting: 1,
      holders: [
        { process: "a", label: "db:5432", weight: 1, token: "1f", heldFor: 61_240, expiresIn: 3000 },
        { process: "b\u001b[2J", label: "db:5432", weight: 1, token: "20", heldFor: 500, expiresIn: -1 }
      ],
      waiters: [{ process: "c", label: "db:5432", weight: 1 }]
    }
    assert.deepStrictEqual(View.linesOf("orders", budget), [
      "orders: 2 permits in use of 2, 1 waiting",
      "",
      "held for     lease ends  permits  token  endpoint  process",
      "1m 1s 200ms  in 3s       1        1f     db:5432   a",
      "500ms        over        1        20     db:5432   b\\x1b[2J",
      "... and 1 more",
      "",
      "place  permits  endpoint  process",
      "1      1        db:5432   c"
    ])
  })
})

const describeWithRedis = await describeWith("Redis")

describeWithRedis("sluice fleet", () => {
  it.live("shows who holds what and who waits, sets a limit and reaps", () =>
    Effect.gen(function*() {
      const key = keyOf("orders")
      const budget = yield* RedisBudget.make({ url, key, connections: 1 })
      yield* budget.setLimit(1)
      const taken = yield* Effect.forkChild(
        Effect.scoped(Effect.andThen(budget.take({ label: "db:5432", timeLeft: () => 60_000 }), Effect.never)),
        { startImmediately: true }
      )
      yield* Effect.sleep("300 millis")
      const waiting = yield* Effect.forkChild(
        Effect.scoped(budget.take({ label: "db:5433", timeLeft: () => 60_000 })),
        { startImmediately: true }
      )
      yield* Effect.sleep("300 millis")
      const shown = yield* run([key, "--url", url])
      assert.match(shown.stdout, new RegExp(`^${key}: 1 permit in use of 1, 1 waiting\n`))
      assert.match(shown.stdout, /db:5432/)
      assert.match(shown.stdout, /1 {6}1 {8}db:5433/)
      const json: { readonly held: number; readonly holders: ReadonlyArray<{ readonly label: string }> } = JSON.parse(
        (yield* run([key, "--json"], { REDIS_URL: url })).stdout
      )
      assert.deepStrictEqual([json.held, json.holders[0]?.label], [1, "db:5432"])
      const set = yield* run([key, "set", "2"])
      assert.deepStrictEqual([set.status, set.stdout], [0, `${key}: the limit is 2. Permits that are held are kept\n`])
      yield* Fiber.join(waiting)
      assert.strictEqual((yield* run([key, "reap"])).stdout, `${key}: 0 whose lease was over\n`)
      yield* Fiber.interrupt(taken)
      yield* budget.setLimit(undefined)
    }).pipe(Effect.scoped, Effect.provide(ResourceMonitor.layerUnlimited)), 60_000)

  it.live("reap counts the permits whose lease is over, and no other one", () =>
    Effect.gen(function*() {
      const key = keyOf("over")
      const short = yield* RedisBudget.make({
        url,
        key,
        connections: 3,
        invocation: Effect.succeed(0),
        lease: "1 second"
      })
      const long = yield* RedisBudget.make({ url, key, connections: 3 })
      const request = { label: "db:5432", timeLeft: () => 60_000 }
      for (const budget of [short, short, long]) yield* budget.take(request)
      const [first] = (yield* long.inspect).holders
      yield* Effect.sleep((first?.expiresIn ?? 0) + 300)
      assert.deepInclude(yield* long.inspect, { used: 3, held: 3 })
      assert.strictEqual((yield* run([key, "reap"])).stdout, `${key}: 2 whose lease was over\n`)
      assert.deepInclude(yield* long.inspect, { used: 1, held: 1 })
      assert.strictEqual((yield* run([key, "reap", "--json"])).stdout, "{\"reaped\":0}\n")
    }).pipe(Effect.scoped, Effect.provide(ResourceMonitor.layerUnlimited)), 60_000)

  it.live(
    "decides nothing where no limit is set, because it does not know the option of the processes",
    () =>
      Effect.gen(function*() {
        const key = keyOf("unset")
        const client = yield* observe(ports.Redis)
        const ask = (name: ScriptName, ...args: ReadonlyArray<string | number>) =>
          Effect.promise(() => client.eval(scripts[name].lua, { keys: [...keysOf(key)], arguments: args.map(String) }))
        // A process whose option is 8 has died, and 3 permits are wanted. No process asks meanwhile.
        const wanted = Effect.gen(function*() {
          yield* ask("acquire", 8, "dead", 8, 1000, 60_000, "-", "one", 1, "db:5432")
          yield* ask("acquire", 8, "waiting", 3, 60_000, 60_000, "-", "two", 1, "db:5432")
          yield* Effect.sleep("1200 millis")
        })
        const found = Effect.map(run([key, "--json"]), ({ stdout }): object => JSON.parse(stdout))
        for (const args of [["reap"], ["set", "none"]]) {
          yield* wanted
          const { status, stdout } = yield* run([key, ...args])
          assert.strictEqual(status, 0)
          assert.include(stdout, args[0] === "reap" ? "1 whose lease was over" : "option `connections` of each process")
          assert.deepInclude(yield* found, { limit: null, isLimitSet: false, used: 0, held: 0, waiting: 1 })
          assert.deepInclude(
            yield* ask("acquire", 8, "waiting", 3, 60_000, 60_000, "-", "two", 0, "db:5432"),
            "granted"
          )
          yield* ask("release", 8, "waiting")
        }
        // With a limit of all processes, those that wait are served by it.
        yield* run([key, "set", "8"])
        yield* wanted
        yield* run([key, "reap"])
        assert.deepInclude(yield* found, { limit: 8, isLimitSet: true, used: 3, waiting: 0 })
        yield* Effect.promise(() => client.del([...keysOf(key)]))
      }).pipe(Effect.scoped),
    60_000
  )

  it.live(
    "fails in one line without such a budget, without a store, and on an invalid call",
    () =>
      Effect.gen(function*() {
        const key = keyOf("nothing")
        const nothing = yield* run([key])
        assert.deepStrictEqual(nothing, {
          status: 1,
          stdout: "",
          stderr: `sluice fleet: ${key}: nothing is known of this budget: no permit, no waiter, no limit\n`
        })
        const away = yield* run([key, "--url", "redis://user:secret@127.0.0.1:1"])
        assert.strictEqual(away.status, 1)
        assert.match(away.stderr, /^sluice fleet: .*ECONNREFUSED.*\n$/)
        assert.notInclude(away.stderr + away.stdout, "secret")
        const invalid: ReadonlyArray<readonly [args: ReadonlyArray<string>, says: string]> = [
          [[key, "set"], "set needs a limit: a whole number from 0 to 1000000, or none"],
          [[key, "set", "-1"], "from 0 to 1000000, or none"],
          [[key, "set", "many"], "from 0 to 1000000, or none"],
          [[key, "set", "1000001"], "from 0 to 1000000, or none"],
          [[key, "reap", "3"], "reap takes no limit"],
          [["a b"], "key must be a text without braces and spaces"],
          [["{a}", "reap", "--json"], "key must be a text without braces and spaces"],
          [[key, "--url", "http://user:secret@x"], "url must be a URL such as redis://localhost:6379/0"]
        ]
        for (const [args, says] of invalid) {
          const { status, stderr, stdout } = yield* run(args)
          assert.deepStrictEqual([status, stdout], [2, ""], args.join(" "))
          assert.match(stderr, /^sluice fleet: .*\n$/)
          assert.include(stderr, says)
          assert.notInclude(stderr, "secret")
        }
        const inherited = yield* run([key], { REDIS_URL: "nonsense" })
        assert.deepStrictEqual([inherited.status, inherited.stdout], [2, ""])
        assert.strictEqual((yield* run([key, "set", "1000000", "--url", "redis://127.0.0.1:1"])).status, 1)
      }),
    60_000
  )
})
