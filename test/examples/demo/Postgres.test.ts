import { assert, describe, it, vi } from "@effect/vitest"
import { Effect } from "effect"
import { FaultProxy } from "effect-sluice/Testing"
import * as Postgres from "../../../examples/demo/Postgres.ts"
import * as Servers from "../../support/Servers.ts"

const parsed = (url: string) => Effect.runSync(Postgres.parse(url))
const problem = (url: string) => Effect.runSync(Effect.flip(Postgres.parse(url))).message

describe("the URL of --postgres", () => {
  it("says where the database is, and how to log in", () => {
    const { database, endpoint } = parsed("postgres://a%40b:se%2Fcret@db.example:6000/orders?sslmode=require")
    assert.strictEqual(String(endpoint), "db.example:6000")
    assert.deepStrictEqual(database, { user: "a@b", password: "se/cret", name: "orders", ssl: true })
    const { database: least, endpoint: usual } = parsed("postgresql://127.0.0.1")
    assert.strictEqual(String(usual), "127.0.0.1:5432")
    assert.deepStrictEqual(least, {
      user: "postgres",
      password: process.env["PGPASSWORD"],
      name: "postgres",
      ssl: false
    })
  })

  it("takes the password from PGPASSWORD if it has none", () => {
    vi.stubEnv("PGPASSWORD", "secret")
    try {
      assert.strictEqual(parsed("postgres://a@db.example").database.password, "secret")
      assert.strictEqual(parsed("postgres://a:own@db.example").database.password, "own")
    } finally {
      vi.unstubAllEnvs()
    }
  })

  it.each(
    [
      ["", "its URL does not begin with postgres://, or its host or port is not valid"],
      ["localhost", "its URL does not begin with postgres://, or its host or port is not valid"],
      ["mysql://app:hidden@db/orders", "its URL does not begin with postgres://, or its host or port is not valid"],
      [
        "postgres://app:hidden@db:99999/orders",
        "its URL does not begin with postgres://, or its host or port is not valid"
      ],
      ["postgres://app:hidden%ZZ@db/orders", "is not encoded as in a URL"],
      ["postgres://app:hidden@db/orders?sslmode=verify-full", "sslmode=verify-full fails"]
    ] as const
  )("is refused with a reason and without its password: %s", (url, reason) => {
    assert.include(problem(url), reason)
    assert.notInclude(problem(url), "hidden")
  })
})

const test = Servers.needs("initdb", "postgres")

describe("a database", () => {
  test("is refused when it has no room for all contenders, and only then", () =>
    Effect.gen(function*() {
      const { port } = yield* Servers.postgres
      const upstream = yield* Postgres.parse(`postgres://sluice:hidden@127.0.0.1:${port}/postgres`)
      // Seven connections are for all users, one of which asks here.
      yield* Postgres.check(upstream, 6)
      const { message } = yield* Effect.flip(Postgres.check(upstream, 7))
      assert.strictEqual(
        message,
        `sluice demo: 127.0.0.1:${port} cannot be used: it has room for 6 connections, and the demo needs 7`
      )
    }), 60_000)

  test("that refuses the login or has no such database says so, without the password", () =>
    Effect.gen(function*() {
      const { port } = yield* Servers.postgres
      const failure = (login: string) =>
        Effect.flatMap(Postgres.parse(`postgres://${login}`), (upstream) => Effect.flip(Postgres.check(upstream, 1)))
      assert.match(
        (yield* failure(`locked:hidden@127.0.0.1:${port}/postgres`)).message,
        /password authentication failed/
      )
      const { message } = yield* failure(`sluice:hidden@127.0.0.1:${port}/nowhere`)
      assert.match(message, /database "nowhere" does not exist/)
      assert.notInclude(message, "hidden")
    }), 60_000)

  test("that is not there is refused", () =>
    Effect.gen(function*() {
      const { port } = yield* Servers.postgres
      const upstream = yield* Postgres.parse(`postgres://sluice@127.0.0.1:${port}/postgres`)
      const proxy = yield* FaultProxy.make(upstream.endpoint)
      yield* proxy.refuse
      const { message } = yield* Effect.flip(Postgres.check({ ...upstream, endpoint: proxy.endpoint }, 1))
      assert.match(message, /^sluice demo: 127\.0\.0\.1:\d+ cannot be used: connect ECONNREFUSED/)
    }), 60_000)
})
