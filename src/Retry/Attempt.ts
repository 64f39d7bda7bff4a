/**
 * One attempt: room at the gate, a scope of its own, and the time that is left.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import type { ReserveRequest, ResourceExhausted } from "../Monitor/Gate.ts"
import type { ResourceMonitor } from "../Monitor/Service.ts"

/** The gate refused: the attempt was not made. */
export class Refused {
  readonly error: ResourceExhausted
  constructor(error: ResourceExhausted) {
    this.error = error
  }
}

/** The time ran out while the attempt was running. */
export class TimeUp {}

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
      duration: Duration.millis(millis),
      orElse: () => Effect.fail(new TimeUp())
    })

/** What an attempt needs to know. */
export interface Surroundings {
  readonly monitor: ResourceMonitor["Service"]
  /** The caller's scope, if there is one. An effect that needs a scope cannot run without. */
  readonly scope: Scope.Scope | undefined
  readonly request: ReserveRequest
  /** Milliseconds that are left, or `Infinity`. */
  readonly remaining: number
}

/**
 * Claims room at the gate, runs the effect, and gives the claim back when the effect has ended and, if it failed, when
 * what it acquired is closed.
 */
export const attempt = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  { monitor, remaining, request, scope }: Surroundings
): Effect.Effect<A, E | Refused | TimeUp, R> =>
  Effect.scopedWith((claim) => {
    const bounded = within(effect, remaining)
    return Effect.andThen(
      Effect.mapError(Scope.provide(monitor.reserve(request), claim), (error) => new Refused(error)),
      scope === undefined ? bounded : inOwnScope(bounded, scope)
    )
  })
