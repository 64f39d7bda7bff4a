/**
 * What a circuit breaker promises of an endpoint, shown of the pool's establishment, which is the breaker of its endpoints.
 */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Fiber, type Scope } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import * as RetryPolicy from "effect-sluice/RetryPolicy"
import { TestClock } from "effect/testing"
import * as DialPolicy from "../../../src/Pool/internal/DialPolicy.ts"
import * as Scripted from "../../support/ScriptedConnector.ts"

const fork = Effect.forkChild({ startImmediately: true })

const settle = Effect.forEach(Array.from({ length: 20 }), () => Effect.yieldNow, { discard: true })

const pass = (millis: number) => Effect.andThen(TestClock.adjust(millis), settle)

const retry = RetryPolicy.make({ maxAttempts: Infinity, initialDelay: 100, factor: 2, maxDelay: 10_000, jitter: 0 })

/** What the server does with a dial. */
type Conduct = "accepts" | "refuses" | "hangs" | "lacks descriptors"

interface Server {
  conduct: Conduct
  /** When it was dialed. */
  readonly dials: Array<number>
  dialling: number
  peak: number
}

const failing = { refuses: "ECONNREFUSED", "lacks descriptors": "EMFILE" } as const

/** A pool for one server. */
const make = (
  options: Partial<ConnectionPool.Options<string, Scripted.Scripted, Scripted.ScriptedFailure, never>> = {}
) =>
  Effect.gen(function*() {
    const server: Server = { conduct: "accepts", dials: [], dialling: 0, peak: 0 }
    const dial = Effect.gen(function*() {
      server.dials.push(yield* Clock.currentTimeMillis)
      server.peak = Math.max(server.peak, ++server.dialling)
      yield* Effect.sleep(1)
      const { conduct } = server
      if (conduct === "hangs") return yield* Effect.never
      if (conduct !== "accepts") return yield* new Scripted.ScriptedFailure(failing[conduct])
    })
    const scripted = Scripted.make({ open: () => Effect.ensuring(dial, Effect.sync(() => server.dialling--)) })
    const pool = yield* ConnectionPool.make({
      connector: scripted.connector,
      retry,
      maxPerEndpoint: 8,
      maxTotal: 8,
      maxRedialDelay: "Infinity",
      acquireTimeout: "10 minutes",
      drainTimeout: 0,
      ...options
    })
    return { ...scripted, pool, server }
  })

type Made = Effect.Success<ReturnType<typeof make>>

/** Borrowers that keep what they get. */
const holders = ({ pool }: Pick<Made, "pool">, count: number) =>
  Effect.forEach(
    Array.from({ length: count }),
    () => fork(Effect.exit(ConnectionPool.use(pool, "db", () => Effect.never)))
  )

/** A borrower whose connection breaks under it. */
const victim = ({ kill, ledger, pool }: Pick<Made, "kill" | "ledger" | "pool">) =>
  Effect.exit(ConnectionPool.use(pool, "db", (connection) =>
    Effect.gen(function*() {
      yield* Effect.forEach([...ledger.live].filter(({ id }) => id === connection.id), kill)
      yield* settle
      return yield* Effect.fail("the connection broke")
    })))

const gaps = (dials: ReadonlyArray<number>): ReadonlyArray<number> =>
  dials.slice(1).map((at, index) => at - (dials[index] ?? 0))

const test = <A, E>(effect: Effect.Effect<A, E, ResourceMonitor.ResourceMonitor | Scope.Scope>) =>
  effect.pipe(Effect.provide(ResourceMonitor.layer))

