/**
 * Runs the program of a process, and closes everything when it ends, for whatever reason.
 *
 * @since 0.1.0
 * @stability stable
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { aboveZero, checkOptions } from "../internal/Options.ts"
import { signalStatuses } from "./internal/MainExit.ts"
import { MainProgram } from "./internal/MainProgram.ts"

export { InvalidOption } from "../internal/InvalidOption.ts"

/**
 * The options of a program.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export interface Options {
  /**
   * How long closing everything may take after the program ends for any reason; above 0. The process ends by then even if
   * something hangs. @default 5 seconds for `run`, and 25 seconds for `launch`, because Kubernetes gives 30
   */
  readonly cleanupTimeout?: Duration.Input | undefined
  /** Do not print the program's failure on stderr. What was left open is still printed. @default false */
  readonly disableErrorReporting?: boolean | undefined
}

/**
 * The options of a program with services.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export interface LayerOptions<R, E> extends Options {
  /** The services of the program, closed when it ends. */
  readonly layer: Layer.Layer<R, E>
}

interface AnyOptions<R, E> extends Options {
  readonly layer?: Layer.Layer<R, E> | undefined
}

const start = <A, E, R, E2>(
  program: Effect.Effect<A, E, R | Scope.Scope>,
  layer: Layer.Layer<R, E2>,
  options: Options,
  { cleanupTimeout, logsEnd }: { readonly cleanupTimeout: Duration.Input; readonly logsEnd: boolean }
): void => {
  const check = checkOptions("Main")
  new MainProgram(program, layer, {
    window: check.millis("cleanupTimeout", options.cleanupTimeout ?? cleanupTimeout, aboveZero),
    statuses: signalStatuses,
    isSilent: options.disableErrorReporting === true,
    logsEnd
  }).start()
}

/**
 * Runs an effect as the program of this process. Call it once, in the main thread: a second call and a call in a worker thread throw.
 *
 * **Details**
 *
 * The first event of the list below ends the program: running fibers are interrupted, and everything is closed in the order of
 * its dependencies. Requests that are under way in HTTP servers may finish meanwhile, and their pools stay open for them. Each
 * response is the last one of its connection, and no connection is closed while its server listens. Before the end of `cleanupTimeout` (half of it, at most 2.5 seconds), all pools and
 * scopes that are still open are closed at the same time. After the whole `cleanupTimeout` the process ends, and stderr lists what was
 * left open. The exit status is
 *
 * - 0 when the program succeeds, or the `process.exitCode` that it has set;
 * - 1 when it fails or dies, or the `Runtime.errorExitCode` of its error, and 130 when it interrupts itself;
 * - 129 after SIGHUP, unless your code listens for it, 130 after SIGINT, and 143 after SIGTERM;
 * - 1 after an uncaught exception or an unhandled rejection;
 * - 13, as with Node itself, when the program waits although the event loop is empty, so that nothing can resume it;
 * - 1 instead of 0 when something was left open, or a finalizer died.
 *
 * After a second signal, closing may take another tenth of a second; a third one ends the process at once. Signals within a
 * tenth of a second count as one, because a terminal sends them to several processes, of which npm forwards them again.
 *
 * It throws `InvalidOption` on invalid options.
 *
 * **Gotchas**
 *
 * - Pass the layers as `layer`. If the effect provides them itself, the end of its work and the end of its cleanup cannot be distinguished,
 *   so `cleanupTimeout` begins only with a signal.
 * - `process.exit` in your code, and SIGKILL, leave no time to close anything. After `process.exit`, stderr lists what was open.
 * - After success, the process ends only when nothing keeps its event loop alive.
 * - A loop that blocks the thread blocks every signal but SIGKILL.
 *
 * **Example** (A program that borrows once)
 *
 * ```ts no-run
 * import { Console, Layer } from "effect"
 * import * as ConnectionPool from "effect-sluice/ConnectionPool"
 * import * as Endpoint from "effect-sluice/Endpoint"
 * import * as Main from "effect-sluice/Main"
 * import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
 * import * as TcpConnection from "effect-sluice/TcpConnection"
 *
 * class Agents extends ConnectionPool.Service<Agents>()("app/Agents", { connector: TcpConnection.connector() }) {}
 *
 * const program = Agents.withConnection(
 *   Endpoint.tcp("127.0.0.1", 9500),
 *   (connection) => connection.write("hello\n")
 * )
 *
 * Main.run(program, {
 *   layer: Agents.layer.pipe(Layer.provide(ResourceMonitor.layer)),
 *   cleanupTimeout: "10 seconds"
 * })
 * ```
 *
 * @see {@link launch} for a program that consists of its services
 * @category constructors
 * @since 0.1.0
 * @stability stable
 */
export const run: {
  <A, E, R, E2>(program: Effect.Effect<A, E, R | Scope.Scope>, options: LayerOptions<R, E2>): void
  <A, E>(program: Effect.Effect<A, E, Scope.Scope>, options?: Options): void
} = <A, E, R, E2>(program: Effect.Effect<A, E, R | Scope.Scope>, options?: AnyOptions<R, E2>): void =>
  // By the overloads, a program without a layer has no requirements.
  start(program, options?.layer ?? (Layer.empty as Layer.Layer<never> as Layer.Layer<R>), options ?? {}, {
    cleanupTimeout: "5 seconds",
    logsEnd: false
  })

/**
 * Runs a layer as the program of this process until something ends it: a server and its services. Requests that are under way when a
 * signal comes may finish, for 22.5 seconds by default.
 *
 * With `Operations.layer` in it, the begin and the end of its end are logged at level Info, with the loggers of that layer: what ends the
 * program, how many requests and leases are under way, and how long the end may take. {@link run} logs neither, because a command may
 * print data where its loggers write.
 *
 * **Example** (A server)
 *
 * ```ts no-run
 * import { Effect, Layer } from "effect"
 * import * as Main from "effect-sluice/Main"
 * import { createServer } from "node:http"
 *
 * const server = Layer.effectDiscard(Effect.acquireRelease(
 *   Effect.sync(() => createServer((_, response) => response.end("hello")).listen(8080)),
 *   (server) => Effect.callback<void>((resume) => void server.close(() => resume(Effect.void)))
 * ))
 *
 * Main.launch(server)
 * ```
 *
 * @see {@link run} for statuses and deadlines
 * @category constructors
 * @since 0.1.0
 * @stability stable
 */
export const launch = <R, E>(layer: Layer.Layer<R, E>, options: Options = {}): void =>
  start(Effect.never, layer, options, { cleanupTimeout: "25 seconds", logsEnd: true })
