import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import * as RetryPolicy from "effect-sluice/RetryPolicy"
import { checkOptions } from "../../src/internal/Options.ts"
import { invalidOption } from "../support/InvalidOption.ts"
import * as Scripted from "../support/ScriptedConnector.ts"

const { duration } = checkOptions("Module")

const refusalOf = (value: unknown): string => {
  try {
    duration("time", value, { min: 0, exclusive: true })
    return ""
  } catch (error) {
    return String(error instanceof Error ? error.message : error)
  }
}

describe("a duration as text", () => {
  it("that is none is refused with the form that it must have", () => {
    for (const text of ["60s", "60", "a minute", "1m", ""]) {
      assert.strictEqual(
        refusalOf(text),
        `Module: option time is ${JSON.stringify(text)}, but it must be a finite duration above 0, such as "60 seconds"`
      )
    }
    assert.strictEqual(refusalOf("60 seconds"), "")
  })

  it("that is out of range is refused with the range alone", () => {
    for (const value of ["-1 second", "0 seconds", 0, Number.NaN, undefined]) {
      assert.match(refusalOf(value), /but it must be a finite duration above 0$/)
    }
  })

  it.effect("is refused so by every module that takes one", () =>
    Effect.gen(function*() {
      const { connector } = Scripted.make()
      const text = "60s" as never
      const errors = [
        yield* invalidOption(Effect.suspend(() => ConnectionPool.make({ connector, acquireTimeout: text }))),
        yield* invalidOption(Layer.build(ResourceMonitor.layerOptions({ recoveryHold: text }))),
        yield* invalidOption(Effect.sync(() => RetryPolicy.make({ initialDelay: text })))
      ]
      for (const error of errors) assert.include(error.message, `is "60s", but it must be a`)
      for (const error of errors) assert.include(error.message, `, such as "60 seconds"`)
    }).pipe(Effect.scoped, Effect.provide(ResourceMonitor.layerUnlimited)))
})
