/**
 * What a connection is to the pool: how it opens, how it is checked, and how its death is noticed.
 *
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import type * as Scope from "effect/Scope"

/**
 * Opens connections of type `A` for keys of type `K`.
 *
 * **Details**
 *
 * - `open` dials. The connection lives as long as the scope that `open` is given: its finalizer closes it. Whoever
 *   provides the scope (a pool, or you) closes it exactly once, also when `open` is interrupted half way.
 * - `check` asks whether an idle connection still works. It fails when it does not. Without it every connection that
 *   is not known to be dead is good.
 * - `closed` completes as soon as the connection is dead, whoever ended it. A pool waits on it, so that a dead idle
 *   connection is gone before anybody borrows it. Without it death is only noticed by `check` or by its user.
 * - `isReusable` says at once, from what the client knows, whether a connection may be lent again. It is asked when a
 *   borrow has ended, with how it ended, and again before the next one, without. It guards a protocol that cannot tell
 *   whose answer comes next: an interrupted borrower may have left one behind. Without it every connection may.
 *
 * @see {@link make}
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
