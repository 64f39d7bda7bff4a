/**
 * A host without room, as a retry, a schedule and a pool see it: one gate, one line, and the same thresholds.
 */
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Fiber, Scope } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Connector from "effect-sluice/Connector"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import { TestMonitor } from "effect-sluice/ResourceMonitor"
import * as RetryPolicy from "effect-sluice/RetryPolicy"
import { TestClock } from "effect/testing"

const policy = (options: RetryPolicy.Options = {}): RetryPolicy.RetryPolicy =>
  RetryPolicy.make({ initialDelay: 100, maxDelay: 10_000, factor: 2, jitter: 0, maxAttempts: 3, ...options })

const settle = Effect.forEach(Array.from({ length: 10 }), () => Effect.yieldNow, { discard: true })

const pass = (millis: number, step = 10) =>
  Effect.gen(function*() {
    for (let passed = 0; passed < millis; passed += step) {
      yield* TestClock.adjust(step)
      yield* settle
    }
  })

const start = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.forkChild(effect, { startImmediately: true })

const codeError = (code: string, syscall?: string) => Object.assign(new Error(`${syscall} ${code}`), { code, syscall })

/** Fails with this error while there is no room, and counts its runs. */
const failing = (error: Error, test: TestMonitor["Service"]) => {
  const calls = { count: 0 }
  const effect = Effect.suspend(() => {
    calls.count += 1
    return Effect.andThen(test.set({ descriptors: calls.count === 1 ? 990 : 0 }), Effect.fail(error))
  })
  return { calls, effect }
}

/** The first readings, with the defaults, at which a first attempt and a retry are refused. */
const [noFirst, noRetry] = [976, 900]

