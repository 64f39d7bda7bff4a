/**
 * The errors of a PostgreSQL client. Those of the server are unchanged, and those of the pool become connection errors.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Exit from "effect/Exit"
import * as Predicate from "effect/Predicate"
import { ConnectionError, isSqlError, SqlError } from "effect/sql/SqlError"
import { isObject, read, readString } from "../../../internal/SafeRead.ts"
import type { PoolError } from "../../../Pool/PoolError.ts"

/** The most levels of nested errors that are searched. */
const depth = 8

/** The first error of a chain of causes that satisfies a predicate. */
const findCause = <A>(error: unknown, is: (error: unknown) => error is A): A | undefined => {
  let current = error
  for (let level = 0; level < depth && isObject(current); level++) {
    if (is(current)) return current
    current = read(current, "reason") ?? read(current, "cause")
  }
  return undefined
}

/** The error of a borrower without a session: the server's own error if it refused the session, or else a connection error. */
export const toSqlError = (error: PoolError): SqlError => {
  const { reason } = error
  const own = reason._tag === "ConnectFailed" ? findCause(reason.cause, isSqlError) : undefined
  return own ?? new SqlError({
    reason: new ConnectionError({ cause: error, message: error.message, operation: "acquireConnection" })
  })
}

/** Replaces the error of a pool, and leaves any other as it is. */
export const unwrapped = <E>(error: E | PoolError): E | SqlError =>
  // The tag does not narrow the type parameter. `E` has no errors of a pool here.
  Predicate.isTagged(error, "PoolError") ? toSqlError(error as PoolError) : error as E

/** The SQLSTATE that the server has answered with. */
export const sqlStateOf = (error: unknown): string | undefined => {
  if (!isSqlError(error)) return undefined
  const { cause } = error.reason
  return isObject(cause) ? readString(cause, "code") : undefined
}

/** Whether a borrow has failed with one of these SQLSTATEs. */
export const failedWith = (exit: Exit.Exit<unknown, unknown>, states: ReadonlySet<string>): boolean =>
  Exit.isFailure(exit) && causedBy(exit.cause, states)

/** Whether a cause has an error with one of these SQLSTATEs. */
export const causedBy = (cause: Cause.Cause<unknown>, states: ReadonlySet<string>): boolean =>
  cause.reasons.some((reason) => Cause.isFailReason(reason) && states.has(sqlStateOf(reason.error) ?? ""))
