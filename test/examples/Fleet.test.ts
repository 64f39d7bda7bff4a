/**
 * The function of docs/how-to/fleets.md, with a real PostgreSQL and Redis.
 */
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import type { LambdaContext } from "effect-sluice/Lambda"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { observe } from "../support/Budgets.ts"
import { describeWith, ports } from "../support/LiveServers.ts"

const root = Path.resolve(import.meta.dirname, "../..")

const withServers = await describeWith("PostgreSQL", "Redis")

withServers("examples/fleet/handler.ts", () => {
  it.live("answers through a session that bears its permit, and gives both back", () =>
    Effect.gen(function*() {
      process.env["DATABASE_URL"] = `postgres://postgres@127.0.0.1:${ports.PostgreSQL}/postgres`
      process.env["REDIS_URL"] = `redis://127.0.0.1:${ports.Redis}`
      const { handler } = yield* Effect.promise(() => import("../../examples/fleet/handler.ts"))
      yield* Effect.addFinalizer(() => Effect.promise(handler.close))
      const store = yield* observe(ports.Redis)
      // Only this is used of it.
      const context = { getRemainingTimeInMillis: () => 10_000 } as LambdaContext
      const sessions = new Set<string | undefined>()
      for (const name of ["Ada", "Bob"]) {
        const answer = yield* Effect.promise(() => handler({ name }, context))
        assert.strictEqual(answer?.greeting, `hello ${name}`)
        assert.match(answer?.session ?? "", /^orders \[sluice:[0-9a-z]{10}\]$/)
        sessions.add(answer?.session)
        assert.strictEqual(yield* Effect.promise(() => store.zCard("{orders}:held")), 0)
      }
      assert.strictEqual(sessions.size, 2)
    }), 30_000)

  it("is the one of the page", () => {
    const page = Fs.readFileSync(Path.join(root, "docs/how-to/fleets.md"), "utf8")
    const code = Fs.readFileSync(Path.join(root, "examples/fleet/handler.ts"), "utf8")
    assert.include(page, code.slice(code.indexOf("import ")).trim())
  })
})
