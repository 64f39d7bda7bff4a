/**
 * A cap on the connections of several pools, or of several processes, together.
 *
 * @since 0.1.0
 * @stability stable
 */
import type * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import { optionsFromConfig } from "../internal/ConfigOptions.ts"
import { checkOptions, refusing } from "../internal/Options.ts"
import { errorText, safeMessage } from "../internal/SafeText.ts"
import { TaggedError } from "../internal/TaggedError.ts"

/**
 * The right to have one connection.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export interface Permit {
  /**
   * Identifies the permit to the server, so that its holder can be found there. A later permit has a greater token. A connector reads
   * it from {@link CurrentPermit}.
   */
  readonly token?: string | undefined
  /**
   * Completes when the permit has been lost, so that another connection may be opened with it. The pool then closes the connection at
   * once, also one that is leased. By default a permit is never lost.
   */
  readonly lost?: Effect.Effect<void> | undefined
}

/**
 * A request for a permit.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export interface PermitRequest {
  /** The endpoint's text. */
  readonly label: string
  /**
   * How many milliseconds are left to the borrower that has waited longest for the connection. `Infinity` if none waits, because the
   * connection is opened for a minimum.
   */
  readonly timeLeft: () => number
}

/**
 * Permits for connections, besides the caps of a pool. A pool takes one permit before each dial, and gives it back when the socket
 * of that connection is really gone.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export interface ConnectionBudget {
  /**
   * Takes one permit until the scope ends. If there is none, it waits for one. A failure is no failure of the endpoint: the pool asks
   * again after a delay, until the borrowers that wait run out of time.
   */
  readonly take: (request: PermitRequest) => Effect.Effect<Permit, BudgetError, Scope.Scope>
  /**
   * How many milliseconds a permit lasts when its process is frozen or gone; `undefined` if it ends with the process. The server has to end the
   * connection of such a process before: a client whose server has limits for that warns if they are too long.
   */
  readonly lease?: number | undefined
}

/**
 * A budget cannot say whether there is a permit, most often because its store does not answer.
 *
 * @category errors
 * @since 0.1.0
 * @stability stable
 */
export class BudgetError extends TaggedError("BudgetError")<{
  /** The name of the budget. */
  readonly budget: string
  /** What went wrong. */
  readonly detail: string
  readonly cause?: unknown
}> {
  readonly isRetryable = true
  override get message(): string {
    const cause = this.cause === undefined ? "" : `: ${errorText(this.cause)}`
    return safeMessage(`no permit of the budget ${this.budget}: ${this.detail}${cause}`)
  }
}

/** A permit that is never lost. */
const plain: Permit = {}

/**
 * The permit of the connection that is being opened. A connector may read it while it opens a connection, and only then. Without a
 * budget it is `undefined`.
 *
 * @category references
 * @since 0.1.0
 * @stability stable
 */
export const CurrentPermit: Context.Reference<Permit | undefined> = Context.Reference<Permit | undefined>(
  "effect-sluice/Pool/CurrentPermit",
  { defaultValue: () => undefined }
)

/**
 * Makes a budget for all pools of this process that are made with it. `connections` is the number of permits: a whole number of at
 * least 1. It throws `InvalidOption` on anything else.
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
 * @stability stable
 */
export const makeInMemory = (connections: number): ConnectionBudget => {
  const permits = Semaphore.makeUnsafe(checkOptions("ConnectionBudget").whole("connections", connections, { min: 1 }))
  return { take: () => Effect.as(permits.takeScoped(1), plain) }
}

/**
 * The default, which always has a permit.
 *
 * @stability stable
 */
export const unlimited: ConnectionBudget = { take: () => Effect.succeed(plain) }

/**
 * The budget of the pools that are made in this context. By default it is unlimited, so that only the caps of each pool count.
 *
 * @category references
 * @since 0.1.0
 * @stability stable
 */
export const ConnectionBudget: Context.Reference<ConnectionBudget> = Context.Reference<ConnectionBudget>(
  "effect-sluice/Pool/ConnectionBudget",
  { defaultValue: () => unlimited }
)

/**
 * The options of a budget as a layer.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export interface Options {
  /** Most connections of all pools that are made with the budget: a whole number of at least 1. */
  readonly connections: number
}

/**
 * {@link makeInMemory} for the pools whose layers are provided with this layer. It dies with `InvalidOption` on an invalid number.
 *
 * @category layers
 * @since 0.1.0
 * @stability stable
 */
export const layerOptions = ({ connections }: Options): Layer.Layer<never> =>
  Layer.effectContext(Effect.sync(() => Context.make(ConnectionBudget, makeInMemory(connections))))

/**
 * {@link layerOptions} with options from `Config`. It fails with `ConfigError` when the value is missing, cannot be parsed, or is
 * invalid.
 *
 * **Example** (One cap for two pools, from the environment)
 *
 * ```ts
 * import { Config, ConfigProvider, Effect, Layer } from "effect"
 * import * as ConnectionBudget from "effect-sluice/ConnectionBudget"
 * import * as ConnectionPool from "effect-sluice/ConnectionPool"
 * import * as Connector from "effect-sluice/Connector"
 * import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
 *
 * const connector = Connector.make({ open: (name: string) => Effect.succeed({ name }) })
 *
 * class Orders extends ConnectionPool.Service<Orders>()("app/Orders", { connector }) {}
 * class Reports extends ConnectionPool.Service<Reports>()("app/Reports", { connector }) {}
 *
 * const layer = Layer.mergeAll(Orders.layer, Reports.layer).pipe(
 *   Layer.provide([ResourceMonitor.layer, ConnectionBudget.layerConfig({ connections: Config.Int("DATABASE_POOL_SIZE") })])
 * )
 *
 * const names = [Orders, Reports].map((pool) => Effect.succeed(pool.key))
 *
 * const program = Effect.all(names).pipe(
 *   Effect.provide(layer.pipe(Layer.provide(ConfigProvider.layer(ConfigProvider.fromUnknown({ DATABASE_POOL_SIZE: "3" })))))
 * )
 *
 * await Effect.runPromise(program) // => ["app/Orders", "app/Reports"]
 * ```
 *
 * @category layers
 * @since 0.1.0
 * @stability stable
 */
export const layerConfig = (config: Config.Wrap<Options>): Layer.Layer<never, Config.ConfigError> =>
  Layer.effectContext(
    optionsFromConfig(
      config,
      ({ connections }: Options) => refusing(() => Context.make(ConnectionBudget, makeInMemory(connections)))
    )
  )
