/**
 * Keyed pools of connections, with a cap for each endpoint and a cap in all. A pool closes every connection that it has opened.
 *
 * The connections of each endpoint are the items of an Effect `Pool`, which leases them and takes them back.
 *
 * **Example** (Two borrows, one connection)
 *
 * ```ts
 * import { Effect } from "effect"
 * import * as ConnectionPool from "effect-sluice/ConnectionPool"
 * import * as Connector from "effect-sluice/Connector"
 * import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
 *
 * let opened = 0
 * const connector = Connector.make({
 *   open: (name: string) => Effect.acquireRelease(Effect.sync(() => `${name} ${++opened}`), () => Effect.void)
 * })
 *
 * const program = Effect.gen(function*() {
 *   const pool = yield* ConnectionPool.make({ connector })
 *   const first = yield* ConnectionPool.use(pool, "db", (connection) => Effect.succeed(connection))
 *   const second = yield* ConnectionPool.use(pool, "db", (connection) => Effect.succeed(connection))
 *   return [first, second]
 * }).pipe(Effect.scoped, Effect.provide(ResourceMonitor.layer))
 *
 * await Effect.runPromise(program) // => ["db 1", "db 1"]
 * ```
 *
 * @since 0.1.0
 * @stability stable
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import type * as Scope from "effect/Scope"
import { type CallSite, siteOf } from "../internal/CallSite.ts"
import type { ResourceMonitor } from "../Monitor/Service.ts"
import * as Borrow from "./internal/Borrow.ts"
import { type ConnectionPool, isPool, makePool } from "./internal/MakePool.ts"
import type { PoolError } from "./PoolError.ts"
import type { Inspection } from "./PoolInspection.ts"
import {
  type BorrowOptions,
  type GivenCaps,
  mostOf,
  type Options,
  type Recall,
  resizedCaps,
  settingsOf
} from "./PoolOptions.ts"
import { TypeId } from "./PoolRegistry.ts"
import type { Health, Stats } from "./PoolStats.ts"

export type { CallSite } from "../internal/CallSite.ts"
export { InvalidOption } from "../internal/InvalidOption.ts"
export type { CloseReason } from "./CloseReason.ts"
export type { ConnectionPool } from "./internal/MakePool.ts"
export {
  AcquireTimeout,
  ConnectFailed,
  ConnectionDied,
  ConnectTimeout,
  type Counts,
  EndpointUnavailable,
  type Holder,
  LeaseExpired,
  NestedAcquire,
  NotReady,
  PoolClosed,
  PoolError,
  type PoolErrorReason,
  PoolSuspended,
  QueueFull,
  type StalledBy
} from "./PoolError.ts"
export type { InspectedEndpoint, InspectedHolder, Inspection } from "./PoolInspection.ts"
export {
  type BorrowOptions,
  defaults,
  highThroughput,
  type Hooks,
  lowLatency,
  type Options,
  type Recall,
  serverless,
  type Site
} from "./PoolOptions.ts"
export { type EndpointMembers, layerConfig, Service, type ServiceMembers, type ServiceOptions } from "./PoolService.ts"
export type { Health, Stats, Totals } from "./PoolStats.ts"

/**
 * Makes a pool that lives until the scope ends. At that end, the pool leases nothing more, waits up to `drainTimeout` for leased
 * connections, and closes all connections concurrently, each within `closeTimeout`.
 *
 * **Details**
 *
 * - Connections open on first use, and for `minPerEndpoint` of an endpoint that was used.
 * - Every attempt to open passes the gate of the `ResourceMonitor`. When the monitor's level becomes `Critical`, the pool closes what is
 *   idle above `minPerEndpoint`; leased connections stay.
 * - A `maxTotal` above what the monitor's gate admits is logged as a warning, since the pool cannot reach it.
 * - It dies with `InvalidOption` on invalid options.
 *
 * @category constructors
 * @since 0.1.0
 * @stability stable
 */
