/**
 * Defines a kind of connection for a pool: how to open it, how to check it, and how to notice its end.
 *
 * @since 0.1.0
 * @stability stable
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
 * - `open` dials. The connection lives as long as the scope that `open` is given: its finalizer closes it. The owner of the scope (a pool,
 *   or you) closes it exactly once, also when `open` is interrupted before it completes.
 * - `check` asks whether an idle connection still works. It fails when it does not. Without `check`, every connection that is not known to
 *   be dead counts as working.
 * - `closed` completes as soon as the connection is dead, whichever side ended it. A pool waits for it, so that a dead idle connection is
 *   removed before it is leased. Without `closed`, only `check` or the borrower notices the end. It must not fail: a failure is logged once
 *   for a pool, and the end of such a connection is not noticed.
 * - `isReusable` returns at once, without asking the peer, whether a connection may be leased again. It is called after a borrow, with the
 *   exit of that borrow, and before the next one, without an exit. It is for protocols whose answers have no ids. Without `isReusable`, a
 *   connection is closed after a borrow that was interrupted or died, because an answer may still be under way. With `concurrency` above 1,
 *   such a connection gets no new borrower, and is closed after its last one.
 *
 * **Gotchas**
 *
 * Without `isReusable`, a pool sees only how a borrow ended. It does not see that a request was abandoned *inside* a borrow
 * that succeeded or failed: after `use(pool, key, (c) => Effect.timeoutOption(ask(c), "1 second"))` the next borrower gets the
 * connection and may read the late answer. Put the limit around `use`, call `ConnectionPool.invalidate`, or define
 * `isReusable`.
 *
 * - `open` has to end when it is interrupted. `Effect.acquireRelease` of an `Effect.tryPromise` does not: it cannot be interrupted, and its
 *   socket stays open for as long as the server is silent. Use {@link fromPromise} for clients whose functions return promises.
 *
 * @see {@link make}
 * @see {@link fromPromise}
 * @category models
 * @since 0.1.0
 * @stability stable
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
 * **Example** (A connector for any resource that opens and closes)
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
 * @stability stable
 */
export const make = <K, A, E = never, R = never, E2 = never, R2 = never>(connector: {
  readonly open: (key: K) => Effect.Effect<A, E, R>
  readonly check?: ((connection: A) => Effect.Effect<void, E2, R2>) | undefined
  readonly closed?: ((connection: A) => Effect.Effect<void>) | undefined
  readonly isReusable?: ((connection: A, exit?: Exit.Exit<unknown, unknown>) => boolean) | undefined
}): Connector<K, A, E | E2, Exclude<R, Scope.Scope> | R2> =>
  // `open` is called with a scope, so the connector does not require one. The two types differ in nothing else.
  connector as Connector<K, A, E | E2, Exclude<R, Scope.Scope> | R2>

/**
 * Makes a connector from a client whose functions return promises, such as `pg`, `mysql2`, `ioredis`, `redis` and `amqplib`.
 *
 * **Details**
 *
 * - The client is made first, then connected. When connecting is interrupted, which a pool does at `connectTimeout`, the client is
 *   destroyed. So no socket is left, even if the server accepts the connection and stays silent.
 * - At the end of the scope, a connected client is closed within the pool's `closeTimeout` (2 seconds without a pool), and destroyed if it
 *   has not closed by then. A client that is dead, has failed its check, or must not be leased again is destroyed at once, because a
 *   graceful close would wait for its commands.
 * - After a borrow that was interrupted or died, the client is destroyed, unless `reuseAfterInterruption` is set. `isReusable` is not
 *   called then.
 * - The connector listens to the client's `error` events from the beginning, so that none ends the process. An `error` event alone does not
 *   end the connection, because some clients continue after one. For clients that do not, such as `pg`, `mysql2` and `redis`, `closed` has
 *   to subscribe to `error` too.
 * - `open` and `check` fail with `ClientError`, whose `cause` is the unchanged error of the client.
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
 * @stability stable
 */
export const fromPromise: <K, A extends object>(client: PromiseClient<K, A>) => Connector<K, A, ClientError> =
  connectorOf
