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
import type * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
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

/** Waits for a fiber, at most so long, also where the waiting fiber itself is uninterruptible. */
export const awaitWithin = <A, E>(
  fiber: Fiber.Fiber<A, E>,
  patience: Duration.Duration
): Effect.Effect<Exit.Exit<A, E> | undefined> =>
  Effect.suspend(() => {
    const ended = fiber.pollUnsafe()
    // A timer and what it takes to wait are spared where there is nothing to wait for.
    return ended !== undefined
      ? Effect.succeed(ended)
      : Effect.map(timeoutOption(Effect.interruptible(Fiber.await(fiber)), patience), Option.getOrUndefined)
  })

/**
 * Runs an effect to its end and waits for it at most so long; `false` if it has not ended by then. It goes on, and no
 * fiber waits for it any more.
 */
export const endsWithin = <R>(
  effect: Effect.Effect<unknown, never, R>,
  patience: Duration.Duration
): Effect.Effect<boolean, never, R> =>
  Effect.flatMap(
    Effect.forkDetach(Effect.uninterruptible(effect), { startImmediately: true }),
    (fiber) => Effect.map(awaitWithin(fiber, patience), (exit) => exit !== undefined)
  )

/** How long an effect may take, and how long it may take to end after it was interrupted. */
export interface Bounds<A = unknown, E = unknown> {
  readonly within: Duration.Duration
  readonly patience: Duration.Duration
  /** What follows when its fiber has not ended by then either. */
  readonly leftBehind?: ((fiber: Fiber.Fiber<A, E>) => Effect.Effect<void>) | undefined
  /** How time passes: `Effect.sleep`, which keeps the process alive, unless another one is given. */
  readonly sleep?: ((duration: Duration.Input) => Effect.Effect<void>) | undefined
}

/**
 * Runs an effect in a fiber of its own and waits for it at most so long. When the time is up, or the waiting fiber is
 * interrupted, the effect is interrupted too, and is left behind if that does not end it within `patience`: an effect that
 * cannot be interrupted must not hold its caller. The result is `undefined` when the time was up.
 */
export const supervised = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  { leftBehind, patience, sleep, within }: Bounds<A, E>
): Effect.Effect<Exit.Exit<A, E> | undefined, never, R> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      const fiber = yield* Effect.forkDetach(Effect.interruptible(effect), { startImmediately: true })
      const atOnce = fiber.pollUnsafe()
      if (atOnce !== undefined) return atOnce
      const giveUp = Effect.suspend(() => {
        fiber.interruptUnsafe()
        return Effect.tap(
          awaitWithin(fiber, patience),
          (exit) => exit === undefined ? leftBehind?.(fiber) ?? Effect.void : Effect.void
        )
      })
      const ended = yield* Effect.onInterrupt(
        restore(Effect.raceFirst(Effect.asSome(Fiber.await(fiber)), Effect.as(elapsed(within, sleep), Option.none()))),
        () => Effect.asVoid(giveUp)
      )
      if (Option.isSome(ended)) return ended.value
      yield* giveUp
      return undefined
    })
  )
