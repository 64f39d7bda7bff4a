import { assert, describe, it } from "@effect/vitest"
import { Cause, Data, Deferred, Duration, Effect, Exit, Fiber, Option, Random, Ref, Scope } from "effect"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import * as RetryPolicy from "effect-sluice/RetryPolicy"
import { TestClock } from "effect/testing"
import * as Gate from "./Gate.ts"

class Boom extends Data.TaggedError("Boom")<{ readonly call: number; readonly code?: string | undefined }> {
  override get message(): string {
    return `boom ${this.call}`
  }
}

const exact = (options: RetryPolicy.Options = {}): RetryPolicy.RetryPolicy =>
  RetryPolicy.make({ initialDelay: 100, maxDelay: 10_000, factor: 2, jitter: 0, maxAttempts: 5, ...options })

/** Fails with these codes, one a call, then succeeds with the number of the call. */
const scripted = (codes: ReadonlyArray<string | undefined>) => {
  const log: Array<number> = []
  const effect = Effect.gen(function*() {
    log.push(yield* Effect.clockWith((clock) => clock.currentTimeMillis))
    const call = log.length
    if (call > codes.length) return call
    return yield* new Boom({ call, code: codes[call - 1] })
  })
  return { log, effect }
}

const always = (code: string) => scripted(Array.from({ length: 10_000 }, () => code))

const refused = "ECONNREFUSED"

const start = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.forkChild(effect, { startImmediately: true })

describe("RetryPolicy.make", () => {
  it.each(
    [
      ["standard", RetryPolicy.standard, [3, 100, 30_000, 2, 0.1]],
      ["network", RetryPolicy.network, [5, 250, 15_000, 2, 0.2]],
      ["tcpConnection", RetryPolicy.tcpConnection, [6, 500, 60_000, 1.5, 0.25]],
      ["websocket", RetryPolicy.websocket, [4, 200, 10_000, 2, 0.15]],
      ["mcpOperations", RetryPolicy.mcpOperations, [3, 150, 5_000, 1.8, 0.1]],
      ["the default", RetryPolicy.make(), [3, 100, 30_000, 2, 0.1]]
    ] satisfies ReadonlyArray<readonly [string, RetryPolicy.RetryPolicy, ReadonlyArray<number | "full">]>
  )("%s is what the documentation says", (_, policy, expected) => {
    const { factor, initialDelay, jitter, maxAttempts, maxDelay } = policy
    assert.deepStrictEqual(
      [maxAttempts, Duration.toMillis(initialDelay), Duration.toMillis(maxDelay), factor, jitter],
      expected
    )
    assert.deepStrictEqual(
      [Duration.toMillis(policy.deadline), policy.classify, policy.descriptors, policy.idempotent],
      [Infinity, undefined, 1, policy === RetryPolicy.tcpConnection || policy === RetryPolicy.websocket]
    )
  })

  it.each(
    [
      ["initialDelay", { initialDelay: 0 }],
      ["initialDelay", { initialDelay: -1 }],
      ["initialDelay", { initialDelay: NaN }],
      ["initialDelay", { initialDelay: "soon" as never }],
      ["initialDelay", { initialDelay: Infinity }],
      ["stableAfter", { stableAfter: 0 }],
      ["stableAfter", { stableAfter: -1 }],
      ["stableAfter", { stableAfter: NaN }],
      ["maxDelay", { maxDelay: 0 }],
      ["maxDelay", { maxDelay: NaN }],
      ["maxDelay", { maxDelay: Infinity }],
      ["maxDelay", { initialDelay: 200, maxDelay: 199 }],
      ["factor", { factor: 0.99 }],
      ["factor", { factor: NaN }],
      ["factor", { factor: Infinity }],
      ["factor", { factor: "2" as never }],
      ["jitter", { jitter: -0.1 }],
      ["jitter", { jitter: 1.1 }],
      ["jitter", { jitter: NaN }],
      ["jitter", { jitter: "half" as never }],
      ["maxAttempts", { maxAttempts: 0 }],
      ["maxAttempts", { maxAttempts: -1 }],
      ["maxAttempts", { maxAttempts: 1.5 }],
      ["maxAttempts", { maxAttempts: NaN }],
      ["deadline", { deadline: 0 }],
      ["deadline", { deadline: -5 }],
      ["deadline", { deadline: NaN }],
      ["descriptors", { descriptors: -1 }],
      ["descriptors", { descriptors: Infinity }],
      ["classify", { classify: "Fatal" as never }]
    ] satisfies ReadonlyArray<readonly [string, RetryPolicy.Options]>
  )("refuses %s of %o and names it", (option, options) => {
    try {
      RetryPolicy.make(options)
    } catch (error) {
      assert.instanceOf(error, RetryPolicy.InvalidOption)
      assert.strictEqual(error.option, option)
      assert.include(error.message, `RetryPolicy: option ${option} is `)
      assert.include(error.message, "it must ")
      return
    }
    assert.fail("it was accepted")
  })

  it("accepts the borders", () => {
    const policy = RetryPolicy.make({
      initialDelay: 7,
      maxDelay: 7,
      factor: 1,
      jitter: 1,
      maxAttempts: Infinity,
      descriptors: 0
    })
    assert.strictEqual(policy.maxAttempts, Infinity)
    assert.strictEqual(RetryPolicy.make({ maxAttempts: 1, jitter: 0 }).maxAttempts, 1)
  })

  it("is immutable, pipeable, and may be spread into the next", () => {
    const policy = RetryPolicy.make({ ...RetryPolicy.network, maxAttempts: 9 })
    assert.isTrue(Object.isFrozen(policy))
    assert.strictEqual(policy.pipe((self) => self.maxAttempts), 9)
    assert.deepStrictEqual(policy.initialDelay, RetryPolicy.network.initialDelay)
    assert.strictEqual(RetryPolicy.network.maxAttempts, 5)
  })

  it("has a finite delay for the 2000th and the millionth failure", () => {
    for (const failures of [2000, 1e6]) {
      assert.strictEqual(Duration.toMillis(RetryPolicy.delay(exact(), failures, 0.5)), 10_000)
    }
  })
})

