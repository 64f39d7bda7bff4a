/**
 * The rows of a statement as a stream. At most a few hundred rows are read ahead of the consumer.
 *
 * @since 0.1.0
 */
import type * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type { Pull } from "effect/Pull"
import type { Row } from "effect/sql/SqlConnection"
import type { SqlError } from "effect/sql/SqlError"
import * as Stream from "effect/Stream"
import type { Query } from "mysql2"
import type { Cancel } from "./Cancel.ts"
import type { Connection } from "./Driver.ts"
import { isHeader } from "./SessionState.ts"

/** The number of rows without a consumer at which reading is paused. */
const most = 512

type Rows = Arr.NonEmptyReadonlyArray<Row>

class RowReader {
  readonly #connection: Connection
  readonly #failed: (cause: unknown) => SqlError
  #rows: Array<Row> = []
  #error: SqlError | undefined
  #isPaused = false
  #isDiscarding = false
  #wake: (() => void) | undefined
  isAnswered = false

  constructor(connection: Connection, command: Query, failed: (cause: unknown) => SqlError) {
    this.#connection = connection
    this.#failed = failed
    command.on("result", (row: unknown) => this.#onRow(row))
    command.on("error", (cause: unknown) => this.#onError(cause))
    command.once("end", () => this.#onEnd())
    // A connection that breaks emits an error, and its command does not.
    connection.once("error", this.#onLost)
  }

  readonly #onLost = (cause: unknown): void => {
    this.#isDiscarding = true
    this.#rows = []
    this.#onError(cause)
    this.#onEnd()
  }

  #onRow(row: unknown): void {
    if (this.#isDiscarding || isHeader(row)) return
    // The driver makes the rows, and knows no more of their type.
    this.#rows.push(row as Row)
    if (this.#rows.length === 1) queueMicrotask(() => this.#wake?.())
    if (this.#rows.length >= most && !this.#isPaused) {
      this.#isPaused = true
      this.#connection.pause()
    }
  }

  #onError(cause: unknown): void {
    this.#error ??= this.#failed(cause)
  }

  #onEnd(): void {
    this.isAnswered = true
    this.#connection.off("error", this.#onLost)
    queueMicrotask(() => this.#wake?.())
  }

  #resume(): void {
    if (!this.#isPaused) return
    this.#isPaused = false
    // This call delivers rows that were read before, and these may pause the connection again.
    this.#connection.resume()
  }

  #next(): Effect.Effect<Rows, SqlError | Cause.Done> | undefined {
    const [first, ...others] = this.#rows
    if (first !== undefined) {
      this.#rows = []
      this.#resume()
      return Effect.succeed([first, ...others])
    }
    if (this.#error !== undefined) return Effect.fail(this.#error)
    return this.isAnswered ? Cause.done() : undefined
  }

  readonly pull: Pull<Rows, SqlError> = Effect.callback((resume) => {
    const now = this.#next()
    if (now !== undefined) return resume(now)
    this.#wake = () => {
      const next = this.#next()
      if (next === undefined) return
      this.#wake = undefined
      resume(next)
    }
    return Effect.sync(() => this.#wake = undefined)
  })

  /** Drops the rows that were read already. The connection stays paused, unless these were the last rows. */
  discard(): void {
    this.#isDiscarding = true
    this.#rows = []
    this.#resume()
    if (!this.isAnswered) this.#connection.pause()
  }
}

/** Sends a statement and streams its rows. If the stream is not read to the end, the statement is cancelled. */
export const rowStream = ({ cancel, connection, failed, send }: {
  readonly connection: Connection
  readonly send: () => Query
  readonly failed: (cause: unknown) => SqlError
  readonly cancel: Cancel
}): Stream.Stream<Row, SqlError> => {
  const opened = Effect.acquireRelease(
    Effect.try({ try: () => new RowReader(connection, send(), failed), catch: failed }),
    (reader) => {
      reader.discard()
      return reader.isAnswered ? Effect.void : cancel(connection)
    }
  )
  return Stream.unwrap(Effect.map(opened, ({ pull }) => Stream.fromPull(Effect.succeed(pull))))
}
