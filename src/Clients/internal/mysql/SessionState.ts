/**
 * The state of a connection's session: waiting for answers, or in a transaction.
 *
 * @since 0.1.0
 */
import type { Query, ResultSetHeader } from "mysql2"
import { className, isObject } from "../../../internal/SafeRead.ts"
import type { Connection } from "./Driver.ts"

/** Flags of the server's status, which it sends with each answer that has no rows. */
const flags = { inTransaction: 0x0001, autocommit: 0x0002 }

/** The server's answer to a statement that returns no rows. The driver does not export the class. */
export const isHeader = (result: unknown): result is ResultSetHeader =>
  isObject(result) && className(result) === "ResultSetHeader"

/** The state of one session. Its statements are counted from when they are sent to the end of their answers. */
export class SessionState {
  #unanswered = 0
  #status = flags.autocommit
  #isEnded = false
  #isRolledBack = false

  /** Counts a statement that is sent now. */
  sent(command: Query): void {
    this.#unanswered++
    command.once("end", () => this.#unanswered--)
    command.on("result", (result: unknown) => {
      if (isHeader(result)) this.#answered(result.serverStatus)
    })
  }

  #answered(status: number): void {
    if ((status & flags.inTransaction) !== 0 && !this.isInTransaction) this.#isRolledBack = false
    this.#status = status
  }

  /** The server has rolled back the transaction by itself. */
  rolledBack(): void {
    this.#isRolledBack = this.isInTransaction
    this.#status &= ~flags.inTransaction
  }

  /** The session has ended, or is about to. */
  ended(): void {
    this.#isEnded = true
  }

  get isInTransaction(): boolean {
    return !this.#isEnded && (this.#status & flags.inTransaction) !== 0
  }

  /** Whether the server has rolled back the transaction that was open last. */
  get isRolledBack(): boolean {
    return this.#isRolledBack
  }

  /** Whether a statement is unanswered, in a session that has not ended. */
  get isWaiting(): boolean {
    return this.#unanswered > 0 && !this.#isEnded
  }

  /** Whether all statements are answered and no transaction is open. Without autocommit the next statement opens one. */
  get isIdle(): boolean {
    const isAutocommit = (this.#status & flags.autocommit) !== 0
    return this.#unanswered === 0 && !this.#isEnded && isAutocommit && !this.isInTransaction
  }
}

const states = new WeakMap<Connection, SessionState>()

/** The state of a connection that is followed. */
export const stateOf = (connection: Connection): SessionState => {
  const known = states.get(connection)
  if (known !== undefined) return known
  const made = new SessionState()
  states.set(connection, made)
  return made
}

/** Follows the session of a new connection. A statement counts whichever function of the driver sends it. */
export const follow = <A extends Connection>(connection: A): A => {
  const state = stateOf(connection)
  const followed = (name: "execute" | "query") => {
    const send: unknown = Reflect.get(connection, name)
    return (...args: ReadonlyArray<unknown>): Query => {
      // Both functions return the command, whatever their arguments.
      const command = Reflect.apply(send as () => Query, connection, args)
      state.sent(command)
      return command
    }
  }
  return Object.assign(connection, { query: followed("query"), execute: followed("execute") })
}