describe("RetryPolicy.retry", () => {
  it.effect("runs once when the effect succeeds, and asks the gate once", () =>
    Effect.gen(function*() {
      const gate = Gate.make()
      const { effect, log } = scripted([])
      assert.strictEqual(yield* RetryPolicy.retry(effect, exact(), { label: "db" }).pipe(Effect.provide(gate.layer)), 1)
      assert.deepStrictEqual(log, [0])
      assert.deepStrictEqual(gate.requests, [
        { label: "db", descriptors: 1, attempt: 0, maxWait: Duration.millis(30_000) }
      ])
      assert.strictEqual(gate.reserved, 0)
    }))

  it.effect("waits the delays of the policy between attempts, and counts them at the gate", () =>
    Effect.gen(function*() {
      const gate = Gate.make()
      const { effect, log } = scripted([refused, refused, refused])
      const fiber = yield* start(effect.pipe(RetryPolicy.retry(exact()), Effect.provide(gate.layer)))
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(yield* Fiber.join(fiber), 4)
      assert.deepStrictEqual(log, [0, 100, 300, 700])
      assert.deepStrictEqual(gate.requests.map((request) => request.attempt), [0, 1, 2, 3])
    }))

  it.effect("draws its delays from Random, so that a seed repeats them", () =>
    Effect.gen(function*() {
      const times = (seed: string) =>
        Effect.gen(function*() {
          const before = yield* Effect.clockWith((clock) => clock.currentTimeMillis)
          const { effect, log } = always(refused)
          const fiber = yield* start(
            Effect.exit(RetryPolicy.retry(effect, exact({ jitter: "full" }))).pipe(
              Effect.provide(Gate.make().layer),
              Random.withSeed(seed)
            )
          )
          yield* TestClock.adjust("1 minute")
          yield* Fiber.join(fiber)
          return log.map((time) => Math.round(time - before))
        })
      const first = yield* times("a")
      assert.deepStrictEqual(yield* times("a"), first)
      assert.notDeepEqual(yield* times("b"), first)
      assert.lengthOf(first, 5)
    }))

  it.effect("fails with AttemptsExhausted and the last failure after the last attempt", () =>
    Effect.gen(function*() {
      const { effect, log } = always(refused)
      const fiber = yield* start(
        Effect.flip(RetryPolicy.retry(effect, exact({ maxAttempts: 3 }), { label: "db:5432" }))
      )
      yield* TestClock.adjust("1 minute")
      const error = yield* Fiber.join(fiber)
      assert.lengthOf(log, 3)
      assert.strictEqual(error.reason._tag, "AttemptsExhausted")
      assert.strictEqual(error.reason.attempts, 3)
      assert.deepStrictEqual(error.reason.elapsed, Duration.millis(300))
      assert.deepStrictEqual(error.cause, new Boom({ call: 3, code: refused }))
      assert.strictEqual(error.cause, error.reason.cause)
      assert.isTrue(error.isRetryable)
      assert.strictEqual(
        error.message,
        "db:5432 failed after 3 attempts in 300ms, of at most 3; last failure (Transient ECONNREFUSED): boom 3"
      )
    }).pipe(Effect.provide(Gate.make().layer)))

  it.effect("fails with NotRetryable at once when the failure is fatal", () =>
    Effect.gen(function*() {
      const { effect, log } = always("EACCES")
      const error = yield* Effect.flip(RetryPolicy.retry(effect, exact()))
      assert.lengthOf(log, 1)
      assert.strictEqual(error.reason._tag, "NotRetryable")
      assert.isFalse(error.isRetryable)
      assert.strictEqual(
        error.message,
        "effect failed after 1 attempt in less than 1ms and is not retried; last failure (Fatal EACCES): boom 1"
      )
    }).pipe(Effect.provide(Gate.make().layer)))

  it.effect("its reasons can be caught one by one, with the type of the failure", () =>
    Effect.gen(function*() {
      const caught: string = yield* always("EACCES").effect.pipe(
        RetryPolicy.retry(exact()),
        Effect.catchReason("RetryError", "NotRetryable", (reason) => Effect.succeed(reason.cause.message)),
        Effect.map(String)
      )
      assert.strictEqual(caught, "boom 1")
    }).pipe(Effect.provide(Gate.make().layer)))

  it.effect("retries an ambiguous failure only if the effect may run twice", () =>
    Effect.gen(function*() {
      const once = always("EPIPE")
      const error = yield* Effect.flip(RetryPolicy.retry(once.effect, exact()))
      assert.strictEqual(error.reason._tag, "NotRetryable")
      assert.lengthOf(once.log, 1)
      const twice = scripted(["EPIPE"])
      const fiber = yield* start(RetryPolicy.retry(twice.effect, exact({ idempotent: true })))
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* Fiber.join(fiber), 2)
    }).pipe(Effect.provide(Gate.make().layer)))

  it.effect("asks the policy's classify first, and falls through where it knows nothing", () =>
    Effect.gen(function*() {
      const asked: Array<unknown> = []
      const policy = exact({
        classify: (error) => {
          asked.push(error)
          return error instanceof Boom && error.code === "CUSTOM" ? { class: "Transient", code: "CUSTOM" } : undefined
        }
      })
      const { effect, log } = scripted(["CUSTOM", refused, "EACCES"])
      const fiber = yield* start(Effect.flip(RetryPolicy.retry(effect, policy)))
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* Fiber.join(fiber)).reason._tag, "NotRetryable")
      assert.lengthOf(log, 3)
      assert.lengthOf(asked, 3)
    }).pipe(Effect.provide(Gate.make().layer)))

  it.effect("waits at least as long as the server asked, and at most a little longer", () =>
    Effect.gen(function*() {
      const log: Array<number> = []
      const effect = Effect.gen(function*() {
        log.push(yield* Effect.clockWith((clock) => clock.currentTimeMillis))
        if (log.length < 2) return yield* Effect.fail({ status: 429, headers: { "retry-after": "5" } })
      })
      const fiber = yield* start(RetryPolicy.retry(effect, exact()))
      yield* TestClock.adjust("1 minute")
      yield* Fiber.join(fiber)
      assert.isTrue((log[1] ?? 0) >= 5000 && (log[1] ?? 0) < 6000, String(log))
    }).pipe(Effect.provide(Gate.make().layer)))

  it.effect("passes defects through without retrying", () =>
    Effect.gen(function*() {
      const calls = yield* Ref.make(0)
      const effect = Effect.andThen(Ref.update(calls, (n) => n + 1), Effect.die("defect"))
      const exit = yield* Effect.exit(RetryPolicy.retry(effect, exact()))
      assert.deepStrictEqual(exit, Exit.die("defect"))
      assert.strictEqual(yield* Ref.get(calls), 1)
    }).pipe(Effect.provide(Gate.make().layer)))

  it.effect("does not retry a failure that comes together with an interruption", () =>
    Effect.gen(function*() {
      let calls = 0
      const both = Cause.combine(Cause.fail(new Boom({ call: 1, code: refused })), Cause.interrupt(1))
      const effect = Effect.suspend(() => {
        calls++
        return Effect.failCause(both)
      })
      const exit = yield* Effect.exit(RetryPolicy.retry(effect, exact()))
      assert.isTrue(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause))
      assert.strictEqual(calls, 1)
    }).pipe(Effect.provide(Gate.make().layer)))

  it.effect("runs a thousand attempts in constant memory and without growing the stack", () =>
    Effect.gen(function*() {
      const { effect, log } = always(refused)
      const policy = exact({ initialDelay: 1, maxDelay: 1, maxAttempts: 2000 })
      const fiber = yield* start(Effect.flip(RetryPolicy.retry(effect, policy)))
      yield* TestClock.adjust("1 minute")
      assert.strictEqual((yield* Fiber.join(fiber)).reason.attempts, 2000)
      assert.lengthOf(log, 2000)
    }).pipe(Effect.provide(Gate.make().layer)))
})

