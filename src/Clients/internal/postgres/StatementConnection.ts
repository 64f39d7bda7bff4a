/**
 * A session as `SqlClient` uses it.
 *
 * @since 0.1.0
 */
import type { Result, Row } from "@effect/sql-pg/PgConnection"
import * as Effect from "effect/Effect"
import type { Connection } from "effect/sql/SqlConnection"
import type { SqlError } from "effect/sql/SqlError"
import * as Stream from "effect/Stream"
import type { Session } from "./Session.ts"

type Transform = (<A extends object>(row: ReadonlyArray<A>) => ReadonlyArray<A>) | undefined

type Rows = Effect.Effect<ReadonlyArray<Row>, SqlError>

const rowsOf = ({ rows }: Result): ReadonlyArray<Row> => rows

const itself = (result: Result): Result => result

const transformed = (rows: Rows, transform: Transform): Rows =>
  transform === undefined ? rows : Effect.map(rows, transform)

export class StatementConnection implements Connection {
  readonly session: Session

  constructor(session: Session) {
    this.session = session
  }

  execute(sql: string, params: ReadonlyArray<unknown>, transform: Transform): Rows {
    return transformed(this.session.run(sql, params, true, rowsOf), transform)
  }

  executeUnprepared(sql: string, params: ReadonlyArray<unknown>, transform: Transform): Rows {
    return transformed(this.session.run(sql, params, false, rowsOf), transform)
  }

  executeRaw(sql: string, params: ReadonlyArray<unknown>): Effect.Effect<Result, SqlError> {
    return this.session.run(sql, params, true, itself)
  }

  executeValues(sql: string, params: ReadonlyArray<unknown>) {
    return this.session.queryValues(sql, params)
  }

  executeValuesUnprepared(sql: string, params: ReadonlyArray<unknown>) {
    return this.session.queryValues(sql, params, false)
  }

  executeStream(sql: string, params: ReadonlyArray<unknown>, transform: Transform): Stream.Stream<Row, SqlError> {
    const rows = this.session.stream(sql, params)
    return transform === undefined ? rows : Stream.mapArray(rows, (chunk) => {
      const [first, ...others] = transform(chunk)
      // A transformation renames the columns of each row, so that there are as many rows as before.
      return first === undefined ? chunk : [first, ...others]
    })
  }
}