describe("the establishment of an endpoint, as its circuit breaker", () => {
  it.effect("is open between two attempts: whoever comes is not dialled for, and its health is readable", () =>
    test(Effect.gen(function*() {
      const made = yield* make()
      made.server.conduct = "refuses"
      yield* holders(made, 1)
      yield* pass(1)
      yield* holders(made, 100)
      yield* pass(99)
      assert.strictEqual(made.server.dials.length, 1)
      assert.strictEqual(yield* ConnectionPool.health(made.pool, "db"), "Unavailable")
      yield* pass(1)
      assert.strictEqual(made.server.dials.length, 2)
    })))

  it.effect("is half open with one probe at a time, however many wait", () =>
    test(Effect.gen(function*() {
      const made = yield* make()
      made.server.conduct = "refuses"
      yield* holders(made, 100)
      yield* pass(2)
      made.server.peak = 0
      for (let turn = 0; turn < 1000; turn++) yield* pass(10)
      assert.strictEqual(made.server.peak, 1)
    })))

  it.effect("opens for longer with each failure, up to the cap", () =>
    test(Effect.gen(function*() {
      const made = yield* make()
      made.server.conduct = "refuses"
      yield* holders(made, 1)
      for (let turn = 0; turn < 5000; turn++) yield* pass(10)
      const [first, ...others] = gaps(made.server.dials).map((gap) => Math.round(gap / 100) * 100)
      assert.strictEqual(first, 100)
      assert.deepStrictEqual(others.slice(0, 7), [200, 400, 800, 1600, 3200, 6400, 10_000])
    })))

  it("forgets failures by halves, and all of them only when nobody waits any more", () => {
    let state = DialPolicy.healthy
    for (let failures = 0; failures < 8; failures++) state = DialPolicy.afterFailure(state)
    const seen = [8, 4, 2, 1, 0].map(() => {
      const { failures } = state
      state = DialPolicy.afterSuccess(state, true)
      return failures
    })
    assert.deepStrictEqual(seen, [8, 4, 2, 1, 0])
    assert.strictEqual(DialPolicy.afterSuccess(state, false), DialPolicy.healthy)
  })

  it.effect("a probe that hangs keeps its place no longer than connectTimeout", () =>
    test(Effect.gen(function*() {
      const made = yield* make({ connectTimeout: 500, closeTimeout: 0 })
      made.server.conduct = "refuses"
      yield* holders(made, 2)
      yield* pass(2)
      made.server.conduct = "hangs"
      yield* pass(100)
      const probes = made.server.dials.length
      made.server.conduct = "accepts"
      for (let turn = 0; turn < 50; turn++) yield* pass(20)
      assert.isAbove(made.server.dials.length, probes)
      assert.strictEqual((yield* ConnectionPool.stats(made.pool)).active, 2)
    })))

  it.effect("lets the load in on a ramp: each success doubles the dials, up to eight", () =>
    test(Effect.gen(function*() {
      const made = yield* make()
      made.server.conduct = "refuses"
      yield* holders(made, 8)
      yield* pass(2)
      made.server.conduct = "accepts"
      const widths: Array<number> = []
      for (let turn = 0; turn < 120; turn++) {
        if (made.server.dialling > 0) widths.push(made.server.dialling)
        yield* pass(1)
      }
      assert.deepStrictEqual(widths, [1, 2, 5])
    })))

  it.effect("a want of descriptors of our own says nothing of the endpoint", () =>
    test(Effect.gen(function*() {
      const made = yield* make()
      made.server.conduct = "lacks descriptors"
      yield* holders(made, 2)
      yield* pass(10)
      assert.strictEqual(yield* ConnectionPool.health(made.pool, "db"), "Healthy")
    })))

  it.effect("an interrupted borrower says nothing of it either, even if its connection has died meanwhile", () =>
    test(Effect.gen(function*() {
      const made = yield* make()
      const borrower = yield* fork(ConnectionPool.use(made.pool, "db", () => Effect.never))
      yield* pass(1)
      yield* Effect.forEach([...made.ledger.live], made.kill)
      yield* Fiber.interrupt(borrower)
      yield* settle
      assert.strictEqual(yield* ConnectionPool.health(made.pool, "db"), "Healthy")
    })))
})

