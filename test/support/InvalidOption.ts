import { assert } from "@effect/vitest"
import { Effect, Exit } from "effect"
import { InvalidOption } from "effect-sluice/ResourceMonitor"

/** The `InvalidOption` with which the effect dies. The test fails where it ends in another way. */
export const invalidOption = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<InvalidOption, never, R> =>
  Effect.map(Effect.exit(effect), (exit) => {
    assert(Exit.isFailure(exit))
    const [reason] = exit.cause.reasons
    assert(reason?._tag === "Die" && reason.defect instanceof InvalidOption)
    return reason.defect
  })
