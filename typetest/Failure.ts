import * as Failure from "effect-sluice/Failure"
import * as RetryPolicy from "effect-sluice/RetryPolicy"
import { expectTrue, type Same } from "./expect.ts"

class Throttled extends Error {
  readonly seconds = 1
}

// The outcome sees what the predicate has found, whether it says so or the compiler infers it.
const stated = Failure.when((error): error is Throttled => error instanceof Throttled, (error) => {
  expectTrue<Same<typeof error, Throttled>>()
  return "RemoteSaturated"
})
const inferred = Failure.when((error) => error instanceof Throttled, (error) => {
  expectTrue<Same<typeof error, Throttled>>()
  return Failure.make("RemoteSaturated", { retryAfter: `${error.seconds} seconds` })
})
Failure.when((error) => String(error) === "busy", (error) => {
  expectTrue<Same<typeof error, unknown>>()
  return "Transient"
})

// Each of them is what a policy takes, data-first and data-last.
expectTrue<Same<typeof stated, Failure.Classifier>>()
const both = Failure.orElse(stated, inferred)
expectTrue<Same<typeof both, Failure.Classifier>>()
const last = Failure.orElse(stated)(inferred)
expectTrue<Same<typeof last, Failure.Classifier>>()
RetryPolicy.make({ classify: both })
RetryPolicy.make({ classify: Failure.byCode({ E_BUSY: "RemoteSaturated", "7": Failure.make("Fatal") }) })

// @ts-expect-error a class that there is not
Failure.byCode({ E_BUSY: "Saturated" })
// @ts-expect-error a class that there is not
Failure.byTag({ Busy: "Saturated" })
