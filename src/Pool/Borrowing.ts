/**
 * One borrow: from the caller to a connection and back.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import type { PoolCore } from "./PoolCore.ts"
import type { PoolError } from "./PoolError.ts"
import type { KeyPool, Lease } from "./PoolState.ts"

/** Asks an idle connection whether it still works. */
export type Check<A> = (connection: A) => Effect.Effect<boolean>

const makeLease = <K, A>(owner: KeyPool<K, A>, fiber: Fiber.Fiber<unknown, unknown>): Lease<K, A> => ({
  owner,
  fiber,
  state: "New",
  connection: undefined,
  mustCheck: false,
  deadline: Infinity,
  borrowedAt: 0,
  resume: undefined,
  outcome: Effect.void,
  ahead: undefined,
  behind: undefined
})

const wait = <K, A>(
  core: PoolCore<K, A>,
  lease: Lease<K, A>,
  place: "Last" | "First"
): Effect.Effect<void, PoolError> =>
  Effect.callback((resume) => {
    lease.resume = resume
    const refused = core.enqueue(lease, place)
    if (refused !== undefined) resume(Effect.fail(refused))
  })

/**
 * Checks the connection at hand. One that fails, or does not answer in the time that is left, is closed, and the borrow
 * goes back to the front of its queue with the deadline that it had.
 */
const checked = <K, A>(
  core: PoolCore<K, A>,
  check: Check<A>,
  lease: Lease<K, A>,
  value: A
): Effect.Effect<A, PoolError> => {
  const answers = Effect.suspend(() => check(value)).pipe(
    Effect.timeoutOrElse({ duration: Duration.millis(core.remaining(lease)), orElse: () => Effect.succeed(false) })
  )
  return Effect.flatMap(answers, (works) => {
    if (works) return Effect.succeed(value)
    core.reject(lease)
    return core.remaining(lease) > 0
      ? Effect.flatMap(wait(core, lease, "First"), () => borrowed(core, check, lease))
      : Effect.fail(core.timeoutOf(lease))
  })
}

const borrowed = <K, A>(
  core: PoolCore<K, A>,
  check: Check<A> | undefined,
  lease: Lease<K, A>
): Effect.Effect<A, PoolError> => {
  const { connection } = lease
  if (connection === undefined) return Effect.die(new Error("a borrow went on without a connection"))
  return check !== undefined && lease.mustCheck
    ? checked(core, check, lease, connection.value)
    : Effect.succeed(connection.value)
}

/**
 * Gets a connection for a lease. Whatever happens, `core.end(lease)` has to follow: the connection is the lease's from
 * the moment at which the pool grants it, whether or not the fiber has noticed yet.
 */
const acquire = <K, A>(
  core: PoolCore<K, A>,
  check: Check<A> | undefined,
  lease: Lease<K, A>
): Effect.Effect<A, PoolError> => {
  const refusal = core.refusal(lease.owner)
  if (refusal !== undefined) return Effect.fail(refusal)
  return lease.connection === undefined && core.tryLend(lease) === undefined
    ? Effect.flatMap(wait(core, lease, "Last"), () => borrowed(core, check, lease))
    : borrowed(core, check, lease)
}

/**
 * Lends a connection to `f`. The exit handler stands before anything is taken, so an interruption between any two steps
 * finds it, and it returns whatever the lease holds by then.
 */
export const use = <K, A, B, E, R>(
  core: PoolCore<K, A>,
  check: Check<A> | undefined,
  key: K,
  f: (connection: A) => Effect.Effect<B, E, R>
): Effect.Effect<B, E | PoolError, R> =>
  Effect.withFiber((fiber) => {
    const lease = makeLease(core.keyPool(key), fiber)
    return Effect.onExitPrimitive(
      Effect.suspend(() => {
        const connection = core.tryLend(lease)
        return connection === undefined || lease.mustCheck
          ? Effect.flatMap(acquire(core, check, lease), f)
          : f(connection.value)
      }),
      () => {
        core.end(lease)
        return undefined
      }
    )
  })

/**
 * Lends a connection until the scope ends. The scope's finalizer stands before anything is taken; a borrow that comes to
 * nothing ends at once, not only with the scope.
 */
export const get = <K, A>(
  core: PoolCore<K, A>,
  check: Check<A> | undefined,
  key: K
): Effect.Effect<A, PoolError, Scope.Scope> =>
  Effect.withFiber((fiber) => {
    const lease = makeLease(core.keyPool(key), fiber)
    const end = Effect.sync(() => core.end(lease))
    return Effect.andThen(
      Effect.addFinalizer(() => end),
      Effect.onExit(
        Effect.suspend(() => acquire(core, check, lease)),
        (exit) => Exit.isFailure(exit) ? end : Effect.void
      )
    )
  })
