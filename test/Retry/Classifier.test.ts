import { assert, describe, it } from "@effect/vitest"
import { Data, Duration, Effect, Exit, Fiber, pipe } from "effect"
import * as Failure from "effect-sluice/Failure"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import * as RetryPolicy from "effect-sluice/RetryPolicy"
import { TestClock } from "effect/testing"

class Overloaded extends Data.TaggedError("Overloaded")<{ readonly cause?: unknown }> {}

const classOf = (classifier: Failure.Classifier, error: unknown) => classifier(error)?.class

describe("Failure.byCode", () => {
  const classify = Failure.byCode({
    E_BUSY: "RemoteSaturated",
    "4001": "Fatal",
    ENOTFOUND: "Fatal",
    HTTP_404: "Transient",
    MYSQL_1969: "RemoteSaturated",
    NOAUTH: "Redirect",
    UNIMPLEMENTED: "Redirect"
  })

  it("knows codes in words and numbers", () => {
    assert.deepStrictEqual(classify({ code: "E_BUSY" }), { class: "RemoteSaturated", code: "E_BUSY" })
    assert.deepStrictEqual(classify({ code: 4001 }), { class: "Fatal", code: "4001" })
  })

  it("knows the codes that classify names, and goes before it", () => {
    assert.strictEqual(classOf(classify, { code: "ENOTFOUND" }), "Fatal")
    assert.strictEqual(classOf(classify, { response: { status: 404 } }), "Transient")
    assert.strictEqual(classOf(classify, { code: "ER_ANY", errno: 1969 }), "RemoteSaturated")
    assert.strictEqual(classOf(classify, { name: "ReplyError", message: "NOAUTH now" }), "Redirect")
    assert.strictEqual(classOf(classify, { code: 12, details: "" }), "Redirect")
  })

  it("leaves what it does not know to others", () => {
    for (const error of [{ code: "EPIPE" }, { code: 404 }, {}, undefined, null, "E_BUSY", 4001]) {
      assert.isUndefined(classify(error))
    }
  })

  it("looks at what is wrapped, the outermost first", () => {
    assert.strictEqual(classOf(classify, new Overloaded({ cause: { code: "E_BUSY" } })), "RemoteSaturated")
    assert.strictEqual(classOf(classify, { code: 4001, cause: { code: "E_BUSY" } }), "Fatal")
    assert.strictEqual(
      classOf(classify, new AggregateError([{ code: "EPIPE" }, { code: "E_BUSY" }])),
      "RemoteSaturated"
    )
  })

  it("is not deceived by the names of Object's own properties", () => {
    for (const code of ["constructor", "toString", "__proto__", "hasOwnProperty"]) {
      assert.isUndefined(classify({ code }))
    }
  })

  it("gives whole failures as they are", () => {
    const failure = Failure.make("RemoteSaturated", { retryAfter: "2 seconds", code: "MINE" })
    assert.strictEqual(Failure.byCode({ X: failure })({ code: "X" }), failure)
  })
})

describe("Failure.byTag", () => {
  const classify = Failure.byTag({ Overloaded: "RemoteSaturated", Broken: "Fatal" })

  it("knows tags, names and classes, also of what is wrapped", () => {
    class Broken extends Error {}
    assert.deepStrictEqual(classify(new Overloaded({})), { class: "RemoteSaturated", code: "Overloaded" })
    assert.strictEqual(classOf(classify, Object.assign(new Error("?"), { name: "Broken" })), "Fatal")
    assert.strictEqual(classOf(classify, new Error("?", { cause: new Broken() })), "Fatal")
    assert.isUndefined(classify(new Error("Overloaded")))
  })
})

