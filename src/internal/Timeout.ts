/**
 * Time limits that a busy event loop does not cut short.
 *
 * A loop that did nothing else for a while, or a process that was stopped, finds its timers due before it has read what came in
 * time. So a limit that has passed is judged only after the loop has turned: whatever has ended meanwhile was in time. Each
 * limit in this library is one of these or an `Alarm`, and none is `Effect.timeout`.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { turned } from "./Timer.ts"

/** Completes when so much time has passed and the event loop has turned since. */
export const elapsed = (
  duration: Duration.Input,
  sleep: (duration: Duration.Input) => Effect.Effect<void> = Effect.sleep
): Effect.Effect<void> => Effect.andThen(sleep(duration), turned)

/** Runs an effect for at most so long; `None` if it was interrupted then. */
export const timeoutOption = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  duration: Duration.Input
): Effect.Effect<Option.Option<A>, E, R> =>
  Effect.raceFirst(Effect.asSome(self), Effect.as(elapsed(duration), Option.none<A>()))

/** Runs an effect for at most so long, and another one after it was interrupted. */
export const timeoutOrElse = <A, E, R, A2, E2, R2>(
  self: Effect.Effect<A, E, R>,
  options: { readonly duration: Duration.Input; readonly orElse: () => Effect.Effect<A2, E2, R2> }
): Effect.Effect<A | A2, E | E2, R | R2> =>
  Effect.flatMap(
    timeoutOption(self, options.duration),
    (inTime): Effect.Effect<A | A2, E2, R2> => Option.isSome(inTime) ? Effect.succeed(inTime.value) : options.orElse()
  )
