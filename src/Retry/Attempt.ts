/**
 * One attempt: room at the gate, a scope of its own, and the time that is left.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import { CurrentClaim } from "../Monitor/Claim.ts"
import type { ReserveRequest, ResourceExhausted } from "../Monitor/Gate.ts"
import type { ResourceMonitor } from "../Monitor/Service.ts"
import type { Failure } from "./Failure.ts"

/** The gate refused: the attempt was not made. */
export class Refused {
  readonly error: ResourceExhausted
  constructor(error: ResourceExhausted) {
    this.error = error
  }
}

/** The time ran out while the attempt was running. */
export class TimeUp {}

/** The effect failed; `failure` is what that asks for. */
export class Failed<E> {
  readonly error: E
  readonly failure: Failure
  constructor(error: E, failure: Failure) {
    this.error = error
    this.failure = failure
  }
}

/**
 * The failure of an attempt, unless there is a defect or an interruption beside it: those pass through, and a failure
 * beside them is not retried.
 */
export const failureOf = <E>(cause: Cause.Cause<E>): Result.Result<E, Cause.Cause<never>> => {
  const others = cause.reasons.filter((reason) => !Cause.isFailReason(reason))
  return others.length > 0 ? Result.fail(Cause.fromReasons(others)) : Cause.findError(cause)
}

/** Looks into a failure where it happens, before anything that the effect has acquired is closed. */
const diagnosed = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  diagnose: Surroundings["diagnose"]
): Effect.Effect<A, Failed<E>, R> =>
  Effect.catchCause(effect, (cause) => {
    const failure = failureOf(cause)
    return Result.isFailure(failure)
      ? Effect.failCause(failure.failure)
      : Effect.flatMap(diagnose(failure.success), (found) => Effect.fail(new Failed(failure.success, found)))
  })

/**
 * Runs an effect in a child of the caller's scope. When it fails or is interrupted, the child is closed before anything
 * else happens, so that no attempt begins while the last one still holds what it opened. When it succeeds, the child stays
 * part of the caller's scope. A child that holds nothing is closed too: a scope that lives as long as the program would
 * otherwise grow with every call.
 */
const inOwnScope = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  parent: Scope.Scope
): Effect.Effect<A, E, Exclude<R, Scope.Scope>> =>
  Effect.suspend(() => {
    const child = Scope.forkUnsafe(parent)
    return Effect.onExit(
      Scope.provide(effect, child),
      (exit) => Exit.isSuccess(exit) && child.state._tag === "Open" ? Effect.void : Scope.close(child, exit)
    )
  })

const within = <A, E, R>(effect: Effect.Effect<A, E, R>, millis: number): Effect.Effect<A, E | TimeUp, R> =>
  millis === Infinity
    ? effect
    : Effect.timeoutOrElse(effect, {
      duration: Duration.millis(Math.max(millis, 0)),
      orElse: () => Effect.fail(new TimeUp())
    })

/** What an attempt needs to know. */
export interface Surroundings {
  readonly monitor: ResourceMonitor["Service"]
  /** The caller's scope, if there is one. An effect that needs a scope cannot run without. */
  readonly scope: Scope.Scope | undefined
  readonly request: ReserveRequest
  /** Milliseconds that are left, or `Infinity`. It is asked when there is room, for which the attempt may have waited. */
  readonly remaining: () => number
  /** What a failure of the effect asks for. */
  readonly diagnose: (error: unknown) => Effect.Effect<Failure>
}

/**
 * Claims room at the gate, runs the effect, and gives the claim back when the effect has ended and, if it failed, when
 * what it acquired is closed. The effect may end the claim earlier, by what it opens.
 */
export const attempt = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  { diagnose, monitor, remaining, request, scope }: Surroundings
): Effect.Effect<A, Failed<E> | Refused | TimeUp, R> =>
  Effect.scopedWith((ownScope) =>
    Effect.flatMap(
      Effect.mapError(Scope.provide(monitor.reserve(request), ownScope), (error) => new Refused(error)),
      (claim) => {
        const bounded = within(Effect.provideService(diagnosed(effect, diagnose), CurrentClaim, claim), remaining())
        return scope === undefined ? bounded : inOwnScope(bounded, scope)
      }
    )
  )