describe("a success that does not last", () => {
  it.effect("is a failure: whoever comes next waits for longer each time", () =>
    test(Effect.gen(function*() {
      const made = yield* make()
      for (let turn = 0; turn < 5; turn++) {
        const borrower = yield* fork(victim(made))
        while (borrower.pollUnsafe() === undefined) yield* pass(1)
      }
      assert.deepStrictEqual(gaps(made.server.dials).map((gap) => Math.round(gap / 100) * 100), [100, 200, 400, 800])
      assert.strictEqual(yield* ConnectionPool.health(made.pool, "db"), "Unavailable")
    })))

  it.effect("is told to all that wait when the policy's attempts are used up", () =>
    test(Effect.gen(function*() {
      const made = yield* make({ retry: RetryPolicy.make({ ...retry, maxAttempts: 3 }) })
      const victims = yield* Effect.forEach(Array.from({ length: 20 }), () => fork(Effect.flip(victim(made))))
      for (let turn = 0; turn < 500; turn++) yield* pass(1)
      const ended = victims.filter((borrower) => borrower.pollUnsafe() !== undefined)
      assert.strictEqual(ended.length, 20)
      assert.isAtMost(made.server.dials.length, 5)
    })))

  it.effect("is one if somebody was served, and one of ten seconds is one in any case", () =>
    test(Effect.gen(function*() {
      const made = yield* make()
      yield* ConnectionPool.use(made.pool, "db", () => Effect.void).pipe(fork, Effect.tap(() => pass(1)))
      yield* victim(made)
      assert.strictEqual(yield* ConnectionPool.health(made.pool, "db"), "Healthy", "it had served somebody")
      const late = yield* fork(
        Effect.exit(
          ConnectionPool.use(made.pool, "db", () => Effect.andThen(Effect.sleep(10_000), Effect.fail("late")))
        )
      )
      yield* pass(1)
      yield* pass(9_999)
      yield* Effect.forEach([...made.ledger.live], made.kill)
      yield* pass(1)
      yield* Fiber.join(late)
      assert.strictEqual(yield* ConnectionPool.health(made.pool, "db"), "Healthy", "it had lasted")
    })))

  it.effect("keeps the ramp away until one has served somebody", () =>
    test(Effect.gen(function*() {
      const made = yield* make()
      const first = yield* fork(victim(made))
      while (first.pollUnsafe() === undefined) yield* pass(1)
      const served = yield* fork(ConnectionPool.use(made.pool, "db", () => Effect.sleep(250)))
      yield* holders(made, 7)
      yield* pass(101)
      assert.strictEqual(made.server.dials.length, 2)
      yield* pass(90)
      assert.strictEqual(made.server.dials.length, 2, "nobody has been served so far")
      for (let turn = 0; turn < 18; turn++) yield* pass(10)
      assert.isDefined(served.pollUnsafe())
      assert.strictEqual((yield* ConnectionPool.stats(made.pool)).active, 7)
    })))

  it.effect("an idle connection that the server closes after a while is none", () =>
    test(Effect.gen(function*() {
      const made = yield* make({ minPerEndpoint: 2 })
      yield* holders(made, 1)
      yield* pass(2000)
      const idle = [...made.ledger.live].at(-1)
      assert.isDefined(idle)
      yield* made.kill(idle)
      yield* settle
      assert.strictEqual(yield* ConnectionPool.health(made.pool, "db"), "Healthy")
    })))

  it.effect("a minimum is not filled up in a loop by a server that closes what is idle at once", () =>
    test(Effect.gen(function*() {
      const made = yield* make({ minPerEndpoint: 1, maxRedialDelay: "1 second" })
      const first = yield* fork(victim(made))
      while (first.pollUnsafe() === undefined) yield* pass(1)
      for (let turn = 0; turn < 1000; turn++) {
        yield* Effect.forEach([...made.ledger.live], made.kill)
        yield* pass(10)
      }
      assert.isAtMost(made.server.dials.length, 16)
    })))
})
