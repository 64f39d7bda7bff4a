/**
 * Platforms on which a socket belongs to the request that opened it, such as Cloudflare Workers.
 *
 * @since 0.1.0
 * @stability experimental
 */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { loopTurns } from "../internal/LoopTurns.ts"
import { aboveZero, checkOptions } from "../internal/Options.ts"
import { report } from "../internal/UnhandledLog.ts"
import { promiseOf } from "./internal/RequestPromise.ts"
import { WarmInstance } from "./internal/WarmInstance.ts"

export { InvalidOption } from "../internal/InvalidOption.ts"
export { InstanceClosing, InvocationError, type InvocationErrorReason, InvocationTimeout } from "./InvocationError.ts"

/**
 * The part of a request that this module uses.
 *
 * @category models
 * @since 0.1.0
 * @stability experimental
 */
export interface EdgeRequest {
  /** It is aborted when the client disconnects, which interrupts the request. */
  readonly signal?: AbortSignal | undefined
}

/**
 * The platform's context of a request.
 *
 * @category models
 * @since 0.1.0
 * @stability experimental
 */
export interface EdgeContext {
  /** Keeps the request open after its answer until the promise is settled. */
  readonly waitUntil?: ((promise: Promise<unknown>) => void) | undefined
}

/**
 * The options of a handler.
 *
 * @category models
 * @since 0.1.0
 * @stability experimental
 */
export interface Options<Env, R, E> {
  /**
   * The services of one request, which are built for it and closed after it. They may depend on the platform's bindings
   * (`env`).
   */
  readonly layer: Layer.Layer<R, E> | ((env: Env) => Layer.Layer<R, E>)
  /** A request that takes longer is interrupted; above 0. @default 30 seconds */
  readonly timeout?: Duration.Input | undefined
  /** How long closing everything may take after a request; above 0. @default 1 second */
  readonly closeWindow?: Duration.Input | undefined
}

/**
 * The function that the platform calls.
 *
 * @category models
 * @since 0.1.0
 * @stability experimental
 */
export type Handler<in Request, in Env, out A> = (request: Request, env?: Env, context?: EdgeContext) => Promise<A>

/**
 * Makes a function that builds its services for each request, and closes them after it. So no socket outlives the request that
 * opened it, and no other request uses it.
 *
 * **Details**
 *
 * - After the effect and its finalizers, the layer is closed within `closeWindow`, also after a failure. If the context has a `waitUntil`,
 *   the answer does not wait for that; otherwise it does.
 * - A request that takes longer than `timeout` fails with `InvocationTimeout`. When the client disconnects, it is interrupted.
 * - The promise is rejected with its failure.
 *
 * It throws `InvalidOption` on invalid options.
 *
 * **Gotchas**
 *
 * - If the body of the answer still reads from a connection when the effect ends, it is cut off. So read everything before the effect ends.
 * - Cloudflare allows 6 connections at once for a request: keep `maxTotal` at that or below.
 * - `TcpConnection` needs `node:net`, which Workers have with the flag `nodejs_compat`. A worker built by wrangler was
 *   tested in workerd, the runtime of Workers, and not on Cloudflare itself.
 *
 * **Example** (A worker)
 *
 * ```ts
 * import { Effect, Layer } from "effect"
 * import * as ConnectionPool from "effect-sluice/ConnectionPool"
 * import * as Connector from "effect-sluice/Connector"
 * import * as Edge from "effect-sluice/Edge"
 * import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
 *
 * const seen: Array<string> = []
 * const connector = Connector.make({
 *   open: (name: string) =>
 *     Effect.acquireRelease(Effect.sync(() => seen.push(`open ${name}`)), () => Effect.sync(() => seen.push("close")))
 * })
 *
 * class Databases extends ConnectionPool.Service<Databases>()("app/Databases", {
 *   connector,
 *   ...ConnectionPool.serverless
 * }) {}
 *
 * const worker = {
 *   fetch: Edge.handler({
 *     layer: Databases.layer.pipe(Layer.provide(ResourceMonitor.layerUnlimited)),
 *     handle: (_request: Request) => Databases.withConnection("orders", () => Effect.succeed(new Response("two orders")))
 *   })
 * }
 *
 * // The calls of the platform:
 * for (const path of ["first", "second"]) await worker.fetch(new Request(`http://localhost/${path}`))
 *
 * seen // => ["open orders", "close", "open orders", "close"]
 * ```
 *
 * @category constructors
 * @since 0.1.0
 * @stability experimental
 */
export const handler = <A, E, R, E2, Request extends EdgeRequest = EdgeRequest, Env = unknown>(
  options: Options<Env, R, E2> & {
    readonly handle: (request: Request, env: Env, context: EdgeContext) => Effect.Effect<A, E, NoInfer<R> | Scope.Scope>
  }
): Handler<Request, Env, A> => {
  const check = checkOptions("Edge")
  const window = check.millis("closeWindow", options.closeWindow ?? "1 second", aboveZero)
  const timeout = check.millis("timeout", options.timeout ?? "30 seconds", aboveZero)
  // The finalizers of the request get half of the window, and the layer the rest.
  const budget = { run: timeout, finalize: window * 0.5, force: window * 0.1, total: timeout + window }
  const { handle, layer } = options
  return (request, env, context = {}) => {
    // A platform without bindings passes no `env`, and then `handle` does not use it.
    const bound = env as Env
    loopTurns.restart()
    const instance = new WarmInstance({
      // What the function throws becomes a failure of the request.
      layer: typeof layer === "function" ? Layer.suspend(() => layer(bound)) : layer,
      between: "keep",
      context: Context.empty()
    })
    const invocation = instance.invoke(Effect.suspend(() => handle(request, bound, context)), budget)
    const close = closing(instance, window)
    const end = context.waitUntil === undefined
      ? close
      : Effect.catchCause(
        Effect.sync(() => context.waitUntil?.(Effect.runPromise(close))),
        // This failure must not replace the answer of the request.
        (cause) => report("Edge: waitUntil failed, so the request does not wait for its connections to close", cause)
      )
    return promiseOf(Effect.onExit(invocation, () => end), request)
  }
}

const closing = <R, E>(instance: WarmInstance<R, E>, window: number): Effect.Effect<void> =>
  Effect.flatMap(instance.shutdown(window), ({ connections, isComplete }) =>
    isComplete
      ? Effect.void
      : Effect.logWarning(`Edge: after ${window} ms ${connections} connections of the request are open`))
