/**
 * A connector of PostgreSQL sessions around `PgConnection` of `@effect/sql-pg`, with limits that the server enforces.
 *
 * A client that is frozen, or whose machine is gone, cannot act. So the limits are set when the session begins, and the
 * server enforces them.
 */
import * as PgConnection from "@effect/sql-pg/PgConnection"
import * as Connector from "effect-sluice/Connector"
import type { Endpoint } from "effect-sluice/Endpoint"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Net from "node:net"

/** The limits of the server. PostgreSQL 14 and later have all of these. */
export interface GuardRails {
  /**
   * An idle session is ended after this (`idle_session_timeout`). It must be above the pool's `idleTimeout`, so that the
   * pool closes first. A frozen or lost instance keeps its sessions for this time.
   */
  readonly idleSession: Duration.Duration
  /** The same within a transaction, in which the session holds locks (`idle_in_transaction_session_timeout`). */
  readonly idleInTransaction: Duration.Duration
  /** A statement that runs longer is cancelled (`statement_timeout`), so that none outlives its function. */
  readonly statement: Duration.Duration
  /**
   * The session ends when sent data is not acknowledged for this time (`tcp_user_timeout`). Keepalive does not cover this:
   * it probes only idle connections.
   */
  readonly unacknowledged: Duration.Duration
  /** How often the server checks during a statement whether the client is still connected (`client_connection_check_interval`). */
  readonly clientCheck: Duration.Duration
}

/** Values for a pool with the options `ConnectionPool.serverless` and the timeout of a function. */
export const guardRailsFor = (options: {
  /** The pool's `idleTimeout`. */
  readonly idleTimeout: Duration.Input
  /** The function's timeout. */
  readonly functionTimeout: Duration.Input
}): GuardRails => {
  const idleTimeout = Duration.fromInputUnsafe(options.idleTimeout)
  const functionTimeout = Duration.fromInputUnsafe(options.functionTimeout)
  return {
    // A borrow that just passes the pool's own limit must reach the server before the server's.
    idleSession: Duration.sum(idleTimeout, Duration.seconds(15)),
    // No transaction outlives its invocation.
    idleInTransaction: functionTimeout,
    statement: functionTimeout,
    unacknowledged: Duration.seconds(10),
    clientCheck: Duration.seconds(1)
  }
}

const millis = (duration: Duration.Duration): string => String(Math.max(1, Math.round(Duration.toMillis(duration))))

/** The limits as they are sent when the session begins. */
export const startupParameters = (rails: GuardRails): Readonly<Record<string, string>> => ({
  idle_session_timeout: millis(rails.idleSession),
  idle_in_transaction_session_timeout: millis(rails.idleInTransaction),
  statement_timeout: millis(rails.statement),
  tcp_user_timeout: millis(rails.unacknowledged),
  client_connection_check_interval: millis(rails.clientCheck)
})

/** A session and the socket that it runs on. */
export interface Session {
  readonly postgres: PgConnection.PgConnection
  readonly socket: Net.Socket
}

export interface Options extends Pick<PgConnection.Config, "database" | "username" | "password" | "applicationName"> {
  readonly guardRails: GuardRails
  /** How long to wait for the server to end the connection before the socket is destroyed. @default 200 millis */
  readonly closeTimeout?: Duration.Input | undefined
}

const dial = (endpoint: Endpoint): Net.Socket =>
  endpoint._tag === "UnixEndpoint"
    ? Net.connect({ path: endpoint.path })
    : Net.connect({ host: endpoint.host, port: endpoint.port, noDelay: true })

/** Completes when the socket is closed by either side. */
const closed = (socket: Net.Socket): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    if (socket.closed) return resume(Effect.void)
    const onClose = () => resume(Effect.void)
    socket.once("close", onClose)
    return Effect.sync(() => socket.off("close", onClose))
  })

/** Waits until the server has ended the session. `PgConnection` sends the request and does not wait. */
const closeSocket = (socket: Net.Socket, timeout: Duration.Duration): Effect.Effect<void> =>
  closed(socket).pipe(
    // A finalizer is uninterruptible, but the timeout must be able to interrupt this wait.
    Effect.interruptible,
    Effect.timeoutOrElse({
      duration: socket.connecting ? Duration.zero : timeout,
      orElse: () => {
        socket.destroy()
        return closed(socket)
      }
    })
  )

const open = (endpoint: Endpoint, options: Options) =>
  Effect.gen(function*() {
    const { closeTimeout = "200 millis", guardRails, ...config } = options
    const socket = yield* Effect.acquireRelease(
      // Without a listener, an error of a socket that is not in use yet would end the process.
      Effect.sync(() => dial(endpoint).on("error", () => {})),
      (socket) => closeSocket(socket, Duration.fromInputUnsafe(closeTimeout))
    )
    let isTaken = false
    const postgres = yield* PgConnection.make({
      ...config,
      startupParameters: startupParameters(guardRails),
      // `PgConnection` requests a second stream to cancel a statement.
      stream: () => {
        if (isTaken) return dial(endpoint)
        isTaken = true
        return socket
      }
    })
    return { postgres, socket } satisfies Session
  })

/** A connector of sessions for a pool. */
export const connector = (options: Options) =>
  Connector.make({
    open: (endpoint: Endpoint) => open(endpoint, options),
    check: ({ postgres }: Session) => Effect.asVoid(postgres.query("SELECT 1")),
    closed: ({ socket }: Session) => closed(socket),
    // A borrow that was interrupted or died may have left a running statement, or a cancellation under way.
    isReusable: ({ socket }: Session, exit?: Exit.Exit<unknown, unknown>) =>
      !socket.destroyed && !socket.readableEnded &&
      (exit === undefined || !Exit.hasInterrupts(exit) && !Exit.hasDies(exit))
  })
