/**
 * AWS Lambda: a handler whose connections are closed or kept between invocations, rechecked after a freeze, and closed before the
 * platform ends the process.
 *
 * @since 0.1.0
 * @stability stable
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { HolderId } from "../internal/HolderId.ts"
import { aboveZero, checkOptions } from "../internal/Options.ts"
import { attached } from "./internal/AttachedInstance.ts"
import { isOnLambda, register, type Registration } from "./internal/LambdaExtension.ts"
import { type Response, type ResponseStream, ResponseWriter } from "./internal/LambdaResponse.ts"
import { promiseOf } from "./internal/RequestPromise.ts"
import { withCauses } from "./internal/ShownError.ts"
import { invocationBudget } from "./internal/ShutdownBudget.ts"
import { terminator } from "./internal/Termination.ts"
import { type Between, betweenOf } from "./internal/WarmInstance.ts"
import { InvocationError } from "./InvocationError.ts"

export { InvalidOption } from "../internal/InvalidOption.ts"
export { type HttpHead, type Response, ResponseFailed, type ResponseStream } from "./internal/LambdaResponse.ts"
export type { Between } from "./internal/WarmInstance.ts"
export { InstanceClosing, InvocationError, type InvocationErrorReason, InvocationTimeout } from "./InvocationError.ts"

/**
 * Lambda's data about an invocation.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export interface LambdaContext {
  readonly awsRequestId: string
  readonly functionName: string
  readonly functionVersion: string
  readonly invokedFunctionArn: string
  readonly memoryLimitInMB: string
  readonly logGroupName: string
  readonly logStreamName: string
  /** Milliseconds until the platform's timeout. */
  readonly getRemainingTimeInMillis: () => number
}

/**
 * The options of a handler.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export interface Options<R, E> {
  /**
   * The services of the function. They are built for the first invocation; if that fails, they are built again for the next
   * one.
   */
  readonly layer: Layer.Layer<R, E>
  /**
   * How long before the platform's timeout an invocation is interrupted, so that its finalizers run and an answer is sent; 0 or
   * more. It is at most half of the remaining time. With 0, the platform ends the invocation.
   * @default 300 millis
   */
  readonly margin?: Duration.Input | undefined
  /** What happens to the connections between two invocations. @default "closeIdle" */
  readonly between?: Between | undefined
  /**
   * How long closing everything may take after SIGTERM; above 0. AWS gives 500 ms, or 300 ms if the function has an external
   * extension.
   * @default 300 millis
   */
  readonly shutdownWindow?: Duration.Input | undefined
  /**
   * Whether to register the internal extension. Without any extension, Lambda sends no SIGTERM, and nothing is closed at the
   * end.
   * @default true
   */
  readonly extension?: boolean | undefined
}

/**
 * The function that Lambda calls.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export interface Handler<in Event, out A> {
  (event: Event, context: LambdaContext): Promise<A>
  /** Closes everything, as SIGTERM does. For tests and other callers of the handler; Lambda does not need it. */
  readonly close: () => Promise<void>
}

/**
 * The function that Lambda calls for a streamed response.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export interface StreamingHandler<in Event> {
  (event: Event, stream: ResponseStream, context: LambdaContext): Promise<void>
  /** Closes everything, as that of {@link Handler}. */
  readonly close: () => Promise<void>
}

/**
 * A unique name of this instance for the servers that it connects to, such as for PostgreSQL's `application_name`. It is
 * generated on first use, so that a snapshot of an initialized function, from which many instances start, does not contain
 * one. Use it in `layer` or in `handle`, not while the module loads.
 *
 * @category references
 * @since 0.1.0
 * @stability stable
 */
export const holderId: Effect.Effect<string> = Effect.map(HolderId, (id) => id)

/** The milliseconds that the invocation has left, or the longest one of an instance. */
const Remaining = /*#__PURE__*/ Context.Reference<() => number>("effect-sluice/Serverless/Lambda/Remaining", {
  defaultValue: () => () => 0
})

/**
 * How much time the present invocation has until the platform's timeout. If the instance runs several at once, it is that of the one with
 * most time in what `layer` has made, such as in a pool that opens a connection, and the own time in `handle`. Without an invocation it is zero.
 *
 * **Example** (A permit that lasts until the end of the invocation, and 30 seconds longer)
 *
 * ```ts
 * import * as Lambda from "effect-sluice/Lambda"
 * import * as RedisBudget from "effect-sluice/RedisBudget"
 *
 * const Budget = RedisBudget.layer({
 *   key: "orders",
 *   connections: 50,
 *   invocation: Lambda.remaining,
 *   lease: "30 seconds"
 * })
 * ```
 *
 * @category references
 * @since 0.1.0
 * @stability experimental
 */
