/**
 * Ends a statement at the server. Otherwise a server runs the statement of a client that is gone, until it writes to the client.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { timeoutOption } from "../../../internal/Timeout.ts"
import type { Connector } from "../../../Resource/Connector.ts"
import type { Endpoint } from "../../../Resource/Endpoint.ts"
import type { Connection } from "./Driver.ts"
import type { KillQueue } from "./KillQueue.ts"
import { socketOf } from "./SessionConnector.ts"
import { stateOf } from "./SessionState.ts"

/**
 * Ends the unanswered statements of a connection. A paused connection is resumed after the server has got the request, so that the
 * program does not read rows needlessly before that.
 */
export type Cancel = (connection: Connection) => Effect.Effect<void>

/** The longest that a borrower waits for the end of its statement. */
const patience = "1 second"

/** Closes the socket. The server notices this when it writes to the client. */
export const abandon: Cancel = (connection) =>
  Effect.sync(() => {
    stateOf(connection).ended()
    socketOf(connection)?.destroy()
  })

/**
 * Sends a statement that does nothing after a `KILL QUERY`. If the statement to kill has ended by itself, the server kills this one
 * instead. Its answer also shows that all statements before it are answered.
 */
const settled = (connection: Connection) =>
  Effect.promise(() => {
    connection.resume()
    return connection.promise().query("DO 0").then(() => undefined, () => undefined)
  })

/** Cancels by `KILL QUERY`. If that takes too long or fails, the session is closed. */
export const makeCancel = (kills: KillQueue<unknown>): Cancel => (connection) => {
  const cancelled = Effect.andThen(kills.kill(connection.threadId), settled(connection))
  return Effect.flatMap(
    Effect.exit(timeoutOption(cancelled, patience)),
    (exit) => exit._tag === "Success" && Option.isSome(exit.value) ? Effect.void : abandon(connection)
  )
}

/**
 * A connector whose sessions have their statement ended at the server, if it is unanswered when they are closed. Closing does not wait
 * for that.
 */
export const killing = <E>(
  connector: Connector<Endpoint, Connection, E>,
  kills: KillQueue<unknown>
): Connector<Endpoint, Connection, E> => ({
  ...connector,
  open: (endpoint) =>
    Effect.tap(connector.open(endpoint), (connection) =>
      Effect.addFinalizer(() =>
        stateOf(connection).isWaiting
          ? Effect.forkDetach(Effect.exit(kills.kill(connection.threadId)), { startImmediately: true })
          : Effect.void
      ))
})
