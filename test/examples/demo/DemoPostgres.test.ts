/**
 * The demo before a PostgreSQL server of its own.
 */
import { assert, describe } from "@effect/vitest"
import { Effect } from "effect"
import * as Servers from "../../support/Servers.ts"
import * as Demo from "./Process.ts"

const test = Servers.needs("initdb", "postgres")

describe("npm run demo -- --postgres", () => {
  test("compares this library, pg.Pool and @effect/sql-pg before the same server", () =>
    Effect.gen(function*() {
      const { port } = yield* Servers.postgresWith({
        access: ["host all all 127.0.0.1/32 trust"],
        settings: ["max_connections=100"]
      })
      const url = `postgres://sluice:hidden@127.0.0.1:${port}/postgres`
      const ended = yield* Effect.promise(() =>
        Demo.start("--quick", "--json", "--rate", "30", "--postgres", url).ended
      )
      const { broken, contenders } = Demo.resultOf(ended)
      assert.deepStrictEqual(broken, [])
      assert.strictEqual(ended.code, 0)
      assert.deepStrictEqual(contenders.map(({ name }) => name), [
        "effect-sluice/Postgres",
        "pg.Pool, p-retry",
        "@effect/sql-pg, Effect.retry"
      ])
      for (const { figures: { answered, dials, requests }, name } of contenders) {
        assert.isAbove(answered, 0, name)
        assert.isBelow(dials, requests, name)
      }
      assert.notInclude(ended.stdout + ended.stderr, "hidden")
    }), 120_000)

  test(
    "ends with status 1 and one line when the server is not there, before anything is started",
    () =>
      Effect.gen(function*() {
        const url = "postgres://sluice:hidden@127.0.0.1:1/postgres"
        const { code, stderr, stdout } = yield* Effect.promise(() => Demo.start("--postgres", url).ended)
        assert.strictEqual(code, 1)
        assert.strictEqual(stdout, "")
        assert.strictEqual(stderr, "sluice demo: 127.0.0.1:1 cannot be used: connect ECONNREFUSED 127.0.0.1:1\n")
      }),
    60_000
  )
})
