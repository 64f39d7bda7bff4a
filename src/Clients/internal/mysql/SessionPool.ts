/**
 * The pool of sessions and the ways to borrow from it.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import type { SqlError } from "effect/sql/SqlError"
import type { ResourceMonitor } from "../../../Monitor/Service.ts"
import * as ConnectionPool from "../../../Pool/ConnectionPool.ts"
import * as PoolOptions from "../../../Pool/PoolOptions.ts"
import type { ClientError, Connector } from "../../../Resource/Connector.ts"
import type { Endpoint } from "../../../Resource/Endpoint.ts"
import { asOwnOptions } from "../OwnOptions.ts"
import type { Connection } from "./Driver.ts"
import type { Settings } from "./Options.ts"
import { unwrapped } from "./SqlFailure.ts"

/**
 * A pool of sessions of one server.
 *
 * @stability stable
 */
export interface SessionPool {
  /** The pool itself, for `ConnectionPool.stats`, `evict`, `suspend`, `resize`, `drain` and the like. */
  readonly connections: ConnectionPool.ConnectionPool<Endpoint, Connection>
  readonly endpoint: Endpoint
  /** Leases a connection of `mysql2` while an effect runs. */
  readonly use: <A, E, R>(f: (connection: Connection) => Effect.Effect<A, E, R>) => Effect.Effect<A, E | SqlError, R>
  /** Leases a connection of `mysql2` until the scope ends. */
  readonly get: Effect.Effect<Connection, SqlError, Scope.Scope>
  /** Has a connection closed instead of leased again. */
  readonly invalidate: (connection: Connection) => Effect.Effect<void>
}

const optionsOf = ({ connectionTTL, maxConnections, minConnections, options }: Settings) => ({
  maxPerEndpoint: maxConnections,
  maxTotal: maxConnections,
  minPerEndpoint: minConnections,
  maxLifetime: connectionTTL,
  acquireTimeout: options.acquireTimeout,
  checkAfterIdle: options.checkAfterIdle,
  closeTimeout: options.closeTimeout,
  connectTimeout: options.connectTimeout,
  drainTimeout: options.drainTimeout,
  idleTimeout: options.idleTimeout,
  keepalive: options.keepalive,
  leakThreshold: options.leakThreshold,
  lifetimeJitter: options.lifetimeJitter,
  maxLease: options.maxLease,
  maxWaiters: options.maxWaiters,
  name: options.name ?? "mysql",
  retry: options.retry,
  whenUnavailable: options.whenUnavailable
})

/** Throws `InvalidOption` on options that the pool would refuse. */
export const checkPool = (settings: Settings, connector: Connector<Endpoint, Connection, ClientError>): void => {
  PoolOptions.settingsOf({ ...optionsOf(settings), connector })
}

/** Makes a pool of sessions that lives until the scope ends. */
export const makePool = (
  settings: Settings,
  connector: Connector<Endpoint, Connection, ClientError>
): Effect.Effect<SessionPool, never, ResourceMonitor | Scope.Scope> =>
  Effect.map(asOwnOptions("Mysql")(ConnectionPool.make({ ...optionsOf(settings), connector })), (connections) => {
    const { endpoint } = settings
    const get = Effect.mapError(ConnectionPool.get(connections, endpoint, { site: "fiber" }), unwrapped)
    return {
      connections,
      endpoint,
      get,
      // Only errors of the lease are replaced. The effect may fail with a `PoolError` of another pool.
      use: (f) =>
        Effect.acquireUseRelease(Scope.make(), (scope) => Effect.flatMap(Scope.provide(get, scope), f), Scope.close),
      invalidate: (connection) => ConnectionPool.invalidate(connections, connection)
    }
  })