describe("Failure.when", () => {
  it("asks about the error and what it wraps, and may read the one it found", () => {
    const classify = Failure.when(
      (error) => error instanceof Overloaded,
      (error) => Failure.make("RemoteSaturated", { retryAfter: error.cause === "long" ? "9 seconds" : "1 second" })
    )
    const wrapped = new Error("?", { cause: new Overloaded({ cause: "long" }) })
    assert.deepStrictEqual(classify(wrapped)?.retryAfter, Duration.seconds(9))
    assert.isUndefined(classify(new Error("?")))
  })

  it("takes thrown texts and numbers too", () => {
    const classify = Failure.when((error) => error === "busy" || error === 7, "RemoteSaturated")
    assert.deepStrictEqual(["busy", 7, "other", undefined, null].map((error) => classOf(classify, error)), [
      "RemoteSaturated",
      "RemoteSaturated",
      undefined,
      undefined,
      undefined
    ])
  })

  it("takes undefined and null as errors", () => {
    assert.strictEqual(classOf(Failure.when((error) => error === undefined, "Transient"), undefined), "Transient")
    assert.strictEqual(classOf(Failure.when((error) => error === null, "Transient"), null), "Transient")
  })
})

describe("Failure.orElse", () => {
  it("asks the second only about what the first does not know", () => {
    const asked: Array<unknown> = []
    const classify = pipe(
      Failure.byCode({ A: "Transient" }),
      Failure.orElse((error) => {
        asked.push(error)
        return Failure.make("Redirect")
      })
    )
    const [known, unknown] = [{ code: "A" }, { code: "B" }]
    assert.deepStrictEqual([classOf(classify, known), classOf(classify, unknown)], ["Transient", "Redirect"])
    assert.deepStrictEqual(asked, [unknown])
    assert.isUndefined(Failure.orElse(() => undefined, () => undefined)(known))
  })
})

describe("classifiers in a policy", () => {
  const run = <E extends object>(error: E, options: RetryPolicy.Options) =>
    Effect.gen(function*() {
      let calls = 0
      const effect = Effect.suspend(() => {
        calls++
        return Effect.fail(error)
      })
      const policy = RetryPolicy.make({ maxAttempts: 3, ...options })
      const fiber = yield* Effect.forkChild(Effect.flip(RetryPolicy.retry(effect, policy)), { startImmediately: true })
      yield* TestClock.adjust("5 minutes")
      return { calls, reason: (yield* Fiber.join(fiber)).reason }
    }).pipe(Effect.provide(ResourceMonitor.layerUnlimited))

  it.effect("what they know is decided by them, and the rest by classify", () =>
    Effect.gen(function*() {
      const classify = Failure.byCode({ ENOTFOUND: "Fatal", E_MINE: "Transient" })
      assert.strictEqual((yield* run({ code: "ENOTFOUND" }, { classify })).calls, 1)
      assert.strictEqual((yield* run({ code: "ENOTFOUND" }, {})).calls, 3)
      assert.strictEqual((yield* run({ code: "E_MINE" }, { classify })).calls, 3)
      assert.strictEqual((yield* run({ code: "ECONNREFUSED" }, { classify })).calls, 3)
      assert.strictEqual((yield* run({ code: "EACCES" }, { classify })).calls, 1)
    }))

  it.effect("one that throws ends the effect as a defect", () =>
    Effect.gen(function*() {
      const mistake = new Error("mistake")
      const classify = () => {
        throw mistake
      }
      const exit = yield* Effect.exit(run({ code: "EPIPE" }, { classify }))
      assert.isTrue(Exit.hasDies(exit))
    }))

  it.effect("Ambiguous is retried only when nothing was sent, or when the policy says that it may be done twice", () =>
    Effect.gen(function*() {
      const broken = { code: "EPIPE", syscall: "write" }
      assert.strictEqual((yield* run(broken, {})).reason._tag, "NotRetryable")
      assert.strictEqual((yield* run(broken, { idempotent: true })).calls, 3)
      assert.strictEqual((yield* run({ sent: false, cause: broken }, {})).calls, 3)
      const unsent = Failure.byCode({ EPIPE: Failure.make("Ambiguous", { sent: false }) })
      assert.strictEqual((yield* run(broken, { classify: unsent })).calls, 3)
      const sent = Failure.byCode({ EPIPE: Failure.make("Ambiguous", { sent: true }) })
      assert.strictEqual((yield* run(broken, { classify: sent })).calls, 1)
    }))
})
