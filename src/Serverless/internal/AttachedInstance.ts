/**
 * An instance whose requests come from the platform or a framework, and that closes when the platform ends it.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { endsWithin } from "../../internal/Timeout.ts"
import type { ConnectionPool } from "../../Pool/ConnectionPool.ts"
import { type RegisteredPool, TypeId } from "../../Pool/PoolRegistry.ts"
import { InstancePools } from "./InstancePools.ts"
import type { RunOptions } from "./RequestPromise.ts"
import { shutdownBudget } from "./ShutdownBudget.ts"
import { terminator } from "./Termination.ts"
import { type Between, WarmInstance } from "./WarmInstance.ts"

/**
 * Runs the requests of one instance.
 *
 * @category models
 * @since 0.1.0
 * @stability experimental
 */
export interface Attachment<in R> {
  /**
   * Runs the effect of one request, in a new scope. An abort of `signal` interrupts it. The promise is rejected with its
   * failure, which is an `InvocationError` if the request ran out of time or the instance is closing.
   */
  readonly run: <A, E>(effect: Effect.Effect<A, E, R | Scope.Scope>, options?: RunOptions) => Promise<A>
  /** Closes everything, as SIGTERM does. For tests; the platform does not need it. */
  readonly close: () => Promise<void>
}

/** The pools of an instance: those of a layer that it builds, or one pool that the caller has made. */
export type Target<R, E> =
  | { readonly _tag: "Layer"; readonly layer: Layer.Layer<R, E> }
  | { readonly _tag: "Pool"; readonly pool: RegisteredPool }

export const targetOf = <R, E, K, A>(target: Layer.Layer<R, E> | ConnectionPool<K, A>): Target<R, E> =>
  TypeId in target ? { _tag: "Pool", pool: target[TypeId].registered } : { _tag: "Layer", layer: target }

/** An instance, as the modules of the platforms use it. */
export interface Attached<R, E> {
  readonly instance: WarmInstance<R, E>
  readonly pools: InstancePools
  readonly close: () => Promise<void>
}

const layerOf = <R, E>(target: Target<R, E>): Layer.Layer<R, E> =>
  // With a pool, `R` is `never`: its effects have their services already.
  target._tag === "Layer" ? target.layer : (Layer.empty as Layer.Layer<never> as Layer.Layer<R>)

/** Drains a pool that the caller has made, within the same time. */
const drainGiven = <R, E>(target: Target<R, E>, window: number): Effect.Effect<boolean> => {
  if (target._tag === "Layer") return Effect.succeed(true)
  const { drain, total } = shutdownBudget(window)
  return endsWithin(target.pool.drain(drain), Duration.millis(total))
}

export const attached = <R, E>(options: {
  readonly name: string
  readonly target: Target<R, E>
  readonly between: Between
  /** Milliseconds from SIGTERM until everything must be closed. */
  readonly window: number
  /** Whether SIGTERM closes it. */
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
    const open = `${pools.connections} connections are open`
    yield* Effect.logWarning(`${name}: after ${window} ms not everything is closed; ${open}`)
  })
  if (options.listens) terminator().add({ shutdown, window: shutdownBudget(window).total })
  return { instance, pools, close: () => Effect.runPromise(shutdown) }
}

/** Whether an environment variable that identifies a platform is set. */
export const isSet = (name: string): boolean => {
  // The platform sets this variable. It is no option of the program.
  // oxlint-disable-next-line effecttsgo/process-env
  const value = process.env[name]
  return value !== undefined && value !== ""
}