describe("RetryPolicy.retry with a deadline", () => {
  it.effect("does not begin an attempt that would begin after the deadline", () =>
    Effect.gen(function*() {
      const { effect, log } = always(refused)
      const fiber = yield* start(Effect.flip(RetryPolicy.retry(effect, exact({ deadline: 500 }), { label: "db" })))
      yield* TestClock.adjust("1 minute")
      const error = yield* Fiber.join(fiber)
      assert.deepStrictEqual(log, [0, 100, 300])
      assert.strictEqual(
        error.message,
        "db has no time for another attempt within its deadline of 500ms after 3 attempts in 300ms; last failure: boom 3"
      )
      assert.isTrue(error.reason._tag === "DeadlineExceeded" && !error.reason.interrupted)
    }).pipe(Effect.provide(Gate.make().layer)))

  it.effect("interrupts the attempt that is running, awaits its finalizer, and gives the claim back", () =>
    Effect.gen(function*() {
      const gate = Gate.make()
      const released = yield* Ref.make<ReadonlyArray<string>>([])
      const hang = Effect.acquireRelease(Effect.void, () => Ref.update(released, (all) => [...all, "socket"])).pipe(
        Effect.andThen(Effect.never)
      )
      const fiber = yield* start(
        Effect.flip(RetryPolicy.retry(hang, exact({ deadline: "1 second" }))).pipe(Effect.provide(gate.layer))
      )
      assert.strictEqual(gate.reserved, 1)
      yield* TestClock.adjust("1 second")
      const { reason } = yield* Fiber.join(fiber)
      assert.isTrue(reason._tag === "DeadlineExceeded" && reason.interrupted)
      assert.strictEqual(reason.attempts, 1)
      assert.isUndefined(reason.cause)
      assert.deepStrictEqual(yield* Ref.get(released), ["socket"])
      assert.strictEqual(gate.reserved, 0)
    }))
})

