/**
 * A pool whose borrowers do not wait for an endpoint that is down.
 */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Duration, Effect, Exit, Fiber } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Failure from "effect-sluice/Failure"
import * as RetryPolicy from "effect-sluice/RetryPolicy"
import * as TcpConnection from "effect-sluice/TcpConnection"
import { TestClock } from "effect/testing"
import { invalidOption } from "../support/InvalidOption.ts"
import { fork, id, settle, test } from "../support/Pools.ts"
import * as Scripted from "../support/ScriptedConnector.ts"
import * as TcpServer from "../support/TcpServer.ts"

const retry = RetryPolicy.make({ maxAttempts: 5, initialDelay: 100, factor: 2, jitter: 0 })

/** A pool for a server that fails each dial with this code, as long as there is one. */
const make = (code: () => string | undefined) => {
  const scripted = Scripted.make({
    open: () => {
      const answer = code()
      return Effect.andThen(
        Effect.sleep(1),
        answer === undefined ? Effect.void : Effect.fail(new Scripted.ScriptedFailure(answer))
      )
    }
  })
  return Effect.map(
    ConnectionPool.make({
      connector: scripted.connector,
      retry,
      maxRedialDelay: "Infinity",
      whenUnavailable: "fail",
      drainTimeout: 0
    }),
    (pool) => ({ ...scripted, pool })
  )
}

const pass = (millis: number) => Effect.andThen(TestClock.adjust(millis), settle)

type Borrower = Fiber.Fiber<Exit.Exit<number, ConnectionPool.PoolError>>

const isServed = (borrower: Borrower): boolean => {
  const ended = borrower.pollUnsafe()
  return ended?._tag === "Success" && Exit.isSuccess(ended.value)
}

const unavailable = (error: ConnectionPool.PoolError): ConnectionPool.EndpointUnavailable =>
  error.reason._tag === "EndpointUnavailable" ? error.reason : assert.fail(`it is ${error.reason._tag}`)