describe("a failure while no descriptor is free", () => {
  const masked: ReadonlyArray<readonly [code: string, syscall: string]> = [
    ["ENOTFOUND", "getaddrinfo"],
    ["EAI_AGAIN", "getaddrinfo"],
    ["EAI_FAIL", "getaddrinfo"],
    ["ECONNREFUSED", "queryA"],
    ["ESERVFAIL", "queryAaaa"]
  ]
  for (const [code, syscall] of masked) {
    it.effect(`${syscall} ${code} is no attempt: it waits for room`, () =>
      Effect.gen(function*() {
        const test = yield* TestMonitor
        const error = codeError(code, syscall)
        const { calls, effect } = failing(error, test)
        const fiber = yield* start(Effect.flip(RetryPolicy.retry(effect, policy({ maxAttempts: 1 }), { label: "db" })))
        yield* pass(2000)
        assert.strictEqual(calls.count, 1)
        yield* test.set({ descriptors: 0 })
        yield* pass(1000)
        // With room again the same failure is an attempt, and the only one.
        const { reason } = yield* Fiber.join(fiber)
        assert.deepInclude(reason, { _tag: "AttemptsExhausted", attempts: 1, cause: error })
        assert.strictEqual(calls.count, 2)
      }).pipe(Effect.provide(ResourceMonitor.layerTest)))
  }

  it.effect("ends as ResourceExhausted, with the failure as its cause, when room does not come back", () =>
    Effect.gen(function*() {
      const test = yield* TestMonitor
      const error = codeError("ENOTFOUND", "getaddrinfo")
      const { calls, effect } = failing(error, test)
      const deadline = { maxAttempts: 1, deadline: "150 millis" as const }
      const fiber = yield* start(Effect.flip(RetryPolicy.retry(effect, policy(deadline), { label: "db" })))
      yield* pass(200)
      const { message, reason } = yield* Fiber.join(fiber)
      assert(reason._tag === "ResourceExhausted")
      assert.strictEqual(calls.count, 1)
      assert.strictEqual(reason.failure.class, "LocalExhausted")
      assert(reason.cause instanceof ResourceMonitor.ResourceExhausted)
      assert.strictEqual(reason.cause.cause, error)
      assert.strictEqual(
        message,
        "db found no room for 150ms after 0 attempts in 150ms; last failure (LocalExhausted ResourceExhausted): no room to " +
          "open db: 990 descriptors used + 0 reserved + 1 requested > limit 1000 - headroom 24 (level Critical); " +
          "waited 50ms; it failed with: getaddrinfo ENOTFOUND"
      )
    }).pipe(Effect.provide(ResourceMonitor.layerTest)))

  it.effect("is told inside of a nested retry as well, and the outer one waits", () =>
    Effect.gen(function*() {
      const test = yield* TestMonitor
      const { calls, effect } = failing(codeError("ENOTFOUND", "getaddrinfo"), test)
      const inner = RetryPolicy.retry(effect, policy())
      const fiber = yield* start(Effect.flip(RetryPolicy.retry(inner, policy({ maxAttempts: 1, descriptors: 0 }))))
      yield* pass(1000)
      assert.isUndefined(fiber.pollUnsafe())
      yield* test.set({ descriptors: 0 })
      yield* pass(1000)
      assert.strictEqual((yield* Fiber.join(fiber)).reason._tag, "AttemptsExhausted")
      assert.strictEqual(calls.count, 2)
    }).pipe(Effect.provide(ResourceMonitor.layerTest)))

  it.effect("is judged by the moment of the failure, not by what its finalizers free", () =>
    Effect.gen(function*() {
      const test = yield* TestMonitor
      let calls = 0
      const effect = Effect.gen(function*() {
        calls += 1
        yield* Effect.acquireRelease(test.set({ descriptors: 990 }), () => test.set({ descriptors: 0 }))
        return yield* Effect.fail(codeError("ENOTFOUND", "getaddrinfo"))
      })
      const fiber = yield* start(
        Effect.scoped(Effect.flip(RetryPolicy.retry(effect, policy({ maxAttempts: 1, deadline: "1 second" }))))
      )
      yield* pass(2000)
      assert.strictEqual((yield* Fiber.join(fiber)).reason._tag, "ResourceExhausted")
      assert.isAbove(calls, 1)
    }).pipe(Effect.provide(ResourceMonitor.layerTest)))

  it.effect("is not made up where the other side has spoken, or where something may have been done", () =>
    Effect.gen(function*() {
      const test = yield* TestMonitor
      const lasting = ["EACCES", "28P01", "CERT_HAS_EXPIRED", "25006", "EPIPE", "08006", "ECONNRESET", "53300"]
      for (const code of lasting) {
        const { calls, effect } = failing(codeError(code, "read"), test)
        const fiber = yield* start(Effect.flip(RetryPolicy.retry(effect, policy({ maxAttempts: 1 }))))
        yield* settle
        assert.notStrictEqual((yield* Fiber.join(fiber)).reason._tag, "ResourceExhausted", code)
        assert.strictEqual(calls.count, 1, code)
        yield* test.set({ descriptors: 0 })
      }
    }).pipe(Effect.provide(ResourceMonitor.layerTest)))

  it.effect("is suspected behind an error that nobody knows, where the effect may be done twice", () =>
    Effect.gen(function*() {
      const test = yield* TestMonitor
      for (const idempotent of [false, true]) {
        const { calls, effect } = failing(new Error("could not connect"), test)
        const fiber = yield* start(Effect.flip(RetryPolicy.retry(effect, policy({ idempotent }))))
        yield* pass(1000)
        yield* test.set({ descriptors: 0 })
        yield* pass(1000)
        assert.strictEqual((yield* Fiber.join(fiber)).reason._tag, "NotRetryable")
        assert.strictEqual(calls.count, idempotent ? 2 : 1)
      }
    }).pipe(Effect.provide(ResourceMonitor.layerTest)))

  it.effect("is told by a schedule too", () =>
    Effect.gen(function*() {
      const test = yield* TestMonitor
      const { calls, effect } = failing(codeError("ENOTFOUND", "getaddrinfo"), test)
      const fiber = yield* start(Effect.flip(Effect.retry(effect, RetryPolicy.schedule(policy({ maxAttempts: 1 })))))
      yield* pass(1000)
      assert.strictEqual(calls.count, 1)
      yield* test.set({ descriptors: 0 })
      yield* pass(1000)
      yield* Fiber.join(fiber)
      assert.strictEqual(calls.count, 2)
    }).pipe(Effect.provide(ResourceMonitor.layerTest)))

  it.effect("passes on a defect and an interruption beside it", () =>
    Effect.gen(function*() {
      const test = yield* TestMonitor
      yield* test.set({ descriptors: 950 })
      const error = codeError("ENOTFOUND", "getaddrinfo")
      const cause = Cause.combine(Cause.fail(error), Cause.die("and this"))
      const failure = Effect.andThen(test.set({ descriptors: 990 }), Effect.failCause(cause))
      const exit = yield* Effect.exit(RetryPolicy.retry(failure, policy()))
      assert(Exit.isFailure(exit))
      assert.deepStrictEqual(exit.cause.reasons.map(({ _tag }) => _tag), ["Die"])
    }).pipe(Effect.provide(ResourceMonitor.layerTest)))
})