export const make = <K, A, E = never, R = never>(
  options: Options<K, A, E, R>
): Effect.Effect<ConnectionPool<K, A>, never, R | ResourceMonitor | Scope.Scope> => {
  const site = siteOf(make)
  return Effect.flatMap(
    Effect.sync(() => settingsOf(options)),
    (settings) => makePool(options, settings, () => site?.text === undefined ? "" : `made at ${site.text}`)
  )
}

/**
 * The place that called `wrapper`, for the `site` of a borrow that begins later. Call this while `wrapper` is on the stack. At more
 * than a thousand calls a second, the result of some is `undefined`.
 *
 * **Example** (A helper whose callers are named)
 *
 * ```ts
 * import { Effect } from "effect"
 * import * as ConnectionPool from "effect-sluice/ConnectionPool"
 * import * as Connector from "effect-sluice/Connector"
 *
 * class Databases extends ConnectionPool.Service<Databases>()("app/Databases", {
 *   connector: Connector.make({ open: (name: string) => Effect.succeed({ name }) })
 * }) {}
 *
 * const nameOf = (database: string) => {
 *   const site = ConnectionPool.callSite(nameOf)
 *   return Effect.flatMap(Databases, (pool) =>
 *     ConnectionPool.use(pool, database, ({ name }) => Effect.succeed(name), { site }))
 * }
 * ```
 *
 * @category constructors
 * @since 0.1.0
 * @stability stable
 */
export const callSite = (wrapper: (...args: never) => unknown): CallSite | undefined => siteOf(wrapper)

/**
 * Leases a connection to `f` and takes it back when the effect ends, however it ends.
 *
 * **Details**
 *
 * An idle connection is leased at once by the Effect `Pool` of its endpoint. Of several, it is the one that was used last. Without
 * an idle connection, the borrower waits for at most `acquireTimeout`. After that it fails with `PoolError`, whose reason says what
 * stalled it. It fails sooner, with `ConnectFailed`, if the connection cannot be opened and `retry` allows no further attempt.
 *
 * **Gotchas**
 *
 * The connector's `closed` and `isReusable` decide whether a connection is leased again. Without `isReusable`, the exit of the
 * effect decides: an interruption or a defect closes the connection, and a success or a typed failure does not. An effect that
 * succeeds or fails may leave the connection in an unknown state, as after a request that was given up inside of the effect. In
 * that case, call {@link invalidate} before the effect ends.
 *
 * @see {@link get} for borrowing until a scope ends
 * @category combinators
 * @since 0.1.0
 * @stability stable
 */
export function use<K, A, B, E, R>(
  key: K,
  f: (connection: A) => Effect.Effect<B, E, R>,
  options?: BorrowOptions
): (self: ConnectionPool<K, A>) => Effect.Effect<B, E | PoolError, R>
export function use<K, A, B, E, R>(
  self: ConnectionPool<K, A>,
  key: K,
  f: (connection: A) => Effect.Effect<B, E, R>,
  options?: BorrowOptions
): Effect.Effect<B, E | PoolError, R>
export function use<K, A, B, E, R>(
  selfOrKey: ConnectionPool<K, A> | K,
  keyOrUse: K | ((connection: A) => Effect.Effect<B, E, R>),
  f?: ((connection: A) => Effect.Effect<B, E, R>) | BorrowOptions,
  options?: BorrowOptions
) {
  // The overloads say which argument is which. Checks of the arguments at run time would make a borrow a tenth slower.
  if (typeof f === "function") {
    const origin = Borrow.originOf(options?.site, use)
    return Borrow.use((selfOrKey as ConnectionPool<K, A>)[TypeId], keyOrUse as K, origin, f, options?.standing === true)
  }
  // In a data-last call, the caller's line is on the stack now, and not when the pool is passed.
  const origin = Borrow.originOf(f?.site, use)
  const isStanding = f?.standing === true
  const onward = keyOrUse as (connection: A) => Effect.Effect<B, E, R>
  return (self: ConnectionPool<K, A>) => Borrow.use(self[TypeId], selfOrKey as K, origin, onward, isStanding)
}

