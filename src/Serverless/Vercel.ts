/**
 * Functions on Vercel, whose instances serve many requests, are frozen between requests, and end after SIGTERM.
 *
 * @since 0.1.0
 * @stability experimental
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import { monotonicMillis } from "../internal/MonotonicTime.ts"
import { aboveZero, checkOptions } from "../internal/Options.ts"
import { report } from "../internal/UnhandledLog.ts"
import type { ConnectionPool } from "../Pool/ConnectionPool.ts"
import { attached, type Attachment, isSet, targetOf } from "./internal/AttachedInstance.ts"
import { IdleHold } from "./internal/IdleHold.ts"
import type { InstancePools } from "./internal/InstancePools.ts"
import { promiseOf } from "./internal/RequestPromise.ts"
import { invocationBudget } from "./internal/ShutdownBudget.ts"
import { type Between, betweenOf } from "./internal/WarmInstance.ts"

export { InvalidOption } from "../internal/InvalidOption.ts"
export type { Attachment } from "./internal/AttachedInstance.ts"
export type { RunOptions } from "./internal/RequestPromise.ts"
export type { Between } from "./internal/WarmInstance.ts"
export { InstanceClosing, InvocationError, type InvocationErrorReason, InvocationTimeout } from "./InvocationError.ts"

/**
 * Keeps an instance awake until a promise is settled.
 *
 * @category models
 * @since 0.1.0
 * @stability experimental
 */
export type WaitUntil = (promise: Promise<unknown>) => void

/**
 * The options of an instance.
 *
 * @category models
 * @since 0.1.0
 * @stability experimental
 */
export interface Options {
  /**
   * The `maxDuration` that is set for the function: the most time for a request, and for holding the instance after it; above
   * 0. If the platform gives an earlier deadline, that counts. @default 300 seconds
   */
  readonly maxDuration?: Duration.Input | undefined
  /**
   * How long before `maxDuration` a request is interrupted and idle connections are closed, so that an answer can be sent and
   * nothing is left open; 0 or more. @default 1 second
   */
  readonly margin?: Duration.Input | undefined
  /** What happens to the connections when no request of the instance runs. @default "closeIdle" */
  readonly between?: Between | undefined
  /** How long closing everything may take after SIGTERM; above 0. @default 400 millis */
  readonly shutdownWindow?: Duration.Input | undefined
  /** Keeps the instance awake. @default the platform's function for the request, if there is one */
  readonly waitUntil?: WaitUntil | undefined
}

/** The platform's context of a request, as `getContext` of `@vercel/functions` 3.9.9 reads it. */
interface RequestContext {
  readonly waitUntil?: WaitUntil | undefined
  /** The deadline of the request. */
  readonly deadline?: string | number | undefined
}

const key = Symbol.for("@vercel/request-context")
const platform: { readonly [key]?: { readonly get?: () => RequestContext | undefined } } & object = globalThis

const requestContext = (): RequestContext => platform[key]?.get?.() ?? {}

/** Milliseconds until the platform's deadline; `Infinity` without a valid one. */
const remainingOf = ({ deadline }: RequestContext, now: number): number => {
  const end = typeof deadline === "string" ? Date.parse(deadline) : deadline
  return end === undefined || Number.isNaN(end) ? Infinity : Math.max(end - now, 0)
}

/** The options with every default filled in, in milliseconds. */
const settingsOf = (options: Options) => {
  const check = checkOptions("Vercel")
  const { millis } = check
  return {
    between: betweenOf(check, options.between),
    maxDuration: millis("maxDuration", options.maxDuration ?? "300 seconds", aboveZero),
    margin: millis("margin", options.margin ?? "1 second", { min: 0 }),
    window: millis("shutdownWindow", options.shutdownWindow ?? "400 millis", aboveZero)
  }
}

const clock = Context.get(Context.empty(), Clock.Clock)

