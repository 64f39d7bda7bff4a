import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted, Result, type Scope } from "effect"
import * as Client from "../../../src/Cli/pools/Client.ts"
import { parseTarget } from "../../../src/Cli/pools/Target.ts"
import * as Program from "./program.ts"

const asking = (url: string, token?: string): Client.Program => ({
  command: "pools",
  target: parseTarget(url),
  token: token === undefined ? undefined : Redacted.make(token)
})

/** What the operator reads when the program answers this. */
const complaint = (answer: Program.Answer): Effect.Effect<string, Client.Taken, Scope.Scope> =>
  Effect.gen(function*() {
    const program = yield* Program.serve(() => answer)
    const error = yield* Effect.flip(Client.takeSnapshot(asking(program.url)))
    assert.strictEqual(error.message, `sluice pools: ${program.url}/: ${error.detail}`)
    assert.notInclude(error.message, "\n")
    return error.detail
  }).pipe(Effect.provide(Client.layer))

describe("a snapshot", () => {
  it.live("is read, with fields that this version does not know", () =>
    Effect.gen(function*() {
      const pool = Program.pool("orders")
      const newer = { ...Program.outage, added: 1, pools: [{ ...pool, added: { deep: true } }] }
      const program = yield* Program.serve(() => Program.json(newer))
      const { sent, snapshot } = yield* Client.takeSnapshot(asking(program.url))
      assert.deepStrictEqual(sent, JSON.parse(JSON.stringify(newer)))
      assert.deepStrictEqual(snapshot.pools, [pool])
      assert.deepStrictEqual(program.asked, [{ method: "GET", path: "/pools.json", authorization: undefined }])
    }).pipe(Effect.provide(Client.layer)))

  it.live("is asked for with the token, if there is one", () =>
    Effect.gen(function*() {
      const program = yield* Program.serve(() => Program.json(Program.outage))
      yield* Client.takeSnapshot(asking(program.url, "sesame"))
      assert.strictEqual(program.asked[0]?.authorization, "Bearer sesame")
    }).pipe(Effect.provide(Client.layer)))

  it.live("has no character that acts on a terminal", () =>
    Effect.gen(function*() {
      const hostile = "\u001b]0;owned\u0007\u001b[2J\u009b31m\r\n\u202e"
      const sent = Program.snapshot({
        pools: [
          Program.pool(hostile, {
            endpoints: [Program.endpoint(hostile)],
            holders: [Program.holder(1, { span: hostile, site: hostile, attributes: { [hostile]: hostile } })],
            totals: { [hostile]: 1 }
          })
        ]
      })
      const program = yield* Program.serve(() => Program.json(sent))
      const { snapshot } = yield* Client.takeSnapshot(asking(program.url))
      assert.notMatch(JSON.stringify(snapshot).replaceAll("\\\\", ""), /[\p{Cc}\p{Cf}]|\\u00|\\r|\\n/u)
      assert.include(snapshot.pools[0]?.name, "\\x1b]0;owned\\x07")
    }).pipe(Effect.provide(Client.layer)))
})

describe("an answer that is no snapshot is one line", () => {
  it.live("that is no JSON", () =>
    Effect.map(
      complaint({ status: 200, body: "<html>\u001b[2J" }),
      (text) => assert.strictEqual(text, "the answer is not JSON")
    ))

  it.live("of another version", () =>
    Effect.map(complaint(Program.json({ ...Program.outage, version: 2 })), (text) => {
      assert.include(text, "not a snapshot that this version reads")
      assert.include(text, "version")
    }))

  it.live("of another program", () =>
    Effect.map(
      complaint({ status: 404, body: "not found" }),
      (text) => assert.strictEqual(text, "the answer has the status 404; is this the address of the status page?")
    ))

  it.live("that is refused, with the words of the program", () =>
    Effect.map(
      complaint(Program.json({ error: "TokenWrong", message: "this is not\u001b[2J the token" }, 401)),
      (text) =>
        assert.strictEqual(
          text,
          "this is not\\x1b[2J the token (401); give the token with --token or in SLUICE_TOKEN"
        )
    ))

  it.live("that is refused with words that are masked to their end", () =>
    Effect.map(
      complaint(Program.json({ error: "TokenWrong", message: "not Authorization: Bearer sesame" }, 401)),
      (text) =>
        assert.strictEqual(
          text,
          "not Authorization: *** (401); give the token with --token or in SLUICE_TOKEN"
        )
    ))

  it.live("from a program that has ended, or stands still", () =>
    Effect.gen(function*() {
      const gone = yield* Effect.scoped(Program.serve(() => undefined))
      const away = yield* Effect.flip(Client.takeSnapshot(asking(gone.url)))
      assert.match(away.detail, /^no answer: .*ECONNREFUSED/)
      const still = yield* Program.serve(() => undefined)
      const silent = yield* Effect.flip(Client.takeSnapshot(asking(still.url)))
      assert.strictEqual(silent.detail, "no answer within 5 s")
    }).pipe(Effect.provide(Client.layer)), 15_000)
})

describe("a control endpoint", () => {
  it.live("is asked by POST with the token", () =>
    Effect.gen(function*() {
      const program = yield* Program.serve(() => Program.json({ done: "Evict", pool: "orders" }))
      const request = { action: "evict", pool: "orders", endpoint: "db:5432" } as const
      assert.deepStrictEqual(yield* Client.control(asking(program.url, "sesame"), request), {
        done: "Evict",
        pool: "orders"
      })
      assert.deepStrictEqual(program.asked, [
        { method: "POST", path: "/pools/orders/evict?endpoint=db%3A5432", authorization: "Bearer sesame" }
      ])
    }).pipe(Effect.provide(Client.layer)))

  it.live("fails with what the program has to say", () =>
    Effect.gen(function*() {
      const refusal = Program.json({ error: "NotFound", message: "there is no pool mail" }, 404)
      const program = yield* Program.serve(() => refusal)
      const request = { action: "suspend", pool: "mail", endpoint: undefined } as const
      const result = yield* Effect.result(Client.control(asking(program.url, "sesame"), request))
      assert.strictEqual(
        Result.isFailure(result) ? result.failure.detail : "it succeeded",
        "there is no pool mail (404)"
      )
    }).pipe(Effect.provide(Client.layer)))
})
