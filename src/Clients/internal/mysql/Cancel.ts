/**
 * Ends a statement at the server. A server goes on with the statement of a client that is gone, until it writes to it.
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
 * Ends the statements of a connection that are not answered yet. A connection that is paused is resumed only after the server was asked, so
 * that no rows keep the program busy meanwhile.
 */
export type Cancel = (connection: Connection) => Effect.Effect<void>

/** The longest that a borrower waits for the end of its statement. */
const patience = "1 second"

/** Closes the socket. The server notices it when it next writes to it. */
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
 * A server that was asked to end a statement that had ended by itself ends the next one instead, so one follows that does nothing, whose
 * answer also says that all before it are answered.
 */
const settled = (connection: Connection) =>
  Effect.promise(() => {
    connection.resume()
    return connection.promise().query("DO 0").then(() => undefined, () => undefined)
  })

/**
 * Cancels by connections of its own, of which one at a time is open. Where that takes too long or fails, the session is closed.
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