describe("RetryPolicy.retry on a full host", () => {
  it.effect("local exhaustion costs no attempt", () =>
    Effect.gen(function*() {
      const { effect, log } = scripted(["EMFILE", "EMFILE", "EMFILE", refused, "EMFILE", refused])
      const fiber = yield* start(RetryPolicy.retry(effect, exact({ maxAttempts: 3 })))
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(yield* Fiber.join(fiber), 7)
      // Room: 100, 200, 400. Attempts: 100, 200. The row of waits for room begins anew after a failure of another class.
      assert.deepStrictEqual(log, [0, 100, 300, 700, 800, 900, 1100])
    }).pipe(Effect.provide(Gate.make().layer)))

  it.effect("a gate without room delays the first attempt, and lets it through when there is room", () =>
    Effect.gen(function*() {
      const gate = Gate.make(0)
      const { effect, log } = scripted([])
      const fiber = yield* start(RetryPolicy.retry(effect, exact({ maxAttempts: 1 })).pipe(Effect.provide(gate.layer)))
      yield* TestClock.adjust(1000)
      assert.deepStrictEqual(log, [])
      gate.room = 1
      yield* TestClock.adjust(1000)
      assert.strictEqual(yield* Fiber.join(fiber), 1)
      assert.deepStrictEqual(log, [1500])
      assert.isTrue(gate.requests.every((request) => request.attempt === 0))
    }))

  it.effect("waits at the real gate, which stops retries before first attempts", () =>
    Effect.gen(function*() {
      const host = yield* ResourceMonitor.TestMonitor
      const monitor = yield* ResourceMonitor.ResourceMonitor
      const { effect, log } = scripted(["EMFILE"])
      // At 95 % a first attempt is let through and a retry is not, although the first one found no room.
      yield* host.set({ descriptors: 950 })
      const fiber = yield* start(RetryPolicy.retry(effect, exact({ maxAttempts: 1 })))
      yield* TestClock.adjust("10 seconds")
      assert.lengthOf(log, 1)
      yield* host.set({ descriptors: 10 })
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual(yield* Fiber.join(fiber), 2)
      assert.strictEqual((yield* monitor.usage).reserved, 0)
    }).pipe(Effect.provide(ResourceMonitor.layerTest)))

  it.effect("gives up with ResourceExhausted after 30 seconds without a deadline", () =>
    Effect.gen(function*() {
      const gate = Gate.make(0)
      const { effect, log } = scripted([])
      const fiber = yield* start(
        Effect.flip(RetryPolicy.retry(effect, exact(), { label: "db" })).pipe(Effect.provide(gate.layer))
      )
      yield* TestClock.adjust("31 seconds")
      const { message, reason } = yield* Fiber.join(fiber)
      assert.deepStrictEqual(log, [])
      assert.strictEqual(reason._tag, "ResourceExhausted")
      assert.isTrue(reason.cause instanceof ResourceMonitor.ResourceExhausted)
      assert.strictEqual(reason.attempts, 0)
      assert.isAtMost(Duration.toMillis(reason.elapsed), 30_000)
      assert.isAtLeast(Duration.toMillis(reason.elapsed), 25_000)
      assert.include(message, "db found no room for 2")
      assert.include(message, "> limit 0")
    }))

  it.effect("gives up with ResourceExhausted at the deadline, be it sooner or later", () =>
    Effect.gen(function*() {
      for (const deadline of [1000, 120_000]) {
        const fiber = yield* start(
          Effect.flip(RetryPolicy.retry(Effect.void, exact({ deadline }))).pipe(Effect.provide(Gate.make(0).layer))
        )
        yield* TestClock.adjust("3 minutes")
        const { reason } = yield* Fiber.join(fiber)
        assert.strictEqual(reason._tag, "ResourceExhausted")
        const elapsed = Duration.toMillis(reason.elapsed)
        assert.isTrue(elapsed <= deadline && elapsed > deadline - 5000 && elapsed > 0.5 * deadline, String(elapsed))
      }
    }))

  it.effect("claims as many descriptors as the policy says, and none with 0", () =>
    Effect.gen(function*() {
      const gate = Gate.make(3)
      const seen: Array<number> = []
      const look = Effect.sync(() => seen.push(gate.reserved))
      yield* RetryPolicy.retry(look, exact({ descriptors: 3 })).pipe(Effect.provide(gate.layer))
      yield* RetryPolicy.retry(look, exact({ descriptors: 0 })).pipe(Effect.provide(gate.layer))
      assert.deepStrictEqual(seen, [3, 0])
      assert.strictEqual(gate.reserved, 0)
    }))

  it.effect("fault 13, thresholds in the retry loop that did not agree with the monitor: only the gate's answer counts", () =>
    Effect.gen(function*() {
      // Reading usage or level at this gate is a defect, so that a threshold of the retry's own would show here.
      for (const room of [1, 700, 799, 800, 899, 900, 949, 950, 1000]) {
        const gate = Gate.make(room)
        const full = exact({ descriptors: room })
        assert.strictEqual(yield* RetryPolicy.retry(scripted([]).effect, full).pipe(Effect.provide(gate.layer)), 1)
        const fiber = yield* start(
          Effect.flip(RetryPolicy.retry(Effect.void, exact({ descriptors: room + 1 }))).pipe(Effect.provide(gate.layer))
        )
        yield* TestClock.adjust("31 seconds")
        assert.strictEqual((yield* Fiber.join(fiber)).reason._tag, "ResourceExhausted")
      }
    }))
})

