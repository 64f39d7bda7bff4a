import { assert, describe, it } from "@effect/vitest"
import { checkAt, drawLifetime, freshUntil, isOverAge } from "../../../src/Pool/internal/Expiry.ts"

describe("the age of a connection", () => {
  it("is over at the end of its lifetime, and not before", () => {
    const connection = { openedAt: 100, lifetime: 50 }
    assert.deepStrictEqual([149, 150].map((now) => isOverAge(connection, now)), [false, true])
  })

  it("keeps it fresh until its lifetime ends or it has been idle for too long, whichever is earlier", () => {
    const connection = { openedAt: 100, lifetime: 50, idleSince: 110 }
    assert.deepStrictEqual([20, 60, Infinity].map((timeout) => freshUntil(connection, timeout)), [130, 150, 150])
  })

  it("has a check due a while after it was last known to work", () => {
    assert.strictEqual(checkAt({ provenAt: 7 }, { keepalive: 30 }), 37)
  })

  it("is shorter by a random share, in whole milliseconds", () => {
    const options = { maxLifetime: 1001, lifetimeJitter: 0.25 }
    assert.deepStrictEqual([0, 0.5, 1].map((u) => drawLifetime(options, u)), [1001, 876, 751])
  })
})
