/**
 * What becomes of a hook that fails: no borrower sees its connection, and somebody has to learn why.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Logger } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as RetryPolicy from "effect-sluice/RetryPolicy"
import { TestClock } from "effect/testing"
import { inspect } from "node:util"
import { fork, id, settle, test } from "../../support/Pools.ts"
import * as Scripted from "../../support/ScriptedConnector.ts"

const collect = () => {
  const lines: Array<string> = []
  const logger = Logger.make(({ cause, message }) => void lines.push(`${String(message)} ${inspect(cause)}`))
  return { lines, layer: Logger.layer([logger]) }
}

describe("a failing hook afterReturn", () => {
  for (
    const [how, afterReturn] of [["fails", Effect.fail(new Scripted.ScriptedFailure("no reset"))], [
      "dies",
      Effect.die("no reset")
    ]] as const
  ) {
    it.effect(`is reported when it ${how}, once for an endpoint and minute, with what it has failed with`, () => {
      const { layer, lines } = collect()
      return test(Effect.gen(function*() {
        const { connector, ledger } = Scripted.make()
        const pool = yield* ConnectionPool.make({ connector, hooks: { afterReturn: () => afterReturn } })
        const borrow = (key: string) => Effect.andThen(ConnectionPool.use(pool, key, id), settle)
        for (let round = 0; round < 5; round++) yield* borrow("a")
        assert.strictEqual(ledger.closed, 5)
        assert.lengthOf(lines, 1)
        assert.include(lines[0], "ConnectionPool: hook afterReturn has failed on a connection to a, which is closed")
        assert.include(lines[0], "no reset")
        yield* borrow("b")
        assert.lengthOf(lines, 2)
        yield* TestClock.adjust("1 minute")
        yield* borrow("a")
        yield* borrow("a")
        assert.lengthOf(lines, 3)
      })).pipe(Effect.provide(layer))
    })
  }

  it.effect("is reported when it takes longer than connectTimeout", () => {
    const { layer, lines } = collect()
    return test(Effect.gen(function*() {
      const { connector } = Scripted.make()
      const hooks = { afterReturn: () => Effect.never }
      const pool = yield* ConnectionPool.make({ connector, hooks, connectTimeout: "1 second" })
      yield* ConnectionPool.use(pool, "a", id)
      yield* TestClock.adjust("1 second")
      yield* settle
      assert.include(lines.join(), "it took longer than 1s")
    })).pipe(Effect.provide(layer))
  })
})

describe("a failing hook beforeLend", () => {
  const failing = (beforeLend: Effect.Effect<void, Error>) =>
    Effect.gen(function*() {
      const { connector } = Scripted.make()
      const options = { connector, retry: RetryPolicy.make({ maxAttempts: 1 }), connectTimeout: "1 second" } as const
      const pool = yield* ConnectionPool.make({ ...options, hooks: { beforeLend: () => beforeLend } })
      const borrower = yield* fork(Effect.flip(ConnectionPool.use(pool, "a", id)))
      yield* settle
      yield* TestClock.adjust("1 second")
      const { message, reason } = yield* Fiber.join(borrower)
      assert(reason._tag === "ConnectFailed" && reason.cause instanceof ConnectionPool.NotReady)
      return { message, cause: reason.cause.cause }
    })

  it.effect("is the cause of what its borrower learns, with its text", () =>
    test(Effect.gen(function*() {
      const failure = new Error("permission denied for set role")
      const { cause, message } = yield* failing(Effect.fail(failure))
      assert.strictEqual(cause, failure)
      const text =
        "no connection to a: the connection to a was opened, but beforeLend failed: permission denied for set role"
      assert.strictEqual(message, text)
      assert.strictEqual((yield* failing(Effect.die(failure))).message, text)
      assert.include((yield* failing(Effect.never)).message, "beforeLend failed: it took longer than 1s")
    })))
})
