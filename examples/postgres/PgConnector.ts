/**
 * A connector of PostgreSQL sessions around `PgConnection` of `@effect/sql-pg`, with limits that the server itself keeps.
 *
 * A holder that is frozen, or whose machine is gone, cannot act. What has to happen then is asked for when the session
 * begins, and done by the server.
 */
import * as PgConnection from "@effect/sql-pg/PgConnection"
import * as Connector from "effect-sluice/Connector"
import type { Endpoint } from "effect-sluice/Endpoint"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Net from "node:net"

/** What the server ends by itself, and when. PostgreSQL 14 and later know all of these. */
export interface GuardRails {
  /**
   * A session that asks nothing for so long is ended (`idle_session_timeout`). It has to be above the pool's `idleTimeout`,
   * so that the pool knows first, and is how long a frozen or lost instance keeps its sessions.
   */
  readonly idleSession: Duration.Duration
  /** The same within a transaction, in which the session holds locks (`idle_in_transaction_session_timeout`). */
  readonly idleInTransaction: Duration.Duration
  /** A statement that runs longer is cancelled (`statement_timeout`): none outlives the function that asked for it. */
  readonly statement: Duration.Duration
  /**
   * What the server has sent and nobody acknowledges, or takes, for so long ends the session (`tcp_user_timeout`). Keepalive
   * does not help there: it only asks while nothing is on its way.
   */
  readonly unacknowledged: Duration.Duration
  /** How often the server looks during a statement whether the client is still there (`client_connection_check_interval`). */
  readonly clientCheck: Duration.Duration
}

/** Values that fit a pool with the options `ConnectionPool.serverless` and a function that may run for so long. */
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

/** The guard rails as they are sent when the session begins. */
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
  /** How long the server's end is awaited after ours, before the socket is destroyed. @default 200 millis */
  readonly closeTimeout?: Duration.Input | undefined
}

const dial = (endpoint: Endpoint): Net.Socket =>
  endpoint._tag === "UnixEndpoint"
    ? Net.connect({ path: endpoint.path })
    : Net.connect({ host: endpoint.host, port: endpoint.port, noDelay: true })

/** Completes when the socket is closed, whoever closed it. */
const closed = (socket: Net.Socket): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    if (socket.closed) return resume(Effect.void)
    const onClose = () => resume(Effect.void)
    socket.once("close", onClose)
    return Effect.sync(() => socket.off("close", onClose))
  })

/** Waits until the end that the session has asked for is there. `PgConnection` itself sends it and does not wait. */
const closeSocket = (socket: Net.Socket, timeout: Duration.Duration): Effect.Effect<void> =>
  closed(socket).pipe(
    // A finalizer is uninterruptible, and so would be the wait that the timeout has to end.
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
      // Without a listener an error of a socket that nobody uses yet would end the process.
      Effect.sync(() => dial(endpoint).on("error", () => {})),
      (socket) => closeSocket(socket, Duration.fromInputUnsafe(closeTimeout))
    )
    let isTaken = false
    const postgres = yield* PgConnection.make({
      ...config,
      startupParameters: startupParameters(guardRails),
      // It is asked for a second stream when a statement is to be cancelled.
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
    // A borrow that was interrupted or died may have left a statement behind, or a cancellation that is still on its way.
    isReusable: ({ socket }: Session, exit?: Exit.Exit<unknown, unknown>) =>
      !socket.destroyed && !socket.readableEnded &&
      (exit === undefined || !Exit.hasInterrupts(exit) && !Exit.hasDies(exit))
  })
