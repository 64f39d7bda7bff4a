/**
 * Ends a statement at the server. Otherwise a server runs the statement of a client that is gone, until it writes to the client.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Semaphore from "effect/Semaphore"
import { timeoutOption } from "../../../internal/Timeout.ts"
import type { Connector } from "../../../Resource/Connector.ts"
import type { Endpoint } from "../../../Resource/Endpoint.ts"
import type { Connection } from "./Driver.ts"
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

const killed = <E>(connection: Connection, connector: Connector<Endpoint, Connection, E>, endpoint: Endpoint) =>
  Effect.scoped(Effect.flatMap(
    connector.open(endpoint),
    (other) => Effect.promise(() => other.promise().query(`KILL QUERY ${connection.threadId}`))
  ))

/**
 * Sends a statement that does nothing after a `KILL QUERY`. If the statement to kill has ended by itself, the server kills this one
 * instead. Its answer also shows that all statements before it are answered.
 */
const settled = (connection: Connection) =>
  Effect.promise(() => {
    connection.resume()
    return connection.promise().query("DO 0").then(() => undefined, () => undefined)
  })

/**
 * Cancels by separate connections, of which one at a time is open. If that takes too long or fails, the session is closed.
 */
export const makeCancel = <E>(connector: Connector<Endpoint, Connection, E>, endpoint: Endpoint): Cancel => {
  const semaphore = Semaphore.makeUnsafe(1)
  return (connection) => {
    const cancelled = Effect.andThen(semaphore.withPermit(killed(connection, connector, endpoint)), settled(connection))
    return Effect.flatMap(
      Effect.exit(timeoutOption(cancelled, patience)),
      (exit) => exit._tag === "Success" && Option.isSome(exit.value) ? Effect.void : abandon(connection)
    )
  }
}
