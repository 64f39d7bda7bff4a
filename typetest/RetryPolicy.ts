import type { ResourceMonitor } from "effect-sluice/ResourceMonitor"
import * as RetryPolicy from "effect-sluice/RetryPolicy"
import * as Effect from "effect/Effect"
import type * as Schedule from "effect/Schedule"
import { expectTrue, type Same } from "./expect.ts"

class Refused {
  readonly _tag = "Refused"
}

declare const effect: Effect.Effect<number, Refused, "Credentials">

// Retrying wraps the error, keeps its type as the cause, and needs the monitor: there is no way around its gate.
const retried = RetryPolicy.retry(effect, RetryPolicy.network)
expectTrue<
  Same<typeof retried, Effect.Effect<number, RetryPolicy.RetryError<Refused>, "Credentials" | ResourceMonitor>>
>()
const piped = effect.pipe(RetryPolicy.retry(RetryPolicy.network))
expectTrue<Same<typeof piped, typeof retried>>()

// A schedule needs the monitor too, and takes any error.
const schedule = RetryPolicy.schedule(RetryPolicy.standard)
expectTrue<Same<Schedule.Env<typeof schedule>, ResourceMonitor>>()
expectTrue<Same<Schedule.Input<typeof schedule>, unknown>>()

// A reason can be caught by its name, and the handler sees its fields.
export const caught = Effect.catchReason(retried, "RetryError", "AttemptsExhausted", (reason) => {
  expectTrue<Same<typeof reason, RetryPolicy.AttemptsExhausted<Refused>>>()
  return Effect.succeed(0)
})
// @ts-expect-error there is no such reason
export const uncaught = Effect.catchReason(retried, "RetryError", "Tired", () => Effect.succeed(0))

// An option that does not exist is refused.
// @ts-expect-error it is called maxAttempts
RetryPolicy.make({ attempts: 3 })