/**
 * Borrows a connection until the scope ends.
 *
 * **Example** (A connection that is held for as long as its holder lives)
 *
 * ```ts
 * import { Deferred, Effect, Fiber } from "effect"
 * import * as ConnectionPool from "effect-sluice/ConnectionPool"
 * import * as Connector from "effect-sluice/Connector"
 * import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
 *
 * const connector = Connector.make({ open: (name: string) => Effect.succeed({ name }) })
 *
 * const program = Effect.gen(function*() {
 *   const pool = yield* ConnectionPool.make({ connector })
 *   const listening = yield* Deferred.make<void>()
 *   const listen = Effect.gen(function*() {
 *     const connection = yield* ConnectionPool.get(pool, "db", { standing: true })
 *     yield* Deferred.succeed(listening, undefined)
 *     return yield* Effect.raceFirst(Effect.never, ConnectionPool.recalled(pool, connection))
 *   })
 *   const listener = yield* Effect.forkChild(Effect.scoped(listen))
 *   yield* Deferred.await(listening)
 *   yield* ConnectionPool.drain(pool, "5 seconds")
 *   return yield* Fiber.join(listener)
 * }).pipe(Effect.scoped, Effect.provide(ResourceMonitor.layer))
 *
 * await Effect.runPromise(program) // => "Draining"
 * ```
 *
 * @see {@link use} for borrowing while one effect runs
 * @category combinators
 * @since 0.1.0
 * @stability stable
 */
export function get<K, A>(
  self: ConnectionPool<K, A>,
  key: K,
  options?: BorrowOptions
): Effect.Effect<A, PoolError, Scope.Scope>
export function get<K>(
  key: K,
  options?: BorrowOptions
): <A>(self: ConnectionPool<K, A>) => Effect.Effect<A, PoolError, Scope.Scope>
export function get<K, A>(
  selfOrKey: ConnectionPool<K, A> | K,
  keyOrOptions?: K | BorrowOptions,
  options?: BorrowOptions
) {
  if (isPool<K, A>(selfOrKey)) {
    const origin = Borrow.originOf(options?.site, get)
    return Borrow.get(selfOrKey[TypeId], keyOrOptions as K, origin, options?.standing === true)
  }
  // By the overloads, without a pool the options are the second argument.
  const given = keyOrOptions as BorrowOptions | undefined
  const origin = Borrow.originOf(given?.site, get)
  const isStanding = given?.standing === true
  return (self: ConnectionPool<K, A>) => Borrow.get(self[TypeId], selfOrKey, origin, isStanding)
}

/**
 * Completes when a leased connection has to be given back, with the reason. A drain of the pool, and an eviction, the end of the
 * lifetime or the death of the connection, do not end its leases by themselves. The holder of a `standing` lease waits for this
 * effect and then gives the connection back. Otherwise a drain of the pool waits until its deadline, and closes the connection
 * although it is held.
 *
 * @category combinators
 * @since 0.1.0
 * @stability stable
 */
export const recalled: {
  <A>(connection: A): <K>(self: ConnectionPool<K, A>) => Effect.Effect<Recall>
  <K, A>(self: ConnectionPool<K, A>, connection: A): Effect.Effect<Recall>
} = /*#__PURE__*/ dual(
  2,
  <K, A>(self: ConnectionPool<K, A>, connection: A): Effect.Effect<Recall> => Borrow.recalled(self[TypeId], connection)
)

/**
 * Closes a connection instead of leasing it again: at once if it is idle, on its return if it is leased. A value that is no
 * connection of this pool is ignored.
 *
 * @category combinators
 * @since 0.1.0
 * @stability stable
 */
export const invalidate: {
  <A>(connection: A): <K>(self: ConnectionPool<K, A>) => Effect.Effect<void>
  <K, A>(self: ConnectionPool<K, A>, connection: A): Effect.Effect<void>
} = /*#__PURE__*/ dual(
  2,
  <K, A>(self: ConnectionPool<K, A>, connection: A): Effect.Effect<void> =>
    Effect.sync(() => self[TypeId].core.invalidate(connection))
)

