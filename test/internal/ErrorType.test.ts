import { assert, describe, it } from "@effect/vitest"
import { Data } from "effect"
import { errorTypeOf } from "../../src/internal/ErrorType.ts"

class Tagged extends Data.TaggedError("Tagged")<{ readonly reason?: unknown; readonly cause?: unknown }> {}

const coded = (code: unknown) => Object.assign(new Error("text"), { code })

describe("the type of an error", () => {
  it("is its code, or that of its reason or its cause", () => {
    assert.strictEqual(errorTypeOf(coded("ECONNREFUSED")), "ECONNREFUSED")
    assert.strictEqual(errorTypeOf(coded("57P03")), "57P03")
    assert.strictEqual(errorTypeOf(new Tagged({ cause: coded("ETIMEDOUT") })), "ETIMEDOUT")
    assert.strictEqual(errorTypeOf(new Tagged({ reason: new Tagged({ cause: coded("EPIPE") }) })), "EPIPE")
  })

  it("is otherwise the tag of its reason, its own tag, or its name", () => {
    assert.strictEqual(errorTypeOf(new Tagged({ reason: { _tag: "Closed" } })), "Closed")
    assert.strictEqual(errorTypeOf(new Tagged({})), "Tagged")
    assert.strictEqual(errorTypeOf(new TypeError("no")), "TypeError")
  })

  it("is no text of a peer, and is found in bounded time", () => {
    assert.strictEqual(errorTypeOf(coded("drop\ntable users; --")), "Error")
    assert.strictEqual(errorTypeOf("a text"), "_OTHER")
    assert.strictEqual(errorTypeOf(undefined), "_OTHER")
    const circular: { reason?: unknown; cause?: unknown; name: string } = { name: "Circular" }
    circular.reason = circular
    circular.cause = circular
    assert.strictEqual(errorTypeOf(circular), "Circular")
    const throwing = new Proxy({}, {
      get: () => {
        throw new Error("no")
      }
    })
    assert.strictEqual(errorTypeOf(throwing), "_OTHER")
  })
})