describe("waiting for room at the gate", () => {
  it.effect("is first come first served among retries, schedules, pools and whoever reserves", () =>
    Effect.gen(function*() {
      const test = yield* TestMonitor
      const monitor = yield* ResourceMonitor.ResourceMonitor
      yield* test.set({ descriptors: noFirst })
      const log: Array<string> = []
      const note = (name: string) => Effect.sync(() => void log.push(name))
      const pool = yield* ConnectionPool.make({ connector: Connector.make({ open: note }) })
      yield* start(RetryPolicy.retry(note("retry"), policy()))
      yield* settle
      yield* start(ConnectionPool.use(pool, "pool", () => Effect.void))
      yield* settle
      yield* start(Effect.andThen(monitor.reserve({ label: "reserve", maxWait: "1 minute" }), note("reserve")))
      yield* pass(5000)
      assert.deepStrictEqual(log, [])
      assert.strictEqual(yield* test.waiting, 3)
      yield* test.set({ descriptors: 0 })
      yield* pass(200)
      assert.deepStrictEqual(log, ["retry", "pool", "reserve"])
    }).pipe(Effect.scoped, Effect.provide(ResourceMonitor.layerTest)))

  it.effect("ends in the very step in which a claim ends", () =>
    Effect.gen(function*() {
      const test = yield* TestMonitor
      const monitor = yield* ResourceMonitor.ResourceMonitor
      yield* test.set({ descriptors: noFirst - 1 })
      const holder = yield* Scope.make()
      yield* Scope.provide(monitor.reserve({ label: "holder" }), holder)
      const fiber = yield* start(RetryPolicy.retry(Effect.succeed("through"), policy()))
      yield* pass(3000)
      assert.isUndefined(fiber.pollUnsafe())
      yield* Scope.close(holder, Exit.void)
      yield* settle
      assert.deepStrictEqual(fiber.pollUnsafe(), Exit.succeed("through"))
    }).pipe(Effect.provide(ResourceMonitor.layerTest)))

  it.effect("is over at once for a pool that closes", () =>
    Effect.gen(function*() {
      const test = yield* TestMonitor
      yield* test.set({ descriptors: noFirst })
      const scope = yield* Scope.make()
      const connector = Connector.make({ open: () => Effect.void })
      const pool = yield* Scope.provide(ConnectionPool.make({ connector }), scope)
      const borrower = yield* start(Effect.flip(ConnectionPool.use(pool, "x", () => Effect.void)))
      yield* pass(500)
      assert.strictEqual(yield* test.waiting, 1)
      const closing = yield* start(Scope.close(scope, Exit.void))
      yield* settle
      yield* Fiber.join(closing)
      assert.strictEqual((yield* Fiber.join(borrower)).reason._tag, "PoolClosed")
      assert.deepStrictEqual([yield* test.waiting, yield* test.reserved], [0, 0])
    }).pipe(Effect.provide(ResourceMonitor.layerTest)))

  it.effect("counts in the deadline of the attempt that follows", () =>
    Effect.gen(function*() {
      const test = yield* TestMonitor
      yield* test.set({ descriptors: noFirst })
      const fiber = yield* start(Effect.flip(RetryPolicy.retry(Effect.never, policy({ deadline: "1 second" }))))
      yield* pass(900)
      yield* test.set({ descriptors: 0 })
      yield* pass(90)
      assert.isUndefined(fiber.pollUnsafe())
      yield* pass(20)
      assert.deepInclude((yield* Fiber.join(fiber)).reason, { _tag: "DeadlineExceeded", interrupted: true })
    }).pipe(Effect.provide(ResourceMonitor.layerTest)))

  it.effect("ends after 30 seconds without a deadline, however often the gate was asked", () =>
    Effect.gen(function*() {
      const test = yield* TestMonitor
      yield* test.set({ descriptors: noFirst })
      const fiber = yield* start(Effect.flip(RetryPolicy.retry(Effect.void, policy())))
      yield* pass(29_900, 100)
      assert.isUndefined(fiber.pollUnsafe())
      yield* pass(200)
      const { reason } = yield* Fiber.join(fiber)
      assert.deepInclude(reason, { _tag: "ResourceExhausted", attempts: 0 })
      assert.strictEqual(yield* test.waiting, 0)
    }).pipe(Effect.provide(ResourceMonitor.layerTest)))

  it.effect("does not happen inside of another retry, which waits instead", () =>
    Effect.gen(function*() {
      const test = yield* TestMonitor
      const inner = Effect.andThen(
        test.set({ descriptors: noFirst }),
        RetryPolicy.retry(Effect.void, policy())
      )
      const fiber = yield* start(RetryPolicy.retry(inner, policy({ descriptors: 0 })))
      yield* settle
      assert.isUndefined(fiber.pollUnsafe())
      // The outer one sleeps between its attempts and waits at the gate; the inner one does neither.
      assert.strictEqual(yield* test.waiting, 0)
      yield* pass(500)
      assert.strictEqual(yield* test.waiting, 1)
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(yield* test.waiting, 0)
    }).pipe(Effect.provide(ResourceMonitor.layerTest)))
})

