/**
 * Connections that several pools, or several processes, have in common.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import { checkOptions } from "../internal/Options.ts"

/**
 * Where a pool takes the right to one more connection, besides its own caps. It is taken before the dial, in the scope of
 * the connection, and given back when the socket is really gone.
 *
 * @category models
 * @since 0.1.0
 */
export interface ConnectionBudget {
  /** Takes one permit until the scope ends, and waits for it if there is none. The label is the endpoint's text. */
  readonly take: (label: string) => Effect.Effect<void, never, Scope.Scope>
}

/**
 * A budget of so many connections for all pools of this process that are made with it: a whole number of at least 1. It
 * throws `InvalidOption` on anything else.
 *
 * **Example** (Two pools, three connections)
 *
 * ```ts
 * import { Effect } from "effect"
 * import * as ConnectionBudget from "effect-sluice/ConnectionBudget"
 * import * as ConnectionPool from "effect-sluice/ConnectionPool"
 * import * as Connector from "effect-sluice/Connector"
 * import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
 *
 * const connector = Connector.make({ open: (name: string) => Effect.succeed({ name }) })
 *
 * const program = Effect.gen(function*() {
 *   const orders = yield* ConnectionPool.make({ connector })
 *   const reports = yield* ConnectionPool.make({ connector })
 *   const names = [orders, reports].map((pool) => ConnectionPool.use(pool, "db", (_) => Effect.succeed(_.name)))
 *   return yield* Effect.all(names)
 * }).pipe(
 *   Effect.scoped,
 *   Effect.provideService(ConnectionBudget.ConnectionBudget, ConnectionBudget.makeInMemory(3)),
 *   Effect.provide(ResourceMonitor.layer)
 * )
 *
 * await Effect.runPromise(program) // => ["db", "db"]
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const makeInMemory = (connections: number): ConnectionBudget => {
  const permits = Semaphore.makeUnsafe(checkOptions("ConnectionBudget").whole("connections", connections, { min: 1 }))
  return { take: () => permits.takeScoped(1) }
}

/** The default, which a pool need not ask. */
export const unlimited: ConnectionBudget = { take: () => Effect.void }

/**
 * The budget of the pools that are made in this context. By default it has no end: a pool keeps its own caps.
 *
 * @category references
 * @since 0.1.0
 */
export const ConnectionBudget: Context.Reference<ConnectionBudget> = Context.Reference<ConnectionBudget>(
  "effect-sluice/Pool/ConnectionBudget",
  { defaultValue: () => unlimited }
)
