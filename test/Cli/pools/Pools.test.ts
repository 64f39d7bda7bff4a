import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { eventually } from "../../support/TcpServer.ts"
import { hasTerminals, run, startOnTerminal } from "../running.ts"
import * as Program from "./program.ts"

const works: Program.Program["answer"] = ({ method }) =>
  method === "GET" ? Program.json(Program.outage) : Program.json({ done: "Suspend", pool: "orders" })

describe("sluice pools", () => {
  it.live("prints the pools, without colours where the output is no terminal", () =>
    Effect.gen(function*() {
      const program = yield* Program.serve(works)
      const { status, stderr, stdout } = yield* run(["pools", `127.0.0.1:${program.port}`])
      assert.deepStrictEqual([status, stderr], [0, ""])
      assert.include(stdout, "db:5432 is down (pool orders)")
      assert.notInclude(stdout, "\u001b")
    }), 30_000)

  it.live("prints the snapshot as it was sent, as one line of JSON", () =>
    Effect.gen(function*() {
      const program = yield* Program.serve(() => Program.json({ ...Program.outage, added: "\u001b[2J" }))
      const { status, stdout } = yield* run(["pools", program.url, "--json"])
      assert.strictEqual(status, 0)
      assert.notInclude(stdout.trimEnd(), "\n")
      assert.deepStrictEqual(JSON.parse(stdout), JSON.parse(JSON.stringify({ ...Program.outage, added: "\u001b[2J" })))
    }), 30_000)

  it.live(
    "asks for what an operator wants, with the token of the environment or of the flag",
    () =>
      Effect.gen(function*() {
        const program = yield* Program.serve(works)
        const suspended = yield* run(["pools", program.url, "suspend", "orders"], { SLUICE_TOKEN: "sesame" })
        assert.deepStrictEqual(suspended, {
          status: 0,
          stdout: "pool orders: it leases nothing until it is resumed\n",
          stderr: ""
        })
        const evicted = yield* run([
          "pools",
          program.url,
          "evict",
          "orders",
          "--endpoint",
          "db:5432",
          "--token",
          "flag"
        ])
        assert.strictEqual(evicted.status, 0)
        const drained = yield* run(["pools", program.url, "drain", "orders", "--yes", "--json"], {
          SLUICE_TOKEN: "sesame"
        })
        assert.deepStrictEqual(JSON.parse(drained.stdout), { answer: { done: "Suspend", pool: "orders" } })
        assert.deepStrictEqual(program.asked, [
          { method: "POST", path: "/pools/orders/suspend", authorization: "Bearer sesame" },
          { method: "POST", path: "/pools/orders/evict?endpoint=db%3A5432", authorization: "Bearer flag" },
          { method: "POST", path: "/pools/orders/drain", authorization: "Bearer sesame" }
        ])
      }),
    60_000
  )

  it.live.skipIf(!hasTerminals)("asks before a drain on a terminal", () =>
    Effect.gen(function*() {
      const program = yield* Program.serve(works)
      const answered = (key: string) =>
        Effect.scoped(Effect.gen(function*() {
          const running = yield* startOnTerminal(["pools", program.url, "drain", "orders", "--token", "sesame"])
          yield* eventually(() => running.stdout().includes("Drain pool orders?"), 20_000)
          running.child.stdin.write(key)
          return yield* running.outcome
        }))
      const denied = yield* answered("n")
      assert.strictEqual(denied.status, 1)
      assert.include(denied.stdout, "sluice pools: pool orders is not drained")
      assert.strictEqual((yield* answered("\u0003")).status, 130)
      assert.deepStrictEqual(program.asked, [])
      const confirmed = yield* answered("y")
      assert.strictEqual(confirmed.status, 0)
      assert.include(confirmed.stdout, "pool orders: it is drained, and ends")
      assert.strictEqual(program.asked[0]?.path, "/pools/orders/drain")
    }), 60_000)

  it.live("refuses an invalid call in one line, and asks for nothing", () =>
    Effect.gen(function*() {
      const program = yield* Program.serve(works)
      const calls: ReadonlyArray<readonly [args: ReadonlyArray<string>, reason: string]> = [
        [["drain", "orders", "--token", "x"], "confirm it with --yes"],
        [["suspend", "orders"], "suspend needs the token of the program"],
        [["suspend"], "suspend needs the name of a pool"],
        [["suspend", "orders", "--token", "x", "--endpoint", "db"], "--endpoint belongs to evict"],
        [["resume", "orders", "--token", "x", "--yes"], "--yes belongs to drain"],
        [["close", "orders"], "close"]
      ]
      for (const [args, reason] of calls) {
        const { status, stderr, stdout } = yield* run(["pools", program.url, ...args])
        assert.deepStrictEqual([status, stdout], [2, ""], args.join(" "))
        assert.include(stderr, reason)
        assert.strictEqual(stderr.trimEnd().split("\n").length, 1)
      }
      assert.deepStrictEqual(program.asked, [])
    }), 60_000)

  it.live("fails in one line when the program is away, also as JSON", () =>
    Effect.gen(function*() {
      const { url } = yield* Effect.scoped(Program.serve(works))
      const { status, stderr, stdout } = yield* run(["pools", url, "--json"])
      assert.strictEqual(status, 1)
      assert.match(stderr, /^sluice pools: http:\/\/127\.0\.0\.1:\d+\/: no answer: .*ECONNREFUSED.*\n$/)
      assert.match(String((JSON.parse(stdout) as { error: string }).error), /ECONNREFUSED/)
    }), 30_000)
})
