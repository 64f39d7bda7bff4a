/**
 * Waiting for what may never end.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import { elapsed, timeoutOption } from "./Timeout.ts"

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
 * Runs an effect to its end and waits for it at most so long; `false` if it has not ended by then. It goes on, and nobody
 * waits for it any more.
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
 * cannot be interrupted must not hold whoever waits for it. The result is `undefined` when the time was up.
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