describe("a pool that fails when an endpoint is unavailable", () => {
  it.effect("says so at once, with the time of the next attempt and the last failure", () =>
    test(Effect.gen(function*() {
      const { ledger, pool } = yield* make(() => "ECONNREFUSED")
      const borrow = Effect.flip(ConnectionPool.use(pool, "db", id))
      const first = yield* fork(borrow)
      yield* pass(1)
      const learnt = unavailable(yield* Fiber.join(first))
      assert.strictEqual(Duration.toMillis(learnt.retryAfter), 100)
      assert.instanceOf(learnt.cause, Scripted.ScriptedFailure)
      assert.isTrue(learnt.isRetryable)
      assert.include(learnt.message, "1 failure without a success in less than 1ms, next attempt in 100ms (")
      yield* pass(40)
      const second = unavailable(yield* borrow)
      assert.strictEqual(Duration.toMillis(second.retryAfter), 60)
      assert.strictEqual(
        second.message,
        "db is unavailable: 1 failure without a success in 40ms, next attempt in 60ms " +
          "(total=0, active=0, idle=0, connecting=0, closing=0, waiting=0); last failure: scripted ECONNREFUSED"
      )
      assert.strictEqual(ledger.attempts, 1)
      assert.strictEqual((yield* ConnectionPool.stats(pool)).waiting, 0)
    })))

  it.effect("has one borrower make the next attempt when it is due, and serves all when that succeeds", () =>
    test(Effect.gen(function*() {
      let code: string | undefined = "ECONNREFUSED"
      const { ledger, pool } = yield* make(() => code)
      const borrow = fork(Effect.exit(ConnectionPool.use(pool, "db", id)))
      yield* borrow
      yield* pass(1)
      for (const [turn, wait] of [100, 200, 400].entries()) {
        yield* pass(wait)
        if (turn === 2) code = undefined
        const crowd = yield* Effect.forEach(Array.from({ length: 100 }), () => borrow)
        yield* settle
        assert.strictEqual(crowd.filter((borrower) => borrower.pollUnsafe() === undefined).length, 1)
        assert.strictEqual(ledger.attempts, turn + 2)
        yield* pass(1)
        assert.strictEqual(crowd.filter(isServed).length, turn === 2 ? 1 : 0)
      }
      assert.strictEqual(yield* ConnectionPool.health(pool, "db"), "Healthy")
      const served = yield* Effect.forEach(Array.from({ length: 10 }), () => borrow)
      yield* pass(10)
      assert.isTrue(served.every(isServed))
    })))

  it.effect("still has borrowers wait where a connection is left, and leases what is idle", () =>
    test(Effect.gen(function*() {
      let code: string | undefined
      const { pool } = yield* make(() => code)
      const holder = yield* fork(ConnectionPool.use(pool, "db", () => Effect.sleep(50)))
      yield* pass(1)
      code = "ECONNREFUSED"
      const waiting = yield* fork(ConnectionPool.use(pool, "db", id))
      yield* pass(1)
      assert.strictEqual(yield* ConnectionPool.health(pool, "db"), "Degraded")
      assert.strictEqual(waiting.pollUnsafe(), undefined)
      yield* pass(50)
      yield* Fiber.joinAll([holder, waiting])
      assert.strictEqual(yield* ConnectionPool.use(pool, "db", id), 1)
    })))

  it.effect("says that no repetition helps where the last failure says so", () =>
    test(Effect.gen(function*() {
      const { pool } = yield* make(() => "EACCES")
      const first = yield* fork(Effect.flip(ConnectionPool.use(pool, "db", id)))
      yield* pass(1)
      assert.strictEqual((yield* Fiber.join(first)).reason._tag, "ConnectFailed", "its policy has given up")
      const second = yield* Effect.flip(ConnectionPool.use(pool, "db", id))
      assert.isFalse(unavailable(second).isRetryable)
      assert.strictEqual(Failure.classify(second).class, "Fatal")
    })))

  it.effect("has a retry of its caller wait for the next attempt", () =>
    test(Effect.gen(function*() {
      let code: string | undefined = "ECONNREFUSED"
      const { ledger, pool } = yield* make(() => code)
      const start = yield* Clock.currentTimeMillis
      const policy = RetryPolicy.make({ maxAttempts: 2, initialDelay: 1, jitter: 0 })
      const caller = yield* fork(
        Effect.andThen(RetryPolicy.retry(ConnectionPool.use(pool, "db", id), policy), Clock.currentTimeMillis)
      )
      yield* pass(1)
      code = undefined
      yield* pass(500)
      const ended = yield* Fiber.join(caller)
      assert.isAtLeast(ended - start, 101, "not after its own delay of a millisecond")
      assert.strictEqual(ledger.attempts, 2)
    })))

  it.live("is back as soon as a real server is", () =>
    test(Effect.gen(function*() {
      const first = yield* Effect.scoped(TcpServer.echo)
      const { endpoint } = first
      const pool = yield* ConnectionPool.make({
        connector: TcpConnection.connector(),
        retry: RetryPolicy.make({ ...retry, initialDelay: 20 }),
        maxRedialDelay: 20,
        whenUnavailable: "fail"
      })
      const borrow = ConnectionPool.use(pool, endpoint, () => Effect.void)
      const error = yield* Effect.flip(borrow)
      assert.strictEqual(Failure.classify(error).code, "ECONNREFUSED")
      assert.isDefined(Failure.classify(error).retryAfter)
      yield* TcpServer.make((socket) => void socket.resume(), { port: endpoint.port })
      const policy = RetryPolicy.make({ maxAttempts: 100, initialDelay: 1 })
      yield* RetryPolicy.retry(borrow, policy)
      assert.strictEqual(yield* ConnectionPool.health(pool, endpoint), "Healthy")
    })))

  it.effect("refuses any other value of the option", () =>
    test(Effect.gen(function*() {
      const { connector } = Scripted.make()
      const error = yield* invalidOption(ConnectionPool.make({ connector, whenUnavailable: "later" as never }))
      assert.strictEqual(error.option, "whenUnavailable")
    })))
})

describe("a pool that waits", () => {
  it.effect("has all borrowers wait for the next attempt, as before", () =>
    test(Effect.gen(function*() {
      let code: string | undefined = "ECONNREFUSED"
      const { connector } = Scripted.make({
        open: () => code === undefined ? Effect.void : Effect.fail(new Scripted.ScriptedFailure(code))
      })
      const pool = yield* ConnectionPool.make({ connector, retry })
      const borrower = yield* fork(ConnectionPool.use(pool, "db", id))
      yield* settle
      assert.strictEqual(yield* ConnectionPool.health(pool, "db"), "Unavailable")
      code = undefined
      yield* pass(100)
      assert.strictEqual(yield* Fiber.join(borrower), 1)
    })))
})