/**
 * Closes all connections of an endpoint, or of the pool: idle connections at once, leased ones on their return, and those that are
 * being opened as soon as they are open. Waiting borrowers get new connections. Use it after a failover, or when credentials have
 * changed.
 *
 * @category combinators
 * @since 0.1.0
 * @stability stable
 */
export const evict: {
  <K, A>(self: ConnectionPool<K, A>, key?: K): Effect.Effect<void>
  <K>(key?: K): <A>(self: ConnectionPool<K, A>) => Effect.Effect<void>
} = /*#__PURE__*/ dual(
  (args) => isPool(args[0]),
  <K, A>(self: ConnectionPool<K, A>, key?: K): Effect.Effect<void> => Effect.sync(() => self[TypeId].core.evict(key))
)

/**
 * Keeps a leased connection for its present borrowers until the scope ends: no further borrower shares it. It does not wait for
 * borrowers that share the connection already. Without `concurrency` above 1 it has no effect.
 *
 * @category combinators
 * @since 0.1.0
 * @stability stable
 */
export const reserve: {
  <A>(connection: A): <K>(self: ConnectionPool<K, A>) => Effect.Effect<void, never, Scope.Scope>
  <K, A>(self: ConnectionPool<K, A>, connection: A): Effect.Effect<void, never, Scope.Scope>
} = /*#__PURE__*/ dual(
  2,
  <K, A>(self: ConnectionPool<K, A>, connection: A): Effect.Effect<void, never, Scope.Scope> =>
    Effect.asVoid(Effect.acquireRelease(
      Effect.sync(() => self[TypeId].core.reserve(connection)),
      (release) => Effect.sync(release)
    ))
)

/**
 * Suspends a pool: it leases and opens nothing until {@link resume}. Borrowers wait until their deadlines. With `mode` `"fail"`,
 * new and waiting borrowers fail at once with `PoolSuspended`. Leased connections stay leased.
 *
 * @category combinators
 * @since 0.1.0
 * @stability stable
 */
export const suspend: {
  <K, A>(self: ConnectionPool<K, A>, options?: SuspendOptions): Effect.Effect<void>
  (options?: SuspendOptions): <K, A>(self: ConnectionPool<K, A>) => Effect.Effect<void>
} = /*#__PURE__*/ dual(
  (args) => isPool(args[0]),
  <K, A>(self: ConnectionPool<K, A>, options?: SuspendOptions): Effect.Effect<void> =>
    Effect.sync(() => self[TypeId].core.suspend(options?.mode ?? "wait"))
)

/** What borrowers of a suspended pool do. */
interface SuspendOptions {
  readonly mode?: "wait" | "fail" | undefined
}

/**
 * Ends {@link suspend}, and serves the waiting borrowers.
 *
 * @category combinators
 * @since 0.1.0
 * @stability stable
 */
export const resume = <K, A>(self: ConnectionPool<K, A>): Effect.Effect<void> =>
  Effect.sync(() => self[TypeId].core.resume())

/**
 * Changes the caps while the pool runs. A cap that is left out stays as it is. `maxConnections` sets both. After a cap was raised,
 * waiting borrowers are served. After a cap was lowered, idle connections above it are closed at once and leased ones on their
 * return, and dials above it that wait at the gate or for the budget do not begin. It dies with `InvalidOption` on invalid values.
 *
 * @category combinators
 * @since 0.1.0
 * @stability stable
 */
export const resize: {
  (caps: GivenCaps): <K, A>(self: ConnectionPool<K, A>) => Effect.Effect<void>
  <K, A>(self: ConnectionPool<K, A>, caps: GivenCaps): Effect.Effect<void>
} = /*#__PURE__*/ dual(
  2,
  <K, A>(self: ConnectionPool<K, A>, caps: GivenCaps): Effect.Effect<void> =>
    Effect.sync(() => {
      const { core } = self[TypeId]
      core.resize(resizedCaps(caps, core.stats()))
    })
)

