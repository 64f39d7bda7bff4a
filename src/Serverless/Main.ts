/**
 * A program that is the whole of its process, and closes everything however it ends.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { checkOptions } from "../internal/Options.ts"
import { signalStatuses } from "./internal/MainExit.ts"
import { MainProgram } from "./internal/MainProgram.ts"

export { InvalidOption } from "../internal/InvalidOption.ts"

/**
 * How a program runs and ends.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /**
   * How long closing everything may take once the program ends, for whatever reason; above 0. The process ends by then even
   * if something hangs. @default 5 seconds
   */
  readonly cleanupTimeout?: Duration.Input | undefined
  /** Say nothing about the program's failure on stderr; what was left open is said all the same. @default false */
  readonly disableErrorReporting?: boolean | undefined
}

/**
 * How a program with services runs and ends.
 *
 * @category models
 * @since 0.1.0
 */
export interface LayerOptions<R, E> extends Options {
  /** The services of the program. They are closed when it ends. */
  readonly layer: Layer.Layer<R, E>
}

interface AnyOptions<R, E> extends Options {
  readonly layer?: Layer.Layer<R, E> | undefined
}

const start = <A, E, R, E2>(
  program: Effect.Effect<A, E, R | Scope.Scope>,
  layer: Layer.Layer<R, E2>,
  options: Options
): void => {
  const check = checkOptions("Main")
  const window = check.duration("cleanupTimeout", options.cleanupTimeout ?? "5 seconds", { min: 0, exclusive: true })
  new MainProgram(program, layer, {
    window: Duration.toMillis(window),
    statuses: signalStatuses,
    isSilent: options.disableErrorReporting === true
  }).start()
}

/**
 * Runs an effect as the program of this process. Call it once, in the main thread.
 *
 * **Details**
 *
 * Whatever comes first ends the program: what still runs is interrupted, and everything is closed in the order in which it
 * depends on each other. After half of `cleanupTimeout`, all pools close at once, whatever holds them up, and so does the
 * rest of what no finalizer that hangs is in front of; after the whole of it, the process ends, and stderr has what was left
 * open. The exit status is
 *
 * - 0 when the program succeeds, or what it has set as `process.exitCode`;
 * - 1 when it fails or dies, or what its error has as `Runtime.errorExitCode`, and 130 when it interrupts itself;
 * - 130 after SIGINT and 143 after SIGTERM;
 * - 1 after an exception that nobody catches, and after a rejection that nobody handles;
 * - 13, as Node has it, when the program waits and the event loop is empty: nothing could ever wake it;
 * - 1 in place of 0 when something was left open, or a finalizer died.
 *
 * A second signal gives what is still open a tenth of a second, and a third one nothing. Two signals within a tenth of a
 * second are one: a terminal signals a whole job, and npm passes on to its child what it gets.
 *
 * It throws `InvalidOption` on options that make no sense.
 *
 * **Gotchas**
 *
 * - Of an effect that provides its layers itself, nobody can tell the end of the work from that of the cleanup, so that the
 *   deadline begins only with a signal. Give the layers as `layer`.
 * - `process.exit` in your code, and SIGKILL, leave no time for anything. Of `process.exit` stderr says what was open.
 * - After success the process ends when nothing keeps it alive, as any other does.
 * - A loop that never lets go of the thread keeps it from every signal but SIGKILL.
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
 * @see {@link launch} for a program that is nothing but its services
 * @category constructors
 * @since 0.1.0
 */
export const run: {
  <A, E, R, E2>(program: Effect.Effect<A, E, R | Scope.Scope>, options: LayerOptions<R, E2>): void
  <A, E>(program: Effect.Effect<A, E, Scope.Scope>, options?: Options): void
} = <A, E, R, E2>(program: Effect.Effect<A, E, R | Scope.Scope>, options?: AnyOptions<R, E2>): void =>
  // Without a layer there are no requirements, which the signatures see to.
  start(program, options?.layer ?? (Layer.empty as Layer.Layer<never> as Layer.Layer<R>), options ?? {})

/**
 * Runs a layer as the program of this process until something ends it: a server, and what it needs.
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
 */
export const launch = <R, E>(layer: Layer.Layer<R, E>, options: Options = {}): void =>
  start(Effect.never, layer, options)
