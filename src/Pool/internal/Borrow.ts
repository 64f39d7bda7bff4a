/**
 * One borrow: from the caller to a connection and back. `PoolCore.end` decides what happens to the connection at the end of a
 * borrow, by the connector's `isReusable` or the rule in `internal/BorrowExit`.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import * as Tracer from "effect/Tracer"
import { type CallSite, FiberSite, siteOf } from "../../internal/CallSite.ts"
import { labelOf } from "../../internal/SafeText.ts"
import { timeoutOrElse } from "../../internal/Timeout.ts"
import type { PoolError } from "../PoolError.ts"
import type { Recall, Site } from "../PoolOptions.ts"
import { annotateFailure, spanAttributes } from "./Diagnostics.ts"
import { isInterrupted, mayYield } from "./EndpointPool.ts"
import type { Hook, HookFailure } from "./HealthChecks.ts"
import { inPlaceOf, leaseFibers } from "./Leases.ts"
import type { PoolCore } from "./PoolCore.ts"
import { Lease, type PooledConnection, type Probe } from "./PoolState.ts"

/** A pool as a borrower sees it. */
export interface PoolAccess<K, A> {
  readonly core: PoolCore<K, A>
  /** The name of the pool, which no other live pool has. */
  readonly name: string
  /** Checks whether a connection that was idle for long still works. */
  readonly check: Probe<A> | undefined
  /** Makes a connection ready, each time before it is leased. */
  readonly beforeLend: Hook<A> | undefined
  /** The pool has a `maxLease`: effects of borrowers run in fibers of the pool, which it can interrupt. */
  readonly limitsLeases: boolean
}

/** The place in the program that began a borrow. With `"fiber"` the place is found by the spans of the borrower's fiber. */
export type Origin = CallSite | "fiber" | undefined

/** The place of a borrow: that of its option `site`, or the caller of `api`, which is a function of the pool. */
export const originOf = (site: Site | undefined, api: (...args: never) => unknown): Origin =>
  site === undefined ? siteOf(api) : typeof site === "function" ? siteOf(site) : site

/** Makes the lease of the borrower that runs in this fiber. */
const leaseFor = <K, A>(
  { core }: PoolAccess<K, A>,
  fiber: Fiber.Fiber<unknown, unknown>,
  key: K,
  origin: Origin,
  isStanding: boolean
): Lease<K, A> => {
  const site = origin === "fiber" ? new FiberSite(fiber.context) : origin
  return new Lease(core.endpoint(key), fiber, leaseFibers.borrowerOn(fiber.id), site, isStanding)
}

/**
 * Waits until the lease has a connection, or may use the one that it has, and then runs `onward`. The waiting fiber is resumed with
 * `onward` itself, because that takes less time than a `flatMap` after the wait.
 */
const waitThen = <K, A, B, E, R>(
  { core }: PoolAccess<K, A>,
  lease: Lease<K, A>,
  onward: Effect.Effect<B, E, R>
): Effect.Effect<B, E | PoolError, R> =>
  Effect.callback<B, E | PoolError, R>((resume) => {
    lease.resume = (failure) => resume(failure === undefined ? onward : Effect.fail(failure))
    const refused = core.wait(lease)
    if (refused !== undefined) resume(Effect.fail(refused))
  })

/** Whether a tracer exports the borrower's spans. Effect's native tracer exports none. */
const isTraced = (context: Context.Context<never>): boolean =>
  Context.get(context, Tracer.Tracer) !== Tracer.nativeTracer &&
  Context.getOrUndefined(context, Tracer.ParentSpan) !== undefined

/**
 * Does what {@link waitThen} does. If the borrower is traced, a wait in the queue is a span.
 */
const wait = <K, A, B, E, R>(
  pool: PoolAccess<K, A>,
  lease: Lease<K, A>,
  onward: Effect.Effect<B, E, R>
): Effect.Effect<B, E | PoolError, R> => {
  if (lease.turn === "Due" || !isTraced(lease.context)) return waitThen(pool, lease, onward)
  const span = Effect.withSpan(annotateFailure(waitThen(pool, lease, Effect.void)), "ConnectionPool.acquire", {
    attributes: spanAttributes(pool, lease.owner),
    // The stack has no line of the program here, and capturing it takes longer than the borrow.
    captureStackTrace: false
  })
  return Effect.andThen(span, onward)
}

/** The effect that a borrower runs with its connection. */
type Onward<A, B, E, R> = (connection: A) => Effect.Effect<B, E, R>