describe("RetryPolicy.retry inside RetryPolicy.retry", () => {
  it.effect("nested policies do not multiply attempts", () =>
    Effect.gen(function*() {
      const { effect, log } = always(refused)
      const inner = RetryPolicy.retry(effect, exact({ maxAttempts: 5 }))
      const middle = RetryPolicy.retry(inner, exact({ maxAttempts: 4 }))
      const fiber = yield* start(Effect.flip(RetryPolicy.retry(middle, exact({ maxAttempts: 3 }))))
      yield* TestClock.adjust("5 minutes")
      const error = yield* Fiber.join(fiber)
      assert.lengthOf(log, 3)
      assert.strictEqual(error.reason._tag, "AttemptsExhausted")
      assert.deepStrictEqual(error.cause?._tag, "RetryError")
      const causes = [error.cause, Option.getOrUndefined(Option.fromNullishOr(error.cause?.cause))]
      assert.isTrue(causes.every((cause) => cause instanceof RetryPolicy.RetryError && cause.reason.attempts === 1))
    }).pipe(Effect.provide(Gate.make().layer)))

  it.effect("the outer one decides by the failure itself, and so does its classify", () =>
    Effect.gen(function*() {
      const fatal = always("EACCES")
      const error = yield* Effect.flip(
        RetryPolicy.retry(RetryPolicy.retry(fatal.effect, exact()), exact())
      )
      assert.strictEqual(error.reason._tag, "NotRetryable")
      assert.lengthOf(fatal.log, 1)

      const policy = exact({
        classify: (error) => error instanceof Boom ? { class: "Transient", code: "X" } : undefined
      })
      const custom = scripted(["EACCES"])
      const fiber = yield* start(RetryPolicy.retry(RetryPolicy.retry(custom.effect, exact()), policy))
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* Fiber.join(fiber), 2)
    }).pipe(Effect.provide(Gate.make().layer)))

  it.effect("lack of room met by the inner one costs the outer one no attempt", () =>
    Effect.gen(function*() {
      const { effect, log } = scripted(["EMFILE", "EMFILE", "EMFILE"])
      const fiber = yield* start(RetryPolicy.retry(RetryPolicy.retry(effect, exact()), exact({ maxAttempts: 1 })))
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(yield* Fiber.join(fiber), 4)
      assert.deepStrictEqual(log, [0, 100, 300, 700])
    }).pipe(Effect.provide(Gate.make().layer)))

  it.effect("an effect may opt out, and retries by itself again", () =>
    Effect.gen(function*() {
      const { effect, log } = always(refused)
      const inner = RetryPolicy.retry(effect, exact({ maxAttempts: 2 })).pipe(
        Effect.provideService(RetryPolicy.InsideRetry, false)
      )
      const fiber = yield* start(Effect.flip(RetryPolicy.retry(inner, exact({ maxAttempts: 3 }))))
      yield* TestClock.adjust("1 minute")
      yield* Fiber.join(fiber)
      assert.lengthOf(log, 6)
    }).pipe(Effect.provide(Gate.make().layer)))

  it.effect("two in a row are not nested", () =>
    Effect.gen(function*() {
      const [first, second] = [scripted([refused]), scripted([refused])]
      const both = Effect.andThen(RetryPolicy.retry(first.effect, exact()), RetryPolicy.retry(second.effect, exact()))
      const fiber = yield* start(both)
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(yield* Fiber.join(fiber), 2)
    }).pipe(Effect.provide(Gate.make().layer)))
})

