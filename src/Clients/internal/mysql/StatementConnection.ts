/**
 * A connection as `SqlClient` uses it.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type { Connection as SqlConnection, Row } from "effect/sql/SqlConnection"
import type { SqlError } from "effect/sql/SqlError"
import * as Stream from "effect/Stream"
import type { Query } from "mysql2"
import type { Cancel } from "./Cancel.ts"
import type { Connection } from "./Driver.ts"
import { parametersOf } from "./Parameters.ts"
import { rowStream } from "./RowStream.ts"
import { socketOf } from "./SessionConnector.ts"
import { isHeader, stateOf } from "./SessionState.ts"
import { rollsBack, toSqlError } from "./SqlFailure.ts"

type Transform = (<A extends object>(row: ReadonlyArray<A>) => ReadonlyArray<A>) | undefined

type Rows = Effect.Effect<ReadonlyArray<Row>, SqlError>

/** The rows of a result. A statement without rows has an empty list. If a procedure has several results, the first one counts. */
const rowsOf = (result: unknown): ReadonlyArray<Row> => {
  if (!Array.isArray(result)) return []
  const [first]: ReadonlyArray<unknown> = result
  // The driver makes the rows, and knows no more of their type.
  return (Array.isArray(first) ? first : isHeader(first) ? [] : result) as ReadonlyArray<Row>
}

const transformed = (rows: Rows, transform: Transform): Rows =>
  transform === undefined ? rows : Effect.map(rows, transform)

interface Statement {
  readonly sql: string
  readonly params: ReadonlyArray<unknown>
  readonly isPrepared: boolean
  readonly rowsAsArray?: boolean
}

/** How a connection is leased to one borrower. */
export class StatementConnection implements SqlConnection {
  readonly connection: Connection
  readonly #cancel: Cancel
  readonly #prepare: boolean

  constructor(connection: Connection, options: { readonly cancel: Cancel; readonly prepare: boolean }) {
    this.connection = connection
    this.#cancel = options.cancel
    this.#prepare = options.prepare
  }

  get isInTransaction(): boolean {
    // The end of a session has ended its transaction. The driver tells of that end later than it fails the statement.
    return stateOf(this.connection).isInTransaction && socketOf(this.connection)?.destroyed !== true
  }

  execute(sql: string, params: ReadonlyArray<unknown>, transform: Transform): Rows {
    return transformed(Effect.map(this.#run({ sql, params, isPrepared: this.#prepare }), rowsOf), transform)
  }

  executeUnprepared(sql: string, params: ReadonlyArray<unknown>, transform: Transform): Rows {
    return transformed(Effect.map(this.#run({ sql, params, isPrepared: false }), rowsOf), transform)
  }

  executeRaw(sql: string, params: ReadonlyArray<unknown>): Effect.Effect<unknown, SqlError> {
    return this.#run({ sql, params, isPrepared: this.#prepare })
  }

  executeValues(sql: string, params: ReadonlyArray<unknown>) {
    return this.#values({ sql, params, isPrepared: this.#prepare })
  }

  executeValuesUnprepared(sql: string, params: ReadonlyArray<unknown>) {
    return this.#values({ sql, params, isPrepared: false })
  }

  executeStream(sql: string, params: ReadonlyArray<unknown>, transform: Transform): Stream.Stream<Row, SqlError> {
    const { connection } = this
    const send = () => this.#send({ sql, params, isPrepared: this.#prepare })
    const rows = rowStream({ connection, send, failed: this.#failed, cancel: this.#cancel })
    return transform === undefined ? rows : Stream.mapArray(rows, (chunk) => {
      const [first, ...others] = transform(chunk)
      // A transformation renames the columns of each row, so that there are as many rows as before.
      return first === undefined ? chunk : [first, ...others]
    })
  }

  #values(statement: Statement): Effect.Effect<ReadonlyArray<ReadonlyArray<unknown>>, SqlError> {
    return Effect.map(
      this.#run({ ...statement, rowsAsArray: true }),
      (result) => Array.isArray(result) ? result as ReadonlyArray<ReadonlyArray<unknown>> : []
    )
  }

  #send(
    { isPrepared, params, rowsAsArray = false, sql }: Statement,
    answered?: (error: unknown, result: unknown) => void
  ): Query {
    const options = { sql, values: parametersOf(params), rowsAsArray }
    // Both have overloads with and without a callback.
    return isPrepared
      ? this.connection.execute(options, answered as () => void)
      : this.connection.query(options, answered as () => void)
  }

  #run(statement: Statement): Effect.Effect<unknown, SqlError> {
    return Effect.callback((resume) => {
      const fail = (cause: unknown) => resume(Effect.fail(this.#failed(cause)))
      try {
        this.#send(statement, (error, result) => {
          if (error === null || error === undefined) return resume(Effect.succeed(result))
          // The driver counts the statement as answered only after this call.
          queueMicrotask(() => fail(error))
        })
      } catch (cause) {
        // A value that the driver cannot send.
        return fail(cause)
      }
      return Effect.suspend(() => this.#cancel(this.connection))
    })
  }

  readonly #failed = (cause: unknown): SqlError => {
    const error = toSqlError(cause, "execute")
    if (rollsBack(error)) stateOf(this.connection).rolledBack()
    return error
  }
}