/**
 * Checks the connection of a lease and makes it ready. If this fails, or takes longer than the time that is left, the connection is
 * closed. The borrow then returns to the front of its queue, with the same deadline.
 */
const prepared = <K, A, B, E, R>(
  pool: PoolAccess<K, A>,
  lease: Lease<K, A>,
  { value }: PooledConnection<K, A>,
  onward: Onward<A, B, E, R>
): Effect.Effect<B, E | PoolError, R> => {
  const { beforeLend, check, core } = pool
  const { label } = lease.owner
  const onBehalf = inPlaceOf(lease.fiberId)
  const isChecked = lease.mustCheck && check !== undefined
  const checked = isChecked ? check(value, label, onBehalf) : Effect.succeed(true)
  // Until the check has passed, the state of the connection is unknown. It stays unknown if this borrower is interrupted now.
  lease.mustCheck = true
  let isAlive = false
  let failure: HookFailure | undefined
  const ready = Effect.flatMap(checked, (works) => {
    isAlive = works
    if (!works || beforeLend === undefined) return Effect.succeed(works)
    return Effect.map(beforeLend(value, label, onBehalf), (failed) => (failure = failed) === undefined)
  })
  const inTime = timeoutOrElse(ready, {
    duration: Duration.millis(core.remaining(lease)),
    orElse: () => Effect.succeed(false)
  })
  return Effect.flatMap(inTime, (works) => {
    if (works && core.proved(lease, isChecked)) return onward(inUse(pool, lease, value))
    const refused = core.reject(lease, isAlive && !works, failure?.error)
    if (refused !== undefined) return Effect.fail(refused)
    return core.remaining(lease) > 0
      ? wait(pool, lease, inSteps(pool, lease, onward))
      : Effect.fail(core.timeoutOf(lease))
  })
}

/** Marks the lease as in use. */
const inUse = <K, A>({ core }: PoolAccess<K, A>, lease: Lease<K, A>, value: A): A => {
  core.begun(lease)
  return value
}

/**
 * Runs `onward` with the connection of the lease, or with an idle one that it leases now. If there is none that may be used at
 * once, it waits and then runs `again`.
 */
const goOn = <K, A, B, E, R>(
  pool: PoolAccess<K, A>,
  lease: Lease<K, A>,
  onward: Onward<A, B, E, R>,
  again?: Effect.Effect<B, E | PoolError, R>
): Effect.Effect<B, E | PoolError, R> => {
  const { core } = pool
  const connection = lease.connection ?? core.tryLease(lease)
  if (connection === undefined || lease.turn !== "None" && !core.heard(lease)) {
    return wait(pool, lease, again ?? inSteps(pool, lease, onward))
  }
  return lease.mustCheck || pool.beforeLend !== undefined
    ? prepared(pool, lease, connection, onward)
    : onward(inUse(pool, lease, connection.value))
}

/**
 * Gets a connection for a lease in several steps, and runs `onward` with it. `core.end(lease)` has to follow in every case: the
 * lease holds the connection from the step in which the pool grants it, also if the fiber is interrupted before it resumes.
 */
const inSteps = <K, A, B, E, R>(
  pool: PoolAccess<K, A>,
  lease: Lease<K, A>,
  onward: Onward<A, B, E, R>
): Effect.Effect<B, E | PoolError, R> => {
  // It runs once at the beginning, and once more after each wait.
  const attempt: Effect.Effect<B, E | PoolError, R> = Effect.suspend(() => {
    pool.core.settle()
    return goOn(pool, lease, onward, attempt)
  })
  return attempt
}

/**
 * Runs an effect until the lease expires. An interrupted fiber cannot go on, but the borrower's fiber has to go on with
 * `LeaseExpired`. So the effect runs in a separate fiber, and that fiber is interrupted.
 */
const untilExpired = <K, A, B, E, R>(
  core: PoolCore<K, A>,
  lease: Lease<K, A>,
  effect: Effect.Effect<B, E, R>
): Effect.Effect<B, E | PoolError, R> =>
  Effect.contextWith((context: Context.Context<R>) =>
    Effect.callback<B, E | PoolError>((resume) => {
      const fiber = Effect.runForkWith(context)(Effect.withFiber(({ id }) => {
        leaseFibers.add(id, lease.fiberId)
        return effect
      }))
      let expired: PoolError | undefined
      lease.expire = (error) => {
        expired = error
        fiber.interruptUnsafe()
      }
      fiber.addObserver((exit) => {
        leaseFibers.remove(fiber.id)
        resume(expired === undefined || Exit.isSuccess(exit) ? exit : expiredIn(exit, core.refuse(expired)))
      })
      return Fiber.interrupt(fiber)
    })
  )