describe("RetryPolicy.retry and scopes", () => {
  /** Opens a resource, then fails as often as told; logs what opens and closes. */
  const leaky = (failures: number) => {
    const events: Array<string> = []
    let call = 0
    const effect = Effect.gen(function*() {
      const id = ++call
      yield* Effect.acquireRelease(
        Effect.sync(() => events.push(`open ${id}`)),
        (_, exit) => Effect.sync(() => events.push(`close ${id} ${exit._tag}`))
      )
      if (id <= failures) return yield* new Boom({ call: id, code: refused })
      return id
    })
    return { events, effect }
  }

  it.effect("what a failed attempt opened is closed before the next begins, and what succeeded stays open", () =>
    Effect.gen(function*() {
      const { effect, events } = leaky(2)
      const scope = yield* Scope.make()
      const fiber = yield* start(Scope.provide(RetryPolicy.retry(effect, exact()), scope))
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(yield* Fiber.join(fiber), 3)
      const before = ["open 1", "close 1 Failure", "open 2", "close 2 Failure", "open 3"]
      assert.deepStrictEqual(events, before)
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(events, [...before, "close 3 Success"])
    }).pipe(Effect.provide(Gate.make().layer)))

  it.effect("what a failed attempt opened is closed before the wait, while its claim is still held", () =>
    Effect.gen(function*() {
      const gate = Gate.make()
      const held: Array<number> = []
      const effect = Effect.andThen(
        Effect.acquireRelease(Effect.void, () => Effect.sync(() => held.push(gate.reserved))),
        Effect.fail(new Boom({ call: 1, code: refused }))
      )
      const fiber = yield* start(Effect.exit(RetryPolicy.retry(effect, exact())).pipe(Effect.provide(gate.layer)))
      assert.deepStrictEqual(held, [1])
      assert.strictEqual(gate.reserved, 0)
      yield* Fiber.interrupt(fiber)
    }))

  it.effect("a long-lived scope does not grow with calls that open nothing, nor with attempts that fail", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const failing = leaky(1e9).effect
      for (let i = 0; i < 100; i++) {
        yield* RetryPolicy.retry(Effect.succeed(i), exact()).pipe(Scope.provide(scope))
        yield* RetryPolicy.retry(failing, exact({ maxAttempts: 1 })).pipe(Effect.exit, Scope.provide(scope))
      }
      assert.strictEqual(scope.state._tag, "Empty")
    }).pipe(Effect.provide(Gate.make().layer)))

  it.effect("a fiber that a failed attempt forked into the scope is interrupted before the next", () =>
    Effect.gen(function*() {
      const running = yield* Ref.make(0)
      const most = yield* Ref.make(0)
      const work = Ref.updateAndGet(running, (n) => n + 1).pipe(
        Effect.tap((now) => Ref.update(most, (n) => Math.max(n, now))),
        Effect.andThen(Effect.never),
        Effect.ensuring(Ref.update(running, (n) => n - 1))
      )
      const { effect } = always(refused)
      const attempt = Effect.andThen(Effect.forkScoped(work, { startImmediately: true }), effect)
      const fiber = yield* start(Effect.exit(RetryPolicy.retry(attempt, exact())))
      yield* TestClock.adjust("1 minute")
      yield* Fiber.join(fiber)
      assert.deepStrictEqual([yield* Ref.get(running), yield* Ref.get(most)], [0, 1])
    }).pipe(Effect.provide(Gate.make().layer)))

  it("works where there is no scope at all", () =>
    Effect.runPromise(
      RetryPolicy.retry(scripted([]).effect, exact()).pipe(
        Effect.provide(Gate.make().layer),
        Effect.map((call) => assert.strictEqual(call, 1))
      )
    ))
})

