/**
 * Time limits that a busy event loop does not cut short.
 *
 * After the event loop was blocked, or the process was stopped, the loop runs expired timers before it reads sockets. Data that
 * came before the limit may still be unread then. So a limit takes effect only after a further turn of the loop, and an effect that
 * completes in that turn is in time. All limits in this library use this module or `Alarm`, and none uses `Effect.timeout`.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import { monotonicMillis } from "./MonotonicTime.ts"
import { afterTurn, isLive, startTimer, turned } from "./Timer.ts"

/** Completes when the duration has passed and the event loop has turned since. */
export const elapsed = (
  duration: Duration.Input,
  sleep: (duration: Duration.Input) => Effect.Effect<void> = Effect.sleep
): Effect.Effect<void> => Effect.andThen(sleep(duration), turned)

/** Runs an effect with a time limit; `None` if it was interrupted by the limit. */
export const timeoutOption = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  duration: Duration.Input
): Effect.Effect<Option.Option<A>, E, R> =>
  Effect.raceFirst(Effect.asSome(self), Effect.as(elapsed(duration), Option.none<A>()))

/** How many times within a limit of {@link elapsedRunning} the event loop has to turn. */
const steps = 8

/**
 * Completes when the process has had so many milliseconds to run in. The wait has several steps, and a step that ends late counts
 * for little more than its length: a process that was stopped, or that waits for a processor, has not waited for its peer in
 * that time.
 */
const elapsedRunning = (millis: number): Effect.Effect<void> =>
  Effect.withFiber((fiber) => {
    const clock = fiber.getRef(Clock.Clock)
    if (!isLive(clock)) return elapsed(millis)
    // Calls of a crowd wait together, so a step has no Effect of its own.
    return Effect.callback<void>((resume) => {
      let left = millis
      let cancel = () => {}
      const next = (): void => {
        const began = monotonicMillis(clock)
        const step = Math.min(millis / steps, left)
        // Timers have whole milliseconds.
        const timer = startTimer(() => {
          left -= Math.min(monotonicMillis(clock) - began, Math.max(1.25 * step, 2))
          if (left > 0) next()
          // Only the last step waits for the sockets, or a busy loop would need three turns for each.
          else cancel = afterTurn(() => resume(Effect.void))
        }, Math.ceil(step))
        cancel = () => clearTimeout(timer)
      }
      next()
      return Effect.sync(() => cancel())
    })
  })

/**
 * {@link timeoutOption} for a short limit on what a peer takes. Time in which this process did not run does not count, so that a process without a
 * processor does not find its peer too slow.
 */
export const timeoutOptionRunning = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  millis: number
): Effect.Effect<Option.Option<A>, E, R> =>
  Effect.raceFirst(Effect.asSome(self), Effect.as(elapsedRunning(millis), Option.none<A>()))

/** Runs an effect with a time limit. If the limit interrupts it, another effect is run. */
export const timeoutOrElse = <A, E, R, A2, E2, R2>(
  self: Effect.Effect<A, E, R>,
  options: { readonly duration: Duration.Input; readonly orElse: () => Effect.Effect<A2, E2, R2> }
): Effect.Effect<A | A2, E | E2, R | R2> =>
  Effect.flatMap(
    timeoutOption(self, options.duration),
    (inTime): Effect.Effect<A | A2, E2, R2> => Option.isSome(inTime) ? Effect.succeed(inTime.value) : options.orElse()
  )

/** Waits for a fiber with a time limit, even if the waiting fiber is uninterruptible. */
export const awaitWithin = <A, E>(
  fiber: Fiber.Fiber<A, E>,
  patience: Duration.Duration
): Effect.Effect<Exit.Exit<A, E> | undefined> =>
  Effect.suspend(() => {
    const ended = fiber.pollUnsafe()
    // A fiber that has ended needs no timer.
    return ended !== undefined
      ? Effect.succeed(ended)
      : Effect.map(timeoutOption(Effect.interruptible(Fiber.await(fiber)), patience), Option.getOrUndefined)
  })

/**
 * Runs an effect to its end, and waits for it with a time limit; `false` if it has not ended by then. In that case it continues
 * in the background.
 */
export const endsWithin = <R>(
  effect: Effect.Effect<unknown, never, R>,
  patience: Duration.Duration
): Effect.Effect<boolean, never, R> =>
  Effect.flatMap(
    Effect.forkDetach(Effect.uninterruptible(effect), { startImmediately: true }),
    (fiber) => Effect.map(awaitWithin(fiber, patience), (exit) => exit !== undefined)
  )

/** Limits of an effect: on its run time, and on the time that it takes to end after an interruption. */
export interface Bounds<A = unknown, E = unknown> {
  /** From before the effect begins, so that its synchronous start is part of it. */
  readonly within: Duration.Duration
  /** From the interruption, at which a function is called. */
  readonly patience: Duration.Duration | (() => Duration.Duration)
  /** Runs when the interrupted fiber has not ended within `patience`. */
  readonly leftBehind?: ((fiber: Fiber.Fiber<A, E>) => Effect.Effect<void>) | undefined
  /** @default `Effect.sleep`, which keeps the process alive */
  readonly sleep?: ((duration: Duration.Input) => Effect.Effect<void>) | undefined
}

/**
 * Runs an effect in a fiber of its own and waits for it with a time limit. After the limit, or when the waiting fiber is
 * interrupted, the effect is interrupted. If it has not ended within `patience` after that, it continues in the background, so
 * that an uninterruptible effect does not block its caller. After the limit, the result is `undefined`.
 */
export const supervised = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  { leftBehind, patience, sleep, within }: Bounds<A, E>
): Effect.Effect<Exit.Exit<A, E> | undefined, never, R> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      const clock = yield* Clock.Clock
      const start = monotonicMillis(clock)
      const fiber = yield* Effect.forkDetach(Effect.interruptible(effect), { startImmediately: true })
      const atOnce = fiber.pollUnsafe()
      if (atOnce !== undefined) return atOnce
      const left = Duration.millis(Math.max(Duration.toMillis(within) - (monotonicMillis(clock) - start), 0))
      const giveUp = Effect.suspend(() => {
        fiber.interruptUnsafe()
        return Effect.tap(
          awaitWithin(fiber, typeof patience === "function" ? patience() : patience),
          (exit) => exit === undefined ? leftBehind?.(fiber) ?? Effect.void : Effect.void
        )
      })
      const ended = yield* Effect.onInterrupt(
        restore(Effect.raceFirst(Effect.asSome(Fiber.await(fiber)), Effect.as(elapsed(left, sleep), Option.none()))),
        () => Effect.asVoid(giveUp)
      )
      if (Option.isSome(ended)) return ended.value
      yield* giveUp
      return undefined
    })
  )