/**
 * Manages the connections of an instance. It takes a layer with pools, which it builds for the first request, or a pool that
 * you have made. Call it once, at the top level of the module.
 *
 * **Details**
 *
 * - After the last request of an instance its idle connections are closed, because other instances may need the server's room for them.
 * - With `between: "keep"` they stay open for the next request. Vercel freezes an instance without requests, and a frozen instance closes
 *   nothing. So after each request, `waitUntil` keeps the instance awake until the pools have closed the connections that were idle for their `idleTimeout`. With several requests, the last one
 *   keeps it awake.
 * - No request keeps the instance awake for longer than the request's own time limit: `margin` before that, idle connections are closed.
 * - At SIGTERM running requests are interrupted, and everything is closed within `shutdownWindow`.
 * - If the layer cannot be built, that request fails, and the next one builds the layer again.
 *
 * It throws `InvalidOption` on invalid options.
 *
 * **Gotchas**
 *
 * - With `between: "keep"`, the time during which the instance is kept awake may be billed. A short `idleTimeout`, such as 5 seconds, keeps it short. With
 *   `minPerEndpoint` above 0, some connections are never closed, so each request keeps the instance awake until its deadline.
 * - With a pool that you have made, only effects in `run` have a time limit and keep the instance awake.
 * - Without a `waitUntil`, the instance is not kept awake. On Vercel this is logged once.
 * - A route that the build tool of Vercel has built was tested, and not on Vercel itself; it follows the documentation and
 *   `@vercel/functions`.
 *
 * **Example** (A route with a pool)
 *
 * ```ts
 * import { Effect, Layer } from "effect"
 * import * as ConnectionPool from "effect-sluice/ConnectionPool"
 * import * as Connector from "effect-sluice/Connector"
 * import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
 * import * as Vercel from "effect-sluice/Vercel"
 *
 * const connector = Connector.make({
 *   open: (name: string) => Effect.acquireRelease(Effect.succeed(`connection to ${name}`), () => Effect.void)
 * })
 *
 * class Databases extends ConnectionPool.Service<Databases>()("app/Databases", {
 *   connector,
 *   ...ConnectionPool.serverless,
 *   idleTimeout: "20 millis"
 * }) {}
 *
 * const held: Array<Promise<unknown>> = []
 * const instance = Vercel.attach(Databases.layer.pipe(Layer.provide(ResourceMonitor.layer)), {
 *   between: "keep",
 *   // On Vercel this is not needed.
 *   waitUntil: (promise) => held.push(promise)
 * })
 *
 * const GET = () => instance.run(Databases.withConnection("orders", (connection) => Effect.succeed(connection)))
 *
 * const answer = await GET()
 * await Promise.all(held)
 * await instance.close()
 *
 * answer // => "connection to orders"
 * ```
 *
 * @category constructors
 * @since 0.1.0
 * @stability experimental
 */
export const attach: {
  <R, E>(layer: Layer.Layer<R, E>, options?: Options): Attachment<R>
  <K, A>(pool: ConnectionPool<K, A>, options?: Options): Attachment<never>
} = <R, E, K, A>(target: Layer.Layer<R, E> | ConnectionPool<K, A>, options: Options | undefined): Attachment<R> => {
  const { between, margin, maxDuration, window } = settingsOf(options ?? {})
  const isOnVercel = isSet("VERCEL")
  const { close, instance, pools } = attached({
    name: "Vercel",
    target: targetOf(target),
    between,
    window,
    listens: isOnVercel
  })
  const idleHold = new IdleHold()
  let warns = isOnVercel
  const unheld = Effect.suspend(() => {
    if (!warns) return Effect.void
    warns = false
    return Effect.logWarning(
      "Vercel: there is no waitUntil, so idle connections are not closed before the instance stops"
    )
  })
  return {
    // The platform's context belongs to the request, and can be read only in this call.
    run: (effect, runOptions) => {
      const context = requestContext()
      const waitUntil = options?.waitUntil ?? context.waitUntil?.bind(context)
      const remaining = Math.min(maxDuration, remainingOf(context, clock.currentTimeMillisUnsafe()))
      const budget = invocationBudget(remaining, margin)
      const end = monotonicMillis(clock) + budget.run
      const hold = Effect.suspend(() =>
        waitUntil === undefined
          ? unheld
          : holdAll({ pools, idleHold, waitUntil, millis: end - monotonicMillis(clock), grace: remaining - budget.run })
      )
      return promiseOf(Effect.onExit(instance.invoke(effect, budget), () => hold), runOptions)
    },
    close
  }
}

const holdAll = (options: {
  readonly pools: InstancePools
  readonly idleHold: IdleHold
  readonly waitUntil: WaitUntil
  readonly millis: number
  readonly grace: number
}): Effect.Effect<void> =>
  Effect.sync(() => {
    for (const pool of options.pools.all) {
      if (pool.staysOpen !== true && pool.core.stats().total > 0) {
        options.waitUntil(Effect.runPromise(options.idleHold.hold(pool, options)))
      }
    }
  }).pipe(
    // This failure must not replace the answer of the request.
    Effect.catchCause((cause) =>
      report("Vercel: waitUntil failed, so idle connections may be open when the instance stops", cause)
    )
  )