export const remaining: Effect.Effect<Duration.Duration> = /*#__PURE__*/ Effect.map(
  Remaining,
  (left) => Duration.millis(Math.max(left(), 0))
)

/**
 * Completes when the extension is registered, without which Lambda does not send SIGTERM. Wait for it at the top level of the
 * module, because an extension can be registered only until the module is loaded. A module that is bundled as CommonJS cannot
 * wait; see `effect-sluice/LambdaPreload`. It never fails, and does nothing outside of Lambda.
 *
 * **Example** (A module of a function)
 *
 * ```ts
 * import { Effect, Layer } from "effect"
 * import * as Lambda from "effect-sluice/Lambda"
 *
 * const handler = Lambda.handler({ layer: Layer.empty, handle: () => Effect.succeed("done") })
 *
 * await Lambda.ready()
 * ```
 *
 * @category constructors
 * @since 0.1.0
 * @stability stable
 */
export const ready = (): Promise<void> => Effect.runPromise(Effect.asVoid(register))

/** The options with every default filled in, in milliseconds. */
interface Settings {
  readonly margin: number
  readonly window: number
  readonly between: Between
}

const settingsOf = (options: Options<never, unknown>): Settings => {
  const check = checkOptions("Lambda")
  return {
    margin: check.millis("margin", options.margin ?? "300 millis", { min: 0 }),
    window: check.millis("shutdownWindow", options.shutdownWindow ?? "300 millis", aboveZero),
    between: betweenOf(check, options.between)
  }
}

/** Logs once, with the loggers of the function, why no SIGTERM will come. */
const warnOnce = (registration: Promise<Registration> | undefined): Effect.Effect<void> => {
  let pending = isOnLambda()
  return Effect.suspend(() => {
    if (!pending) return Effect.void
    pending = false
    if (!terminator().isConnected()) {
      return Effect.logWarning(
        "Lambda: SIGTERM does not reach this worker thread, so nothing will be closed at the end. " +
          "Set NODE_OPTIONS to \"--import effect-sluice/LambdaPreload\"."
      )
    }
    return registration === undefined ? Effect.void : Effect.flatMap(Effect.promise(() => registration), warnRefused)
  })
}

const warnRefused = (registration: Registration): Effect.Effect<void> =>
  registration._tag !== "Refused" ? Effect.void : Effect.logWarning(
    `Lambda: the extension was refused, so that nothing will be closed at the end: ${registration.why}. ` +
      "Registration ends when the module is loaded: wait for it with \"await Lambda.ready()\" at its top level."
  )

/**
 * Lambda shows the name, the message and the stack of an `Error`. So any other failure is wrapped in one, and the texts of its causes are
 * added to the message.
 */
const errorOf = (cause: Cause.Cause<unknown>): Error => {
  const error = Cause.squash(cause)
  if (error instanceof InvocationError) return error.reason
  if (error instanceof Error) return withCauses(error)
  const wrapped = new Error(typeof error === "string" ? error : Cause.pretty(cause), { cause: error })
  if (typeof error === "object" && error !== null && "_tag" in error) wrapped.name = String(error._tag)
  return wrapped
}

/** The instance of one handler, registered with the terminator. */
interface Host<R> {
  readonly run: <A, E2>(context: LambdaContext, effect: Effect.Effect<A, E2, R | Scope.Scope>) => Promise<A>
  readonly close: () => Promise<void>
}

const makeHost = <R, E>(options: Options<R, E>): Host<R> => {
  const { between, margin, window } = settingsOf(options)
  const running = new Set<() => number>()
  const longest = () => Math.max(0, ...[...running].map((left) => left()))
  const { close, instance } = attached({
    name: "Lambda",
    target: { _tag: "Layer", layer: Layer.provide(options.layer, Layer.succeed(Remaining, longest)) },
    between,
    window,
    listens: isOnLambda()
  })
  const warn = warnOnce(options.extension === false ? undefined : Effect.runPromise(register))
  return {
    run: (context, effect) => {
      const invocation = Effect.suspend(() => {
        // The runtimes up to Node 22 would wait until the event loop is empty, which an open connection prevents.
        if ("callbackWaitsForEmptyEventLoop" in context) context.callbackWaitsForEmptyEventLoop = false
        const remaining = context.getRemainingTimeInMillis()
        const left = () => context.getRemainingTimeInMillis()
        running.add(left)
        const own = Effect.provideService(Effect.andThen(warn, effect), Remaining, left)
        const end = Effect.sync(() => running.delete(left))
        return Effect.ensuring(instance.invoke(own, invocationBudget(remaining, margin), remaining), end)
      })
      return promiseOf(invocation, undefined, errorOf)
    },
    close
  }
}

