/**
 * The errors of a MySQL client: those of the server by their numbers, and those of the pool as connection errors.
 *
 * @since 0.1.0
 */
import {
  AuthenticationError,
  AuthorizationError,
  ConnectionError,
  ConstraintError,
  DeadlockError,
  LockTimeoutError,
  SerializationError,
  SqlError,
  type SqlErrorReason,
  SqlSyntaxError,
  StatementTimeoutError,
  UniqueViolation,
  UnknownError
} from "effect/sql/SqlError"
import { isObject, read, readInteger, readString } from "../../../internal/SafeRead.ts"
import { errorText } from "../../../internal/SafeText.ts"
import { PoolError } from "../../../Pool/PoolError.ts"

interface Details {
  readonly cause: unknown
  readonly message: string
  readonly operation: string
}

type Reason = (details: Details) => SqlErrorReason

/** The key in "Duplicate entry 'x' for key 'y'". MySQL 8 writes the table before it. */
const duplicateKey = /for key '([^']+)'/

const uniqueViolation: Reason = (details) =>
  new UniqueViolation({ ...details, constraint: duplicateKey.exec(details.message)?.[1] ?? "unknown" })

const groups: ReadonlyArray<readonly [reason: Reason, numbers: ReadonlyArray<number>]> = [
  // Access denied, with the plugins of MariaDB and MySQL, expired passwords and locked accounts.
  [(details) => new AuthenticationError(details), [1045, 1251, 1275, 1524, 1698, 1820, 1862, 3118, 3955, 4151]],
  [(details) => new AuthorizationError(details), [1044, 1142, 1143, 1227, 1370, 1419, 1721]],
  // Syntax, and names of tables, columns, functions and databases that do not exist.
  [(details) => new SqlSyntaxError(details), [1049, 1051, 1052, 1054, 1064, 1066, 1072, 1109, 1136, 1146, 1149, 1305]],
  [uniqueViolation, [1062, 1169, 1557, 1586]],
  [(details) => new ConstraintError(details), [1048, 1216, 1217, 1364, 1451, 1452, 1761, 1762, 3819, 4025]],
  [(details) => new DeadlockError(details), [1213, 1614]],
  [(details) => new SerializationError(details), [1020]],
  [(details) => new LockTimeoutError(details), [1205, 3572]],
  // A limit on the time of a statement (MySQL, MariaDB), and a statement that was killed.
  [(details) => new StatementTimeoutError(details), [1317, 1907, 1969, 3024]],
  // No slot, shutting down, a limit of the account, a session that was killed or timed out.
  [
    (details) => new ConnectionError(details),
    [1040, 1042, 1043, 1053, 1129, 1130, 1135, 1152, 1158, 1159, 1160, 1161, 1184, 1203, 1226, 1927, 4031]
  ]
]

const reasons = new Map(groups.flatMap(([reason, numbers]) => numbers.map((number) => [number, reason] as const)))

/** Errors of the driver and of Node, which have no number of the server. */
const ofDriver = (cause: unknown): Reason => {
  const isFatal = isObject(cause) && read(cause, "fatal") === true
  const isOfSystem = isObject(cause) && readString(cause, "syscall") !== undefined
  return (details) => isFatal || isOfSystem ? new ConnectionError(details) : new UnknownError(details)
}

const reasonOf = (cause: unknown): Reason =>
  reasons.get((isObject(cause) ? readInteger(cause, "errno") : undefined) ?? 0) ?? ofDriver(cause)

/** The error of the driver as an error of SQL. */
export const toSqlError = (cause: unknown, operation: string): SqlError =>
  new SqlError({ reason: reasonOf(cause)({ cause, message: errorText(cause), operation }) })

/** Whether the server has rolled back the whole transaction together with the statement. */
export const rollsBack = ({ reason }: SqlError): boolean => reason._tag === "DeadlockError"

/** The most levels of nested errors that are searched. */
const depth = 8

/** The server's own error, if it has refused the login or the database. */
const refusalIn = (error: unknown): unknown => {
  let current = error
  for (let level = 0; level < depth && isObject(current); level++) {
    if (readInteger(current, "errno") !== undefined && readString(current, "sqlState") !== undefined) return current
    current = read(current, "reason") ?? read(current, "cause")
  }
  return undefined
}

const ofPool = (error: PoolError): SqlError => {
  const refusal = error.reason._tag === "ConnectFailed" ? refusalIn(error.reason.cause) : undefined
  if (refusal !== undefined) return toSqlError(refusal, "connect")
  const { message } = error
  return new SqlError({ reason: new ConnectionError({ cause: error, message, operation: "acquireConnection" }) })
}

/** Replaces the error of a pool, and leaves any other as it is. */
export const unwrapped = <E>(error: E | PoolError): Exclude<E, PoolError> | SqlError =>
  // A class does not narrow a type parameter.
  error instanceof PoolError ? ofPool(error) : error as Exclude<E, PoolError>
