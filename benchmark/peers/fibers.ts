/**
 * Borrowers that are fibers.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"

const settled = Promise.resolve()

/** Holds a connection for one microtask, in the cheapest way that there is for a fiber. */
const microtask = Effect.callback<void>((resume) => {
  // `queueMicrotask` costs more, because Node makes an `AsyncResource` for each.
  void settled.then(() => resume(Effect.void))
})

export const hold = () => microtask

/** Does an effect, made anew each time, this many times in one fiber. There is no cheaper loop. */
export const repeat = <E>(times: number, body: () => Effect.Effect<void, E>): Effect.Effect<void, E> => {
  let left = times
  return Effect.whileLoop({ while: () => left > 0, body, step: () => void left-- })
}

/** A crowd of fibers with one parent. It is the same for every pool of effects, ours included. */
export const crowdOfFibers =
  <E>(borrow: () => Effect.Effect<void, E>) => (borrowers: number, times: number): Promise<void> => {
    const finished = Deferred.makeUnsafe<void, E>()
    let starting = borrowers
    let running = borrowers
    const ended = (exit: Exit.Exit<void, E>) => {
      if (Exit.isFailure(exit) || --running === 0) Deferred.doneUnsafe(finished, exit)
    }
    const start = Effect.whileLoop({
      while: () => starting > 0,
      body: () => Effect.forkChild(repeat(times, borrow), { startImmediately: true }),
      step: (fiber: Fiber.Fiber<void, E>) => {
        starting--
        fiber.addObserver(ended)
      }
    })
    return Effect.runPromise(Effect.andThen(start, Deferred.await(finished)))
  }

/** Runs what makes a pool in a scope of its own, which `close` closes. */
export const opened = async <A, E>(make: Effect.Effect<A, E, Scope.Scope>) => {
  const scope = Scope.makeUnsafe()
  const pool = await Effect.runPromise(Scope.provide(make, scope))
  return { pool, close: () => Effect.runPromise(Scope.close(scope, Exit.void)) }
}