describe("RetryPolicy.retry when it is interrupted", () => {
  it.effect("during the sleep: no claim, no further attempt", () =>
    Effect.gen(function*() {
      const gate = Gate.make()
      const { effect, log } = always(refused)
      const fiber = yield* start(RetryPolicy.retry(effect, exact()).pipe(Effect.provide(gate.layer)))
      yield* TestClock.adjust(150)
      yield* Fiber.interrupt(fiber)
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(log, [0, 100])
      assert.strictEqual(gate.reserved, 0)
      assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(fiber)))
    }))

  it.effect("during the wait for room: no claim", () =>
    Effect.gen(function*() {
      const gate = Gate.make(0)
      const fiber = yield* start(RetryPolicy.retry(Effect.never, exact()).pipe(Effect.provide(gate.layer)))
      yield* TestClock.adjust(150)
      yield* Fiber.interrupt(fiber)
      gate.room = 10
      const asked = gate.requests.length
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(gate.requests.length, asked)
      assert.strictEqual(gate.reserved, 0)
    }))

  it.effect("during the attempt: the claim goes back and what was opened is closed", () =>
    Effect.gen(function*() {
      const gate = Gate.make()
      const closed = yield* Deferred.make<void>()
      const effect = Effect.andThen(
        Effect.acquireRelease(Effect.void, () => Deferred.succeed(closed, undefined)),
        Effect.never
      )
      const fiber = yield* start(RetryPolicy.retry(effect, exact()).pipe(Effect.provide(gate.layer)))
      assert.strictEqual(gate.reserved, 1)
      yield* Fiber.interrupt(fiber)
      assert.isTrue(yield* Deferred.isDone(closed))
      assert.strictEqual(gate.reserved, 0)
      assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(fiber)))
    }))

  it.live("at any moment: no claim is lost", () =>
    Effect.gen(function*() {
      const gate = Gate.make(5)
      let open = 0
      const effect = Effect.acquireRelease(Effect.sync(() => open++), () => Effect.sync(() => open--)).pipe(
        Effect.andThen(Effect.sleep(1)),
        Effect.andThen(Effect.fail(new Boom({ call: 1, code: refused }))),
        Effect.scoped
      )
      const policy = RetryPolicy.make({
        initialDelay: 1,
        maxDelay: 2,
        jitter: "full",
        maxAttempts: Infinity,
        deadline: 40
      })
      yield* Effect.forEach(Array.from({ length: 200 }, (_, i) => i), (i) =>
        RetryPolicy.retry(effect, policy).pipe(Effect.timeoutOption(1 + (i % 30)), Effect.exit), {
        concurrency: "unbounded"
      }).pipe(Effect.provide(gate.layer))
      assert.deepStrictEqual([gate.reserved, open], [0, 0])
    }))
})

describe("RetryPolicy.schedule", () => {
  it.effect("has the delays and the attempts of the policy, and fails with the last failure as it is", () =>
    Effect.gen(function*() {
      const { effect, log } = always(refused)
      const fiber = yield* start(Effect.flip(Effect.retry(effect, RetryPolicy.schedule(exact()))))
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(yield* Fiber.join(fiber), new Boom({ call: 5, code: refused }))
      assert.deepStrictEqual(log, [0, 100, 300, 700, 1500])
    }).pipe(Effect.provide(Gate.make().layer)))

  it.effect("stops at a failure that is not retried, and at the deadline", () =>
    Effect.gen(function*() {
      const fatal = scripted([refused, "EACCES"])
      const late = always(refused)
      const fiber = yield* start(Effect.all([
        Effect.flip(Effect.retry(fatal.effect, RetryPolicy.schedule(exact()))),
        Effect.flip(Effect.retry(late.effect, RetryPolicy.schedule(exact({ deadline: 500 }))))
      ]))
      yield* TestClock.adjust("1 minute")
      yield* Fiber.join(fiber)
      assert.deepStrictEqual([fatal.log.length, late.log.length], [2, 3])
    }).pipe(Effect.provide(Gate.make().layer)))

  it.effect("waits for room at the gate, and ends when there is none for 30 seconds", () =>
    Effect.gen(function*() {
      const gate = Gate.make(0)
      const { effect, log } = always(refused)
      const fiber = yield* start(
        Effect.flip(Effect.retry(effect, RetryPolicy.schedule(exact({ maxAttempts: 2 })))).pipe(
          Effect.provide(gate.layer)
        )
      )
      yield* TestClock.adjust(650)
      assert.lengthOf(log, 1)
      gate.room = 1
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(fiber)
      // The gate was asked at 0, 100, 300 and 700; the delay of 100 follows.
      assert.deepStrictEqual(log, [0, 800])
      assert.strictEqual(gate.reserved, 0)

      gate.room = 0
      const second = always(refused)
      const waiting = yield* start(
        Effect.flip(Effect.retry(second.effect, RetryPolicy.schedule(exact()))).pipe(Effect.provide(gate.layer))
      )
      yield* TestClock.adjust("31 seconds")
      assert.deepStrictEqual(yield* Fiber.join(waiting), new Boom({ call: 1, code: refused }))
    }))

  it.effect("is done at once inside a retry", () =>
    Effect.gen(function*() {
      const { effect, log } = always(refused)
      const inner = Effect.retry(effect, RetryPolicy.schedule(exact()))
      const fiber = yield* start(Effect.exit(RetryPolicy.retry(inner, exact({ maxAttempts: 2 }))))
      yield* TestClock.adjust("1 minute")
      yield* Fiber.join(fiber)
      assert.lengthOf(log, 2)
    }).pipe(Effect.provide(Gate.make().layer)))
})