/**
 * Ends the pool. New and waiting borrowers fail with `PoolClosed`, and idle connections are closed. Leased connections are closed
 * on their return, or at the deadline although they are leased. It completes when every connection is closed. A second call, or the
 * end of the pool's scope, joins the drain that is under way. The earliest deadline counts.
 *
 * @category combinators
 * @since 0.1.0
 * @stability stable
 */
export const drain: {
  (deadline: Duration.Input): <K, A>(self: ConnectionPool<K, A>) => Effect.Effect<void>
  <K, A>(self: ConnectionPool<K, A>, deadline: Duration.Input): Effect.Effect<void>
} = /*#__PURE__*/ dual(
  2,
  <K, A>(self: ConnectionPool<K, A>, deadline: Duration.Input): Effect.Effect<void> =>
    self[TypeId].drain(Duration.toMillis(deadline))
)

/**
 * A snapshot of the pool: its present counts, and the totals since it was made.
 *
 * @category getters
 * @since 0.1.0
 * @stability stable
 */
export const stats = <K, A>(self: ConnectionPool<K, A>): Effect.Effect<Stats> =>
  Effect.sync(() => self[TypeId].core.stats())

/**
 * The health of an endpoint, by the outcomes of the pool's dials, checks and borrows. A caller can choose a fallback by it instead
 * of waiting.
 *
 * @see `PoolTelemetry.health` for its changes as a stream
 * @category getters
 * @since 0.1.0
 * @stability stable
 */
export const health: {
  <K>(key: K): <A>(self: ConnectionPool<K, A>) => Effect.Effect<Health>
  <K, A>(self: ConnectionPool<K, A>, key: K): Effect.Effect<Health>
} = /*#__PURE__*/ dual(
  2,
  <K, A>(self: ConnectionPool<K, A>, key: K): Effect.Effect<Health> => Effect.sync(() => self[TypeId].core.health(key))
)

/**
 * What a pool shows to an operator: its endpoints, those that need attention first, and who holds its connections, the longest
 * holders first. At most `most` of each are shown, a whole number; the default is 20. It dies with `InvalidOption` on another value.
 *
 * **Details**
 *
 * Nothing is computed before it is asked for. All texts are without secrets and control characters, and bounded in length. The
 * causes of failures are the errors of the connector, as they are.
 *
 * **Example** (Who holds a connection)
 *
 * ```ts
 * import { Effect } from "effect"
 * import * as ConnectionPool from "effect-sluice/ConnectionPool"
 * import * as Connector from "effect-sluice/Connector"
 * import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
 *
 * const connector = Connector.make({ open: (name: string) => Effect.succeed({ name }) })
 *
 * const program = Effect.gen(function*() {
 *   const pool = yield* ConnectionPool.make({ connector, name: "orders" })
 *   yield* ConnectionPool.get(pool, "db").pipe(Effect.withSpan("import", { attributes: { table: "orders" } }))
 *   const { endpoints, holders, name } = yield* ConnectionPool.inspect(pool)
 *   return [name, ...endpoints.map(({ health }) => health), ...holders.map(({ attributes, span }) => [span, attributes])]
 * }).pipe(Effect.scoped, Effect.provide(ResourceMonitor.layer))
 *
 * await Effect.runPromise(program) // => ["orders", "Healthy", ["import", { table: "orders" }]]
 * ```
 *
 * @see {@link stats} for counts alone
 * @category getters
 * @since 0.1.0
 * @stability stable
 */
export const inspect: {
  <K, A>(self: ConnectionPool<K, A>, most?: number): Effect.Effect<Inspection>
  (most?: number): <K, A>(self: ConnectionPool<K, A>) => Effect.Effect<Inspection>
} = /*#__PURE__*/ dual(
  (args) => isPool(args[0]),
  <K, A>(self: ConnectionPool<K, A>, most?: number): Effect.Effect<Inspection> =>
    Effect.sync(() => self[TypeId].core.inspect(mostOf(most)))
)
