import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Logger } from "effect"
import { ConnectionBudget, makeInMemory } from "effect-sluice/ConnectionBudget"
import * as Postgres from "effect-sluice/Postgres"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import { leaseWarning } from "../../../../src/Clients/internal/postgres/LeaseRule.ts"

const rails = {
  idle_in_transaction_session_timeout: "10000",
  idle_session_timeout: "30000",
  statement_timeout: "20000"
}

describe("leaseWarning", () => {
  it("names the values and the rule unless the lease is longer than the limits and a second", () => {
    assert.isUndefined(leaseWarning(51_001, rails))
    const text = leaseWarning(51_000, rails)
    assert.include(
      text,
      "the lease is 51000ms, guardRails.statement 20000ms, guardRails.idleSession 30000ms, guardRails.idleInTransaction 10000ms"
    )
    assert.include(
      text,
      "longer than guardRails.statement + the longer of guardRails.idleSession and guardRails.idleInTransaction + 1 second"
    )
  })

  it("counts the limit of a session in a transaction, which idleSession does not end", () => {
    const long = { ...rails, idle_in_transaction_session_timeout: "40000" }
    assert.isUndefined(leaseWarning(61_001, long))
    assert.include(leaseWarning(61_000, long), "guardRails.idleInTransaction 40000ms")
  })

  it("names a limit that is not given, is off, or has a unit", () => {
    for (const idle of [undefined, "0", "30s"]) {
      const text = leaseWarning(90_000, { ...rails, idle_session_timeout: idle })
      assert.include(text, "guardRails.idleSession is not given")
    }
    const { statement_timeout: _, ...others } = rails
    assert.include(leaseWarning(90_000, others), "guardRails.statement is not given")
    const { idle_in_transaction_session_timeout: __, ...idle } = rails
    assert.include(leaseWarning(90_000, idle), "guardRails.idleInTransaction is not given")
    const names = "guardRails.statement and guardRails.idleSession and guardRails.idleInTransaction are not given"
    assert.include(leaseWarning(90_000, {}), names)
  })
})

describe("Postgres.layer", () => {
  const warnings = (lease: number | undefined) =>
    Effect.gen(function*() {
      const lines: Array<string> = []
      const logger = Logger.layer([Logger.make(({ message }) => void lines.push(String(message)))])
      const guardRails = {
        statement: "20 seconds",
        idleSession: "30 seconds",
        idleInTransaction: "10 seconds"
      } as const
      const database = Postgres.layer({ idleTimeout: "20 seconds", guardRails }).pipe(
        Layer.provide(ResourceMonitor.layerUnlimited),
        Layer.provide(Layer.succeed(ConnectionBudget, { take: makeInMemory(1).take, lease })),
        Layer.provide(logger)
      )
      yield* Effect.scoped(Layer.build(database))
      return lines
    })

  it.effect("warns of a lease that is too short, and of none that is long enough or does not exist", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* warnings(60_000), [])
      assert.deepStrictEqual(yield* warnings(undefined), [])
      const [line, ...more] = yield* warnings(50_000)
      assert.include(line, "Postgres: The lease of a permit has to be longer")
      assert.deepStrictEqual(more, [])
    }))
})
