/**
 * Services, jobs and functions on Cloud Run, which sends an instance SIGTERM and kills it 10 seconds later.
 *
 * @since 0.1.0
 * @stability experimental
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { aboveZero, checkOptions } from "../internal/Options.ts"
import type { ConnectionPool } from "../Pool/ConnectionPool.ts"
import { attached, type Attachment, isSet, targetOf } from "./internal/AttachedInstance.ts"
import { signalStatuses } from "./internal/MainExit.ts"
import { MainProgram } from "./internal/MainProgram.ts"
import { promiseOf } from "./internal/RequestPromise.ts"
import { invocationBudget } from "./internal/ShutdownBudget.ts"
import { type Between, betweenOf } from "./internal/WarmInstance.ts"

export { InvalidOption } from "../internal/InvalidOption.ts"
export type { Attachment } from "./internal/AttachedInstance.ts"
export type { RunOptions } from "./internal/RequestPromise.ts"
export type { Between } from "./internal/WarmInstance.ts"
export { InstanceClosing, InvocationError, type InvocationErrorReason, InvocationTimeout } from "./InvocationError.ts"

/**
 * The options of a service or a job.
 *
 * @category models
 * @since 0.1.0
 * @stability experimental
 */
export interface Options {
  /**
   * How long closing everything may take after SIGTERM, or after the program has ended by itself; above 0. @default 9 seconds
   */
  readonly shutdownWindow?: Duration.Input | undefined
}

/**
 * The options of the instance of a function.
 *
 * @category models
 * @since 0.1.0
 * @stability experimental
 */
export interface AttachOptions extends Options {
  /** The request timeout that is set for the service; above 0. @default 300 seconds */
  readonly timeout?: Duration.Input | undefined
  /** How long before `timeout` a request is interrupted, so that an answer can still be sent; 0 or more. @default 1 second */
  readonly margin?: Duration.Input | undefined
  /** What happens to the connections between two requests. @default "closeIdle" */
  readonly between?: Between | undefined
}

const check = checkOptions("CloudRun")

const windowOf = (options: Options): number =>
  check.millis("shutdownWindow", options.shutdownWindow ?? "9 seconds", aboveZero)

const start = <A, E, R, E2>(
  program: Effect.Effect<A, E, R | Scope.Scope>,
  layer: Layer.Layer<R, E2>,
  options: Options,
  logsEnd: boolean
): void =>
  new MainProgram(program, layer, {
    window: windowOf(options),
    // The platform ends every instance at some time, so ending at SIGTERM is no failure.
    statuses: { ...signalStatuses, SIGTERM: 0 },
    isSilent: false,
    logsEnd
  }).start()

/**
 * Runs a layer as a service: a server that listens on `PORT`, and its services. At SIGTERM everything is closed within
 * `shutdownWindow`, and the process ends with status 0, or with 1 if something was left open. Everything else is as with
 * `Main.launch`.
 *
 * **Gotchas**
 *
 * - A finalizer of an HTTP server may wait for its open requests, for 2.5 seconds less than `shutdownWindow`: 6.5 seconds by default.
 *   Then the connections of its requests are destroyed. Each response after SIGTERM is the last one of its connection.
 * - With request-based billing, an instance gets hardly any CPU between two requests, so a dead connection is noticed only at the next
 *   request. With `checkAfterIdle` and a connector that has a `check`, it is noticed before it is leased.
 * - This was not tested on Cloud Run itself; it follows the documentation.
 *
 * **Example** (A service)
 *
 * ```ts no-run
 * import { Effect, Layer } from "effect"
 * import * as CloudRun from "effect-sluice/CloudRun"
 * import { createServer } from "node:http"
 *
 * CloudRun.launch(Layer.effectDiscard(Effect.acquireRelease(
 *   Effect.sync(() => createServer((_, response) => response.end("hello")).listen(process.env["PORT"] ?? 8080)),
 *   (server) => Effect.callback<void>((resume) => void server.close(() => resume(Effect.void)))
 * )))
 * ```
 *
 * @see {@link run} for a job
 * @category constructors
 * @since 0.1.0
 * @stability experimental
 */
export const launch = <R, E>(layer: Layer.Layer<R, E>, options: Options = {}): void =>
  start(Effect.never, layer, options, true)

/**
 * Runs an effect as a job. It ends as described for `Main.run`, but with status 0 after SIGTERM.
 *
 * @see {@link launch} for a service
 * @category constructors
 * @since 0.1.0
 * @stability experimental
 */
export const run = <A, E, R, E2>(
  program: Effect.Effect<A, E, R | Scope.Scope>,
  options: Options & { readonly layer: Layer.Layer<R, E2> }
): void => start(program, options.layer, options, false)

/**
 * Manages the connections of a function that a framework calls, such as the Functions Framework. It takes a layer with pools,
 * which it builds for the first request, or a pool that you have made. Call it once, at the top level of the module.
 *
 * **Details**
 *
 * - A request is interrupted `margin` before `timeout`, its finalizers run, and it fails with `InvocationTimeout`.
 * - Connections that ended while the instance had no CPU are removed before a request can get them.
 * - At SIGTERM running requests are interrupted, and everything is closed within `shutdownWindow`. Then the process ends, unless SIGTERM
 *   has another listener.
 *
 * It throws `InvalidOption` on invalid options.
 *
 * **Example** (A function)
 *
 * ```ts
 * import { Effect, Layer } from "effect"
 * import * as CloudRun from "effect-sluice/CloudRun"
 *
 * const instance = CloudRun.attach(Layer.empty)
 *
 * // The function that the framework calls.
 * const hello = (_: unknown, response: { send: (text: string) => void }) =>
 *   instance.run(Effect.succeed("hello")).then((text) => response.send(text))
 *
 * let sent = ""
 * await hello({}, { send: (text) => sent = text })
 *
 * sent // => "hello"
 * ```
 *
 * @category constructors
 * @since 0.1.0
 * @stability experimental
 */
export const attach: {
  <R, E>(layer: Layer.Layer<R, E>, options?: AttachOptions): Attachment<R>
  <K, A>(pool: ConnectionPool<K, A>, options?: AttachOptions): Attachment<never>
} = <R, E, K, A>(
  target: Layer.Layer<R, E> | ConnectionPool<K, A>,
  options: AttachOptions | undefined
): Attachment<R> => {
  const timeout = check.millis("timeout", options?.timeout ?? "300 seconds", aboveZero)
  const margin = check.millis("margin", options?.margin ?? "1 second", { min: 0 })
  const { close, instance } = attached({
    name: "CloudRun",
    target: targetOf(target),
    between: betweenOf(check, options?.between),
    window: windowOf(options ?? {}),
    listens: isSet("K_SERVICE")
  })
  return {
    run: (effect, runOptions) => promiseOf(instance.invoke(effect, invocationBudget(timeout, margin)), runOptions),
    close
  }
}
