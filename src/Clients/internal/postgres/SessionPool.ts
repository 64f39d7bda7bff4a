/**
 * The pool of sessions and the ways to borrow from it.
 *
 * @since 0.1.0
 */
import type { PgConnection } from "@effect/sql-pg/PgConnection"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import type { SqlError } from "effect/sql/SqlError"
import type { ResourceMonitor } from "../../../Monitor/Service.ts"
import * as ConnectionPool from "../../../Pool/ConnectionPool.ts"
import * as PoolOptions from "../../../Pool/PoolOptions.ts"
import type { Connector } from "../../../Resource/Connector.ts"
import type { Endpoint } from "../../../Resource/Endpoint.ts"
import type { TcpConnectionError } from "../../../Resource/TcpConnection.ts"
import { asOwnOptions } from "../OwnOptions.ts"
import type { Settings } from "./Options.ts"
import { discard, rollback } from "./Reset.ts"
import { LeasedSession, Session } from "./Session.ts"
import { toSqlError } from "./SqlFailure.ts"

/**
 * A pool of sessions of one server.
 *
 * @stability stable
 */
export interface SessionPool {
  /** The pool itself, for `ConnectionPool.stats`, `evict`, `suspend`, `resize`, `drain` and the like. */
  readonly connections: ConnectionPool.ConnectionPool<Endpoint, Session>
  readonly endpoint: Endpoint
  /** Leases a session while an effect runs: shared with others with `multiplex`, else alone. */
  readonly use: <A, E, R>(f: (session: PgConnection) => Effect.Effect<A, E, R>) => Effect.Effect<A, E | SqlError, R>
  /** Leases a session until the scope ends: shared with others with `multiplex`, else alone. */
  readonly get: Effect.Effect<PgConnection, SqlError, Scope.Scope>
  /** Leases a session alone until the scope ends. A transaction that is open then is rolled back. */
  readonly reserve: Effect.Effect<PgConnection, SqlError, Scope.Scope>
  /** Has a session closed instead of leased again. */
  readonly invalidate: (session: PgConnection) => Effect.Effect<void>
}

type Connections = ConnectionPool.ConnectionPool<Endpoint, Session>

/** Gives a session the functions of its pool. With one borrower for each session, `reserve` is not needed. */
const join = (session: Session, connections: Connections, { concurrency }: Settings): void => {
  const { state } = session
  state.recalled = ConnectionPool.recalled(connections, session)
  state.invalidate = ConnectionPool.invalidate(connections, session)
  if (concurrency > 1) state.reserve = ConnectionPool.reserve(connections, session)
}

const optionsOf = (settings: Settings): Omit<ConnectionPool.Options<Endpoint, Session, never, never>, "connector"> => {
  const { concurrency, connectTimeout, connectionTTL, maxConnections, minConnections, options } = settings
  return {
    maxPerEndpoint: maxConnections,
    maxTotal: maxConnections,
    minPerEndpoint: minConnections,
    concurrency,
    connectTimeout,
    maxLifetime: Duration.isZero(connectionTTL) ? Duration.infinity : connectionTTL,
    idleTimeout: options.idleTimeout,
    acquireTimeout: options.acquireTimeout,
    checkAfterIdle: options.checkAfterIdle,
    closeTimeout: options.closeTimeout,
    drainTimeout: options.drainTimeout,
    keepalive: options.keepalive,
    leakThreshold: options.leakThreshold,
    lifetimeJitter: options.lifetimeJitter,
    maxLease: options.maxLease,
    maxWaiters: options.maxWaiters,
    name: options.name ?? "postgres",
    retry: options.retry,
    whenUnavailable: options.whenUnavailable
  }
}

/** When a statement runs, no line of the program is on the stack. So its place is found by the spans of the fiber. */
export const byFiber: ConnectionPool.BorrowOptions = { site: "fiber" }

/** The lease of a listener, which lasts as long as the listener does. */
export const standing: ConnectionPool.BorrowOptions = { site: "fiber", standing: true }

/** Leases a session alone until the scope ends. A transaction that is open at that end is rolled back. */
export const exclusive = (
  { connections, endpoint }: Pick<SessionPool, "connections" | "endpoint">,
  { connectTimeout, reset }: Settings,
  options: ConnectionPool.BorrowOptions = byFiber
): Effect.Effect<Session, SqlError, Scope.Scope> =>
  Effect.flatMap(
    Effect.mapError(ConnectionPool.get(connections, endpoint, options), toSqlError),
    (session) =>
      Effect.andThen(
        reset === "none" ? Effect.void : Effect.addFinalizer(() => rollback(session, connectTimeout)),
        session.pin
      )
  )

const poolOf = (
  connections: Connections,
  settings: Settings
): SessionPool => {
  const { endpoint } = settings
  const isAlone = settings.concurrency === 1
  const get = Effect.mapBoth(ConnectionPool.get(connections, endpoint, byFiber), {
    onFailure: toSqlError,
    onSuccess: (session) => isAlone ? new LeasedSession(session.base, session.state) : session
  })
  return {
    connections,
    endpoint,
    get,
    // Only errors of the lease are replaced. The effect may fail with a `PoolError` of another pool.
    use: (f) =>
      Effect.acquireUseRelease(
        Scope.make(),
        (scope) => Effect.flatMap(Scope.provide(get, scope), f),
        Scope.close
      ),
    reserve: exclusive({ connections, endpoint }, settings),
    invalidate: (session) => session instanceof Session ? session.state.invalidate : Effect.void
  }
}

/** Throws `InvalidOption` on options that the pool would refuse. */
export const checkPool = (
  settings: Settings,
  connector: Connector<Endpoint, Session, SqlError | TcpConnectionError>
): void => {
  PoolOptions.settingsOf({ ...optionsOf(settings), connector })
}

/** Makes a pool of sessions that lives until the scope ends. */
export const makePool = (
  settings: Settings,
  connector: Connector<Endpoint, Session, SqlError | TcpConnectionError>
): Effect.Effect<SessionPool, never, ResourceMonitor | Scope.Scope> =>
  Effect.gen(function*() {
    let pool: Connections | undefined
    const { connectTimeout, reset } = settings
    const connections = pool = yield* ConnectionPool.make({
      ...optionsOf(settings),
      connector,
      hooks: {
        afterOpen: (session) =>
          Effect.sync(() => {
            if (pool !== undefined) join(session, pool, settings)
          }),
        ...(reset === "discard" ? { afterReturn: (session: Session) => discard(session, connectTimeout) } : {})
      }
    })
    return poolOf(connections, settings)
  }).pipe(asOwnOptions("Postgres"))
