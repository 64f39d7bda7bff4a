import { assert, describe, it } from "@effect/vitest"
import { Duration } from "effect"
import * as Failure from "effect-sluice/Failure"
import * as RetryPolicy from "effect-sluice/RetryPolicy"

const exhausted = (waited: Duration.Input): string =>
  new RetryPolicy.ResourceExhausted({
    label: "db",
    attempts: 0,
    elapsed: Duration.seconds(1),
    waited: Duration.fromInputUnsafe(waited),
    failure: Failure.classify({ code: "EMFILE" }),
    cause: "no descriptor"
  }).message

describe("a run that found no room", () => {
  it("says how long it has waited for room, if it has", () => {
    assert.include(exhausted("2 seconds"), "db found no room for 2s after 0 attempts in 1s")
    assert.include(exhausted(0), "db found no room after 0 attempts in 1s")
  })
})
