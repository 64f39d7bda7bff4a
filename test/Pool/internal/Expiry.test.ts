import { assert, describe, it } from "@effect/vitest"
import { checkAt, drawLifetime, expiresAt, nextSweep } from "../../../src/Pool/internal/Expiry.ts"

describe("the age of a connection", () => {
  const connection = { openedAt: 100, lifetime: 50, idleSince: 110, owner: { connections: { length: 2 } } }

  it("ends it with its lifetime, or when it has been idle for too long, whichever is earlier", () => {
    const ends = [20, 60, Infinity].map((idleTimeout) =>
      expiresAt({ ...connection, state: "Idle" }, { idleTimeout, minPerEndpoint: 1 })
    )
    assert.deepStrictEqual(ends, [130, 150, 150])
  })

  it("ends one that is leased, or belongs to the minimum, with its lifetime alone", () => {
    const idleTimeout = 20
    assert.strictEqual(expiresAt({ ...connection, state: "Leased" }, { idleTimeout, minPerEndpoint: 0 }), 150)
    assert.strictEqual(expiresAt({ ...connection, state: "Idle" }, { idleTimeout, minPerEndpoint: 2 }), 150)
  })

  it("has a check due a while after it was last known to work", () => {
    assert.strictEqual(checkAt({ provenAt: 7 }, { keepalive: 30 }), 37)
  })

  it("is shorter by a random share, in whole milliseconds", () => {
    const options = { maxLifetime: 1001, lifetimeJitter: 0.25 }
    assert.deepStrictEqual([0, 0.5, 1].map((u) => drawLifetime(options, u)), [1001, 876, 751])
  })
})

describe("the next look at the idle connections", () => {
  const sweepOf = (dueAt: ReadonlyArray<number>, state: "Idle" | "Closing" = "Idle") =>
    nextSweep(dueAt.map((due) => ({ state, due })), ({ due }) => due, 1000)

  it("is when the first of them is due, and none is due where there is none", () => {
    assert.deepStrictEqual([sweepOf([5000, 3000, 4000]), sweepOf([]), sweepOf([3000], "Closing")], [
      3000,
      Infinity,
      Infinity
    ])
  })

  it("is in a second at the earliest where there are more than 256", () => {
    const sweeps = [256, 257].map((count) => sweepOf(Array.from({ length: count }, () => 1001)))
    assert.deepStrictEqual(sweeps, [1001, 2000])
  })
})
