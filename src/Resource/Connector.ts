/**
 * Defines a kind of connection for a pool: how it opens, how it is checked, and how its end is noticed.
 *
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import type * as Scope from "effect/Scope"
import { connectorOf } from "./internal/PromiseConnector.ts"
import type { ClientError, PromiseClient } from "./PromiseClient.ts"

export { ClientError, type PromiseClient } from "./PromiseClient.ts"

/**
 * Opens connections of type `A` for keys of type `K`.
 *
 * **Details**
 *
 * - `open` dials. The connection lives as long as the scope that `open` is given: its finalizer closes it. The owner
 *   of the scope (a pool, or you) closes it exactly once, also when `open` is interrupted before it completes.
 * - `check` asks whether an idle connection still works. It fails when it does not. Without it every connection that
 *   is not known to be dead counts as working.
 * - `closed` completes as soon as the connection is dead, whichever side ended it. A pool waits on it, so that a dead idle
 *   connection is gone before it is leased. Without it the end is only noticed by `check` or by the borrower. It must not fail: a
 *   failure is logged once for a pool, and the end of such a connection is not noticed.
 * - `isReusable` says at once, from what the client knows, whether a connection may be leased again. It is asked when a
 *   borrow has ended, with how it ended, and again before the next one, without. It is for a protocol in which answers carry no
 *   ids. Without it a borrow that ended by interruption or by a defect closes its connection: its answer
 *   may still be under way. With `concurrency` above 1 such a connection takes no new borrower, and closes after its last.
 *
 * **Gotchas**
 *
 * Without `isReusable` a pool sees no more than how a borrow ended. A request that was abandoned *inside* a borrow that ended
 * with a success or a typed failure leaves no trace: `use(pool, key, (c) => Effect.timeoutOption(ask(c), "1 second"))` gives
 * the connection to the next borrower, who may read the late answer. Put the limit around `use`, call
 * `ConnectionPool.invalidate`, or give `isReusable`.
 *
 * - `open` has to end when it is interrupted. A connect that waits for a promise does not: `Effect.acquireRelease` of an
 *   `Effect.tryPromise` cannot be interrupted, and its socket stays open for as long as the server is silent. {@link fromPromise} is
 *   for clients of promises.
 *
 * @see {@link make}
 * @see {@link fromPromise}
 * @category models
 * @since 0.1.0
 */
export interface Connector<K, A, E = never, R = never> {
  readonly open: (key: K) => Effect.Effect<A, E, R | Scope.Scope>
  readonly check?: ((connection: A) => Effect.Effect<void, E, R>) | undefined
  readonly closed?: ((connection: A) => Effect.Effect<void>) | undefined
  readonly isReusable?: ((connection: A, exit?: Exit.Exit<unknown, unknown>) => boolean) | undefined
}

/**
 * Makes a connector, inferring its types.
 *
 * **Example** (A connector for anything that opens and closes)
 *
 * ```ts
 * import { Console, Effect } from "effect"
 * import * as Connector from "effect-sluice/Connector"
 *
 * const connector = Connector.make({
 *   open: (name: string) =>
 *     Effect.acquireRelease(
 *       Effect.succeed({ greet: `hello from ${name}` }),
 *       () => Console.log(`closed ${name}`)
 *     )
 * })
 *
 * const program = Effect.scoped(Effect.map(connector.open("db"), (connection) => connection.greet))
 * await Effect.runPromise(program) // => "hello from db"
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <K, A, E = never, R = never, E2 = never, R2 = never>(connector: {
  readonly open: (key: K) => Effect.Effect<A, E, R>
  readonly check?: ((connection: A) => Effect.Effect<void, E2, R2>) | undefined
  readonly closed?: ((connection: A) => Effect.Effect<void>) | undefined
  readonly isReusable?: ((connection: A, exit?: Exit.Exit<unknown, unknown>) => boolean) | undefined
}): Connector<K, A, E | E2, Exclude<R, Scope.Scope> | R2> =>
  // The scope is what `open` is given, so it is no requirement of the connector; nothing else differs in the two types.
  connector as Connector<K, A, E | E2, Exclude<R, Scope.Scope> | R2>

/**
 * Makes a connector from a client whose functions return promises, such as `pg`, `mysql2`, `ioredis`, `redis` and `amqplib`.
 *
 * **Details**
 *
 * - The client is made first, then connected. Connecting ends as soon as it is interrupted, which a pool does at `connectTimeout`, and
 *   the client is destroyed: no socket is left, also where the server accepts and stays silent.
 * - At the end of the scope a client that was connected is closed within the pool's `closeTimeout`, 2 seconds without a pool, and
 *   destroyed if it has not closed by then. One that is dead, has failed its check, or must not be leased again is destroyed at
 *   once: a graceful close would wait behind the commands in flight.
 * - A borrow that was interrupted or died takes the client out of use, whatever `isReusable` says of it, unless
 *   `reuseAfterInterruption` is set.
 * - Its `error` events are listened to from the beginning, so that none ends the process. They do not end the connection here, because some
 *   clients continue after one. With a client that does not, as `pg`, `mysql2` and `redis`, `closed` has to subscribe to `error` too.
 * - `open` and `check` fail with `ClientError`, whose `cause` is what the client has thrown or rejected with, as it is.
 *
 * **Gotchas**
 *
 * Switch off the client's own reconnection (`retryStrategy`, `reconnectStrategy`). The pool dials again with its own delay and through
 * the monitor's gate, and it never sees the end of a client that reconnects.
 *
 * **Example** (A server that accepts and stays silent)
 *
 * ```ts
 * import { Effect } from "effect"
 * import * as Connector from "effect-sluice/Connector"
 *
 * const log: Array<string> = []
 * const connector = Connector.fromPromise({
 *   create: (name: string) => ({ name }),
 *   connect: ({ name }) => name === "silent" ? new Promise(() => {}) : Promise.resolve(),
 *   close: ({ name }) => Promise.resolve(log.push(`closed ${name}`)),
 *   destroy: ({ name }) => log.push(`destroyed ${name}`)
 * })
 *
 * const open = (name: string) => Effect.timeoutOption(Effect.scoped(connector.open(name)), "10 millis")
 *
 * await Effect.runPromise(Effect.andThen(open("silent"), open("db")))
 * log // => ["destroyed silent", "closed db"]
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const fromPromise: <K, A extends object>(client: PromiseClient<K, A>) => Connector<K, A, ClientError> =
  connectorOf
