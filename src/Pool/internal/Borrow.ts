/**
 * One borrow: from the caller to a connection and back.
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
import { poolClosed, spanAttributes } from "./Diagnostics.ts"
import { isInterrupted, mayYield } from "./EndpointPool.ts"
import type { Hook, HookFailure } from "./HealthChecks.ts"
import { inPlaceOf, leaseFibers } from "./Leases.ts"
import type { PoolCore } from "./PoolCore.ts"
import { Lease, type PooledConnection, type Probe } from "./PoolState.ts"

/** A pool as a borrower sees it. */
export interface PoolAccess<K, A> {
  readonly core: PoolCore<K, A>
  readonly name: string | undefined
  /** Asks whether a connection that was idle for long still works. */
  readonly check: Probe<A> | undefined
  /** Makes a connection ready, each time before it is leased. */
  readonly beforeLend: Hook<A> | undefined
  /** Leases end after some time, so that fibers of the pool's run in the place of borrowers. */
  readonly limitsLeases: boolean
}

/** Where a borrow was asked for: `"fiber"` is the place where the borrower's fiber is, by its spans. */
export type Origin = CallSite | "fiber" | undefined

/** The place of a borrow: what its options say, or the place that called this function of the pool. */
export const originOf = (site: Site | undefined, api: (...args: never) => unknown): Origin =>
  site === undefined ? siteOf(api) : typeof site === "function" ? siteOf(site) : site

/** A lease for the borrower on a fiber. */
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
 * Waits until the lease has a connection, or may use the one that it has, and then goes on with `onward`. The waiting fiber is
 * resumed with `onward` itself, which costs a good part less than resuming it with nothing and having it look for what comes next.
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

/** Whether a tracer exports the borrower's spans. Effect's own keeps them in memory only. */
const isTraced = (context: Context.Context<never>): boolean =>
  Context.get(context, Tracer.Tracer) !== Tracer.nativeTracer &&
  Context.getOrUndefined(context, Tracer.ParentSpan) !== undefined

/**
 * Waits as {@link waitThen} does. A wait in the queue is a span if the borrower is being traced, and costs nothing for it otherwise.
 */
const wait = <K, A, B, E, R>(
  pool: PoolAccess<K, A>,
  lease: Lease<K, A>,
  onward: Effect.Effect<B, E, R>
): Effect.Effect<B, E | PoolError, R> => {
  if (lease.turn === "Due" || !isTraced(lease.context)) return waitThen(pool, lease, onward)
  const span = Effect.withSpan(waitThen(pool, lease, Effect.void), "ConnectionPool.acquire", {
    attributes: spanAttributes(pool.name, lease.owner.label),
    // The stack would show no place of the program, and takes longer than the borrow.
    captureStackTrace: false
  })
  return Effect.andThen(span, onward)
}

/** What a borrower does with its connection. */
type Onward<A, B, E, R> = (connection: A) => Effect.Effect<B, E, R>

/**
 * Checks the connection at hand and makes it ready. One that fails, or does not answer in the time that is left, is closed,
 * and the borrow goes back to the front of its queue with the deadline that it had.
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
  const checked = lease.mustCheck && check !== undefined ? check(value, label, onBehalf) : Effect.succeed(true)
  // Until it has passed, the state of the connection is unknown, whatever becomes of this borrower.
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
    if (works && core.proved(lease)) return onward(inUse(pool, lease, value))
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

/** Goes on with the connection of a lease, or with one that is idle, as far as it is ready. Otherwise it waits, and then does `again`. */
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
 * Gets a connection for a lease in several steps, and goes on with it. Whatever happens, `core.end(lease)` has to follow: the
 * connection is the lease's from the moment at which the pool grants it, whether or not the fiber has noticed yet.
 */
const inSteps = <K, A, B, E, R>(
  pool: PoolAccess<K, A>,
  lease: Lease<K, A>,
  onward: Onward<A, B, E, R>
): Effect.Effect<B, E | PoolError, R> => {
  // It is run once to begin with, and once more when a wait has ended.
  const attempt: Effect.Effect<B, E | PoolError, R> = Effect.suspend(() => {
    pool.core.settle()
    return goOn(pool, lease, onward, attempt)
  })
  return attempt
}

/**
 * Runs an effect until the lease expires. A fiber that is interrupted stays so, and the borrower's own has to go on with
 * `LeaseExpired`; so the effect gets a fiber of its own, which is interrupted in its place.
 */
const untilExpired = <K, A, B, E, R>(
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
        resume(expired === undefined ? exit : expiredIn(exit, expired))
      })
      return Fiber.interrupt(fiber)
    })
  )

/**
 * What a borrower whose lease has ended ends with: that, and whatever else went wrong, in its finalizers or because its
 * connection was closed.
 */
const expiredIn = <B, E>(exit: Exit.Exit<B, E>, expired: PoolError): Exit.Exit<B, E | PoolError> => {
  if (Exit.isSuccess(exit)) return exit
  const others = exit.cause.reasons.filter((reason) => !Cause.isInterruptReason(reason))
  return Exit.failCause(Cause.fromReasons<E | PoolError>([Cause.makeFailReason(expired), ...others]))
}

/**
 * Leases a connection to `f`. One that is idle is leased by `Pool.use` of Effect's Pool of its endpoint, whose release ends the borrow.
 * Where it cannot be used at once, the borrow goes on in several steps from there.
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
    if (core.isOver) return Effect.fail(poolClosed(labelOf(key)))
    const lease = leaseFor(pool, fiber, key, origin, isStanding)
    const onward: Onward<A, B, E | PoolError, R> = limitsLeases && !isStanding
      ? (connection) => untilExpired(lease, f(connection))
      : f
    const connection = mayYield(fiber) ? undefined : core.promise(lease)
    // What finds the connection fit may interrupt its borrower.
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

/** Leases a connection in several steps. The exit handler stands before any of them, and returns whatever the lease holds by then. */
const useInSteps = <K, A, B, E, R>(
  pool: PoolAccess<K, A>,
  lease: Lease<K, A>,
  onward: Onward<A, B, E, R>
): Effect.Effect<B, E | PoolError, R> =>
  Effect.onExitPrimitive(inSteps(pool, lease, onward), (exit) => {
    pool.core.end(lease, exit)
    return undefined
  })

/**
 * Leases a connection until the scope ends. The scope's finalizer is added in the same uninterruptible step in which the
 * connection comes, so that neither an interruption nor a scope that has ended meanwhile keeps it.
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
      if (core.isOver) return Effect.fail(poolClosed(labelOf(key)))
      const lease = leaseFor(pool, fiber, key, origin, isStanding)
      const end = (exit: Exit.Exit<unknown, unknown>) => Effect.sync(() => core.end(lease, exit))
      // The fiber goes on to other things. As long as this is there, the lease can still be ended.
      lease.finalizer = end
      const got = Effect.onExit(
        restore(inSteps(pool, lease, Effect.succeed)),
        (exit) => Exit.isFailure(exit) ? end(exit) : Effect.void
      )
      return Effect.tap(got, () => Effect.addFinalizer(end))
    })
  )

/** Completes when a connection has to come back. */
export const recalled = <K, A>({ core }: PoolAccess<K, A>, connection: A): Effect.Effect<Recall> =>
  Effect.callback((resume) => {
    const forget = core.recalled(connection, (recall) => resume(Effect.succeed(recall)))
    return Effect.sync(forget)
  })
