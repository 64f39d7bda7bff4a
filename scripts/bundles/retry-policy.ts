// A function that retries, and is given the monitor by the program around it.
import * as RetryPolicy from "effect-sluice/RetryPolicy"
import * as Effect from "effect/Effect"

export const program = RetryPolicy.retry(Effect.succeed("done"), RetryPolicy.network)