/**
 * Makes the function that Lambda calls.
 *
 * **Details**
 *
 * - The layer is built once for a warm instance, at the first invocation. If the build fails, that invocation fails, and the next one
 *   builds the layer again.
 * - Each invocation has a new scope. `margin` before the platform's timeout it is interrupted, its finalizers run, and Lambda gets an
 *   `InvocationTimeout`. If the finalizers hang, the connections that the invocation has borrowed are closed.
 * - After an invocation idle connections are closed, because other instances may need the server's room for them. With `between: "keep"`
 *   they stay open for the next invocation.
 * - Connections that ended while the process was frozen are removed before an invocation can get them. The pools measure the age of
 *   connections with the clock that shows more time. If both clocks stopped, which follows from the deadlines of two invocations, no
 *   earlier connection is leased.
 * - At SIGTERM running invocations are interrupted, and everything is closed within `shutdownWindow`; then the process ends. Lambda sends
 *   SIGTERM only with a registered extension: wait for {@link ready}.
 * - If the failure is an `Error`, it is thrown unchanged, so that Lambda shows its name and message.
 *
 * It throws `InvalidOption` on invalid options.
 *
 * **Gotchas**
 *
 * With the native runtime client of Node 24, the process does not end by itself after SIGTERM, but by Lambda's SIGKILL. By then
 * everything is closed.
 *
 * **Example** (A function with a pool)
 *
 * ```ts
 * import { Effect, Layer } from "effect"
 * import * as ConnectionPool from "effect-sluice/ConnectionPool"
 * import * as Connector from "effect-sluice/Connector"
 * import * as Lambda from "effect-sluice/Lambda"
 * import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
 *
 * let opened = 0
 * const connector = Connector.make({
 *   open: (name: string) => Effect.acquireRelease(Effect.sync(() => `${name} ${++opened}`), () => Effect.void)
 * })
 *
 * class Databases extends ConnectionPool.Service<Databases>()("app/Databases", {
 *   connector,
 *   ...ConnectionPool.serverless
 * }) {}
 *
 * const handler = Lambda.handler({
 *   layer: Databases.layer.pipe(Layer.provide(ResourceMonitor.layer)),
 *   // The server has room for all instances of this function.
 *   between: "keep",
 *   handle: (event: { readonly database: string }) =>
 *     Databases.withConnection(event.database, (connection) => Effect.succeed(connection))
 * })
 *
 * // The calls of Lambda:
 * const context = { getRemainingTimeInMillis: () => 3000 } as Lambda.LambdaContext
 * const answers = [await handler({ database: "orders" }, context), await handler({ database: "orders" }, context)]
 * await handler.close()
 *
 * answers // => ["orders 1", "orders 1"]
 * ```
 *
 * @see {@link streamingHandler} for a response that is streamed
 * @category constructors
 * @since 0.1.0
 * @stability stable
 */
export const handler = <Event, A, E, R, E2>(
  options: Options<R, E2> & {
    readonly handle: (event: Event, context: LambdaContext) => Effect.Effect<A, E, NoInfer<R> | Scope.Scope>
  }
): Handler<Event, A> => {
  const { close, run } = makeHost(options)
  return Object.assign(
    (event: Event, context: LambdaContext) => run(context, Effect.suspend(() => options.handle(event, context))),
    { close }
  )
}

/** The property with which `awslambda.streamifyResponse` marks a handler that streams. */
const streaming = { [Symbol.for("aws.lambda.runtime.handler.streaming")]: "response" }

/**
 * Makes the function that Lambda calls for a response that is streamed. Everything else is as with {@link handler}.
 *
 * **Details**
 *
 * The response ends when the effect succeeds. When it fails after the response has begun, Lambda gets the failure and the
 * client's response is cut off.
 *
 * **Example** (Streaming a Stream)
 *
 * ```ts no-run
 * import { Layer, Stream } from "effect"
 * import * as Lambda from "effect-sluice/Lambda"
 *
 * export const handler = Lambda.streamingHandler({
 *   layer: Layer.empty,
 *   handle: (_event: unknown, response) => Stream.runForEach(Stream.make("one\n", "two\n"), (line) => response.write(line))
 * })
 *
 * await Lambda.ready()
 * ```
 *
 * @category constructors
 * @since 0.1.0
 * @stability stable
 */
export const streamingHandler = <Event, E, R, E2>(
  options: Options<R, E2> & {
    readonly handle: (
      event: Event,
      response: Response,
      context: LambdaContext
    ) => Effect.Effect<void, E, NoInfer<R> | Scope.Scope>
  }
): StreamingHandler<Event> => {
  const { close, run } = makeHost(options)
  return Object.assign(
    (event: Event, stream: ResponseStream, context: LambdaContext) => {
      const response = new ResponseWriter(stream)
      const handled = Effect.suspend(() => options.handle(event, response, context))
      return run(context, Effect.andThen(handled, response.end))
    },
    { close },
    streaming
  )
}