/**
 * The exit of a borrower whose lease has expired: `LeaseExpired`, with the other failures of its effect, such as those of its
 * finalizers and of statements on the closed connection.
 */
const expiredIn = <B, E>(exit: Exit.Failure<B, E>, expired: PoolError): Exit.Exit<B, E | PoolError> => {
  const others = exit.cause.reasons.filter((reason) => !Cause.isInterruptReason(reason))
  return Exit.failCause(Cause.fromReasons<E | PoolError>([Cause.makeFailReason(expired), ...others]))
}

/**
 * Leases a connection to `f`. An idle connection is leased by Effect's `Pool.use` on the pool of its endpoint, whose release ends
 * the borrow. If there is none, or the fiber may yield now, the borrow takes several steps.
 */
export const use = <K, A, B, E, R>(
  pool: PoolAccess<K, A>,
  key: K,
  origin: Origin,
  f: Onward<A, B, E, R>,
  isStanding: boolean
): Effect.Effect<B, E | PoolError, R> =>
  Effect.withFiber((fiber) => {
    const { core, limitsLeases } = pool
    if (core.isOver) return Effect.fail(core.refuseClosed(labelOf(key)))
    const lease = leaseFor(pool, fiber, key, origin, isStanding)
    const onward: Onward<A, B, E | PoolError, R> = limitsLeases && !isStanding
      ? (connection) => untilExpired(core, lease, f(connection))
      : f
    const connection = mayYield(fiber) ? undefined : core.promise(lease)
    // `isReusable` of the connector runs in `promise`, and may interrupt this fiber.
    if (connection !== undefined && isInterrupted(fiber)) return returnUnused(pool, lease, connection)
    const leasing = connection?.owner.pool
    if (connection === undefined || leasing === undefined) return useInSteps(pool, lease, onward)
    const { item } = connection.slot
    item.holder = lease
    return leasing.use((leased) => {
      if (leased !== item) throw new Error("Effect's Pool has leased another connection than the one that was promised")
      core.take(connection)
      core.settle()
      return goOn(pool, lease, onward)
    })
  })

/** Returns a connection in the step in which it was promised. */
const returnUnused = <K, A>({ core }: PoolAccess<K, A>, lease: Lease<K, A>, connection: PooledConnection<K, A>) => {
  core.take(connection)
  core.end(lease, Exit.interrupt(lease.fiberId))
  return Effect.interrupt
}

/** Leases a connection in several steps. The exit handler is installed before the first step, and returns what the lease holds. */
const useInSteps = <K, A, B, E, R>(
  pool: PoolAccess<K, A>,
  lease: Lease<K, A>,
  onward: Onward<A, B, E, R>
): Effect.Effect<B, E | PoolError, R> =>
  Effect.onExitPrimitive(inSteps(pool, lease, onward), (exit) => {
    pool.core.end(lease, exit)
    return lease.ended && pool.core.failureOf(lease.ended, exit)
  })

/**
 * Leases a connection until the scope ends. The scope's finalizer is added in the uninterruptible region in which the lease gets
 * its connection. So neither an interruption nor a scope that has ended already keeps the connection from being returned.
 */
export const get = <K, A>(
  pool: PoolAccess<K, A>,
  key: K,
  origin: Origin,
  isStanding: boolean
): Effect.Effect<A, PoolError, Scope.Scope> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.withFiber((fiber) => {
      const { core } = pool
      if (core.isOver) return Effect.fail(core.refuseClosed(labelOf(key)))
      const lease = leaseFor(pool, fiber, key, origin, isStanding)
      const end = (exit: Exit.Exit<unknown, unknown>) => Effect.sync(() => core.end(lease, exit))
      // The fiber outlives this effect, so it cannot show that the lease is lost. The finalizer can: nothing else ends the lease.
      lease.finalizer = end
      const got = Effect.onExit(
        restore(inSteps(pool, lease, Effect.succeed)),
        (exit) => Exit.isFailure(exit) ? end(exit) : Effect.void
      )
      return Effect.tap(got, () => Effect.addFinalizer(end))
    })
  )

/** Completes when a connection has to be given back. */
export const recalled = <K, A>({ core }: PoolAccess<K, A>, connection: A): Effect.Effect<Recall> =>
  Effect.callback((resume) => {
    const forget = core.recalled(connection, (recall) => resume(Effect.succeed(recall)))
    return Effect.sync(forget)
  })
