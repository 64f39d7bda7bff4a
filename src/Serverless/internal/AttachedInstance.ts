/**
 * An instance whose requests somebody else receives, and which ends when the platform says so.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { endsWithin } from "../../internal/Bounded.ts"
import type { ConnectionPool } from "../../Pool/ConnectionPool.ts"
import { type RegisteredPool, TypeId } from "../../Pool/PoolRegistry.ts"
import { InstancePools } from "./InstancePools.ts"
import type { RunOptions } from "./RequestPromise.ts"
import { shutdownBudget } from "./ShutdownBudget.ts"
import { terminator } from "./Termination.ts"
import { type Between, WarmInstance } from "./WarmInstance.ts"

/**
 * What runs the requests of one instance.
 *
 * @category models
 * @since 0.1.0
 */
export interface Attachment<in R> {
  /**
   * Runs the effect of one request, in a scope of its own. An abort of `signal` interrupts it. What it fails with is what
   * the promise is rejected with: an `InvocationError` if it ran out of time, or if the instance is being ended.
   */
  readonly run: <A, E>(effect: Effect.Effect<A, E, R | Scope.Scope>, options?: RunOptions) => Promise<A>
  /** Closes everything, as SIGTERM does. The platform needs no such call; a test does. */
  readonly close: () => Promise<void>
}

/** What an instance looks after: services that it builds, or a pool that somebody else has made. */
export type Target<R, E> =
  | { readonly _tag: "Layer"; readonly layer: Layer.Layer<R, E> }
  | { readonly _tag: "Pool"; readonly pool: RegisteredPool }

export const targetOf = <R, E, K, A>(target: Layer.Layer<R, E> | ConnectionPool<K, A>): Target<R, E> =>
  TypeId in target ? { _tag: "Pool", pool: target[TypeId].registered } : { _tag: "Layer", layer: target }

/** An instance, for the module of a platform to run requests on. */
export interface Attached<R, E> {
  readonly instance: WarmInstance<R, E>
  readonly pools: InstancePools
  readonly close: () => Promise<void>
}

const layerOf = <R, E>(target: Target<R, E>): Layer.Layer<R, E> =>
  // Whoever attaches a pool has its effects provided already: `R` is `never` then.
  target._tag === "Layer" ? target.layer : (Layer.empty as Layer.Layer<never> as Layer.Layer<R>)

/** Ends a pool that is not part of a layer of ours, in the same time. */
const drainGiven = <R, E>(target: Target<R, E>, window: number): Effect.Effect<boolean> => {
  if (target._tag === "Layer") return Effect.succeed(true)
  const { drain, total } = shutdownBudget(window)
  return endsWithin(target.pool.drain(drain), Duration.millis(total))
}

export const attached = <R, E>(options: {
  readonly name: string
  readonly target: Target<R, E>
  readonly between: Between
  /** Milliseconds from SIGTERM until everything has to be closed. */
  readonly window: number
  /** Whether SIGTERM ends it. */
  readonly listens: boolean
}): Attached<R, E> => {
  const { between, name, target, window } = options
  const pools = new InstancePools()
  if (target._tag === "Pool") pools.add(target.pool)
  const instance = new WarmInstance({ layer: layerOf(target), between, context: Context.empty(), pools })
  const shutdown = Effect.gen(function*() {
    const ends = [Effect.map(instance.shutdown(window), (end) => end.isComplete), drainGiven(target, window)]
    const areComplete = yield* Effect.all(ends, { concurrency: "unbounded" })
    if (areComplete.every((isComplete) => isComplete)) return
    yield* Effect.logWarning(`${name}: after ${window} ms ${pools.connections} connections are open`)
  })
  if (options.listens) terminator().add({ shutdown, window })
  return { instance, pools, close: () => Effect.runPromise(shutdown) }
}

/** A variable of the environment, by which a platform makes itself known. */
export const isSet = (name: string): boolean => {
  // oxlint-disable-next-line effecttsgo/process-env
  const value = process.env[name]
  return value !== undefined && value !== ""
}