describe("stableAfter", () => {
  /** Lives for so long in each attempt, and then breaks; the result is when the attempts began, from the first one on. */
  const beginnings = (lives: ReadonlyArray<number>, options: RetryPolicy.Options) =>
    Effect.gen(function*() {
      const begun: Array<number> = []
      const loop = Effect.gen(function*() {
        begun.push(yield* Effect.clockWith((clock) => clock.currentTimeMillis))
        yield* Effect.sleep(lives[begun.length - 1] ?? Infinity)
        return yield* new Boom({ call: begun.length, code: refused })
      })
      const fiber = yield* start(Effect.exit(RetryPolicy.retry(loop, exact(options))))
      yield* TestClock.adjust("10 minutes")
      return { begun, exit: fiber.pollUnsafe() }
    }).pipe(Effect.provide(Gate.make().layer))

  it.effect("an attempt that has run for so long begins the delays and the attempts anew", () =>
    Effect.gen(function*() {
      const { begun, exit } = yield* beginnings([10, 10, 5000, 10, 10, 10], { maxAttempts: 4, stableAfter: 5000 })
      // 100 and 200 ms, then 100, 200 and 400 ms: the fourth failure of the second row is the last.
      assert.deepStrictEqual(begun, [0, 110, 320, 5420, 5630, 6040])
      assert.isDefined(exit)
    }))

  it.effect("one that has run for less does not, nor one that has run for less than the delay before it", () =>
    Effect.gen(function*() {
      const short = yield* beginnings([10, 4999, 10], { maxAttempts: 3, stableAfter: 5000 })
      assert.lengthOf(short.begun, 3)
      const slow = yield* beginnings([10, 10, 10, 10, 700], { stableAfter: 500, maxAttempts: 5 })
      assert.lengthOf(slow.begun, 5)
      assert.isDefined(slow.exit)
    }))

  it.effect("is off unless it is asked for: what takes long to fail is not retried for ever", () =>
    Effect.gen(function*() {
      const { begun, exit } = yield* beginnings([60_000, 60_000, 60_000], { maxAttempts: 3 })
      assert.lengthOf(begun, 3)
      assert.isDefined(exit)
    }))

  it.effect("does not count the time in which what the attempt had acquired is closed", () =>
    Effect.gen(function*() {
      let runs = 0
      const slowToClose = Effect.andThen(
        Effect.acquireRelease(Effect.sync(() => runs++), () => Effect.sleep(6000)),
        Effect.fail({ code: refused })
      )
      const policy = exact({ maxAttempts: 3, stableAfter: 5000 })
      const fiber = yield* start(Effect.scoped(Effect.exit(RetryPolicy.retry(slowToClose, policy))))
      yield* TestClock.adjust("1 hour")
      yield* Fiber.join(fiber)
      assert.strictEqual(runs, 3)
    }).pipe(Effect.provide(Gate.make().layer)))
})

describe("an error of which nothing can be said", () => {
  const mute: ReadonlyArray<readonly [string, object]> = [
    ["without a prototype", Object.create(null)],
    ["whose text throws", {
      toString() {
        throw new Error("no")
      }
    }]
  ]

  it.effect.each(mute)("%s still makes an error with a message", ([name, mute]) =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(RetryPolicy.retry(Effect.fail(mute), exact()))
      assert.strictEqual(error.reason._tag, "NotRetryable")
      const text = name === "without a prototype" ? "{}" : "an error without a text"
      assert.include(error.message, text)
      assert.deepStrictEqual(error.reason.history.map(({ message }) => message), [text])
    }).pipe(Effect.provide(Gate.make().layer)))

  it.effect("of a megabyte makes a message of at most a thousand characters of it", () =>
    Effect.gen(function*() {
      const huge = Object.assign(new Error("x".repeat(1e6)), { code: "EACCES" })
      const error = yield* Effect.flip(RetryPolicy.retry(Effect.fail(huge), exact()))
      assert.isBelow(error.message.length, 1200)
    }).pipe(Effect.provide(Gate.make().layer)))
})