describe("the thresholds", () => {
  const isRefused = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
    Effect.gen(function*() {
      const fiber = yield* start(Effect.exit(effect))
      yield* settle
      const isWaiting = fiber.pollUnsafe() === undefined
      yield* Fiber.interrupt(fiber)
      return isWaiting
    })

  it.effect("of first attempts are the same for reserve, retry and pool", () =>
    Effect.gen(function*() {
      const test = yield* TestMonitor
      const monitor = yield* ResourceMonitor.ResourceMonitor
      for (const [descriptors, refused] of [[noFirst - 1, false], [noFirst, true]] as const) {
        yield* test.set({ descriptors })
        const pool = yield* ConnectionPool.make({ connector: Connector.make({ open: () => Effect.void }) })
        const answers = [
          yield* isRefused(Effect.scoped(monitor.reserve({ label: "x", maxWait: "1 second" }))),
          yield* isRefused(RetryPolicy.retry(Effect.void, policy())),
          yield* isRefused(ConnectionPool.use(pool, "x", () => Effect.void))
        ]
        assert.deepStrictEqual(answers, [refused, refused, refused], `at ${descriptors}`)
      }
    }).pipe(Effect.scoped, Effect.provide(ResourceMonitor.layerTest)))

  it.effect("of retries are the same for reserve, retry, schedule and pool", () =>
    Effect.gen(function*() {
      const test = yield* TestMonitor
      const monitor = yield* ResourceMonitor.ResourceMonitor
      const error = codeError("ECONNREFUSED", "connect")
      for (const [descriptors, refused] of [[noRetry - 1, false], [noRetry, true]] as const) {
        yield* test.set({ descriptors })
        const runs = [0, 0, 0]
        const fail = (which: number) =>
          Effect.suspend(() => {
            runs[which] = (runs[which] ?? 0) + 1
            return Effect.fail(error)
          })
        const retry = policy({ maxAttempts: 2 })
        const pool = yield* ConnectionPool.make({ connector: Connector.make({ open: () => fail(2) }), retry })
        const fibers = [
          yield* start(Effect.exit(RetryPolicy.retry(fail(0), retry))),
          yield* start(Effect.exit(Effect.retry(fail(1), RetryPolicy.schedule(retry)))),
          yield* start(Effect.exit(ConnectionPool.use(pool, "x", () => Effect.void)))
        ]
        yield* pass(1000)
        assert.deepStrictEqual(runs, refused ? [1, 1, 1] : [2, 2, 2], `at ${descriptors}`)
        const retries = monitor.reserve({ label: "x", attempt: 1, maxWait: "1 second" })
        assert.strictEqual(yield* isRefused(Effect.scoped(retries)), refused)
        yield* Fiber.interruptAll(fibers)
      }
    }).pipe(Effect.scoped, Effect.provide(ResourceMonitor.layerTest)))
})

describe("previousAttempts", () => {
  it("is refused when it makes no sense", () => {
    for (const previousAttempts of [-1, 0.5, Number.NaN, Infinity]) {
      assert.throws(
        () => RetryPolicy.retry(Effect.void, policy(), { previousAttempts }),
        `RetryPolicy: option previousAttempts is ${previousAttempts}, but it must be a whole number of at least 0`
      )
      assert.throws(() => RetryPolicy.schedule(policy(), { previousAttempts }), "option previousAttempts")
    }
  })
})
