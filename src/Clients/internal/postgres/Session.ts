/**
 * A session as it is leased: the connection of `@effect/sql-pg`, and the state of the session that this connection does not have.
 *
 * @since 0.1.0
 */
import type { Notification, PgConnection, Result, Row } from "@effect/sql-pg/PgConnection"
import * as Cause from "effect/Cause"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import type { SqlError } from "effect/sql/SqlError"
import * as Stream from "effect/Stream"
import { elapsed } from "../../../internal/Timeout.ts"
import type { Recall } from "../../../Pool/ConnectionPool.ts"
import type { Settings } from "./Options.ts"
import { causedBy, failedWith } from "./SqlFailure.ts"
import { beginsTransaction, endsTransaction } from "./SqlText.ts"

/** The rules by which a session is leased again. */
export interface SessionRules extends Pick<Settings, "evictOn" | "reset"> {
  /** A session is closed after its first lease. */
  readonly isSingleUse: boolean
}

/** The state of a session. The views of the session write it. */
export interface SessionState {
  readonly rules: SessionRules
  /** Whether its socket has ended. */
  readonly isDead: () => boolean
  /** Whether the server's name still has the address of the session. */
  readonly isCurrent: () => boolean
  /** Completes as soon as its socket has ended. */
  readonly dead: Effect.Effect<void>
  /** Closes the socket at once, so that the statements of the session fail. */
  readonly destroy: () => void
  /** A statement was sent, and has not succeeded since. */
  isBusy: boolean
  inTransaction: boolean
  /** A CancelRequest was sent. The server may act on it after the end of its statement, and so cancel a later one. */
  isCancelled: boolean
  /** A CancelRequest was sent for the statement that is under way, so that it needs no other one. */
  isEnding: boolean
  /** It is being closed, and takes no further statement. */
  isClosing: boolean
  /** The server has answered with an error after which the session must be closed (`evictOn`). */
  isUseless: boolean
  /** Called when a cancelled statement has ended. */
  drained: () => void
  /** Keeps the session for its present borrowers. It does nothing without a pool that shares sessions. */
  reserve: Effect.Effect<void, never, Scope.Scope>
  /** Completes when the leased session has to be given back to its pool. Without a pool it never completes. */
  recalled: Effect.Effect<Recall>
  /** Has the pool close the session instead of leasing it again. It does nothing without a pool. */
  invalidate: Effect.Effect<void>
}

/**
 * Runs a statement of this library with a time limit. An interrupted statement would wait for the server, so the limit ends the
 * session instead, and the statement fails because of that.
 */
export const limited = <A, E>(
  statement: Effect.Effect<A, E>,
  limit: Duration.Duration,
  state: SessionState
): Effect.Effect<A, E> =>
  Effect.raceFirst(
    statement,
    Effect.andThen(elapsed(limit), Effect.andThen(Effect.sync(state.destroy), Effect.never))
  )

/** Whether a session may be leased again: after a borrow with this exit, or, without an exit, before the next borrow. */
export const isReusable = ({ state }: Session, exit?: Exit.Exit<unknown, unknown>): boolean => {
  const { evictOn, isSingleUse, reset } = state.rules
  if (state.isDead() || state.isCancelled || state.isUseless || !state.isCurrent()) return false
  if (state.inTransaction && reset !== "none") return false
  if (exit === undefined) return true
  state.isBusy = false
  return !isSingleUse && (Exit.isSuccess(exit) || !Cause.hasDies(exit.cause) && !failedWith(exit, evictOn))
}

/**
 * A session, shared with others or not. It is a `PgConnection` that notes what its statements do to the session.
 *
 * Errors of its statements are not examined here. `isReusable` examines the error with which a borrow has failed.
 *
 * @stability stable
 */
export class Session implements PgConnection {
  readonly "~@effect/sql-pg/PgConnection" = "~@effect/sql-pg/PgConnection"
  /** The connection that this is a view of. */
  readonly base: PgConnection
  readonly state: SessionState

  constructor(base: PgConnection, state: SessionState) {
    this.base = base
    this.state = state
  }

  get config() {
    return this.base.config
  }

  get processId() {
    return this.base.processId
  }

  get interrupt() {
    return this.base.interrupt
  }

  /** An exclusive view, for as long as the scope is open. */
  get pin(): Effect.Effect<Session, never, Scope.Scope> {
    return Effect.andThen(
      this.state.reserve,
      Effect.map(this.base.pin, (pinned): Session => new PinnedSession(pinned, this.state))
    )
  }

  readonly query = (sql: string, params?: ReadonlyArray<unknown>, prepare = true): Effect.Effect<Result, SqlError> =>
    this.run(sql, params, prepare, (result) => result)

  readonly queryValues = (
    sql: string,
    params?: ReadonlyArray<unknown>,
    prepare = true
  ): Effect.Effect<ReadonlyArray<ReadonlyArray<unknown>>, SqlError> => {
    this.begin(sql)
    return this.watch(Effect.map(this.base.queryValues(sql, params, prepare), (values) => {
      this.succeeded(sql, "")
      return values
    }))
  }

  readonly stream = (sql: string, params?: ReadonlyArray<unknown>): Stream.Stream<Row, SqlError> =>
    Stream.unwrap(Effect.map(this.pin, (pinned) => pinned.stream(sql, params)))

  readonly listen = (
    channel: string
  ): Effect.Effect<Queue.Dequeue<Notification, SqlError>, SqlError, Scope.Scope> =>
    Effect.flatMap(this.pin, (pinned) => pinned.listen(channel))

  /** Runs a statement, and returns the requested part of its result. */
  run<A>(
    sql: string,
    params: ReadonlyArray<unknown> | undefined,
    prepare: boolean,
    take: (result: Result) => A
  ): Effect.Effect<A, SqlError> {
    this.begin(sql)
    return this.watch(Effect.map(this.base.query(sql, params, prepare), (result) => {
      this.succeeded(sql, result.command)
      return take(result)
    }))
  }

  /** Updates the state before the answer, because a statement that is interrupted may have begun a transaction. */
  protected begin(sql: string): void {
    this.state.isBusy = true
    this.state.isEnding = false
    if (beginsTransaction(sql)) this.state.inTransaction = true
  }

  protected succeeded(sql: string, command: string): void {
    const { state } = this
    state.isBusy = false
    if (state.inTransaction) state.inTransaction = !endsTransaction(sql)
    else state.inTransaction = command === "BEGIN" || command === "START"
  }

  protected watch<A>(statement: Effect.Effect<A, SqlError>): Effect.Effect<A, SqlError> {
    return statement
  }
}

/** Whether a session has ended or is about to end. Its transaction ends with it. */
export const hasEnded = ({ state }: Session): boolean => state.isClosing || state.isDead()

/** A session with one borrower. The borrower may handle errors of statements, so each of them is examined here. */
export class LeasedSession extends Session {
  protected override watch<A>(statement: Effect.Effect<A, SqlError>): Effect.Effect<A, SqlError> {
    return Effect.onExitPrimitive(statement, (exit) => {
      if (Exit.isFailure(exit)) this.judge(exit)
      return undefined
    })
  }

  /** A statement that was interrupted has ended by now. */
  protected judge(exit: Exit.Exit<unknown, unknown>): void {
    this.ended()
    this.evictAfter(exit)
  }

  protected ended(): void {
    this.state.isBusy = false
    this.state.drained()
  }

  protected evictAfter(exit: Exit.Exit<unknown, unknown>): void {
    if (Exit.isFailure(exit) && causedBy(exit.cause, this.state.rules.evictOn)) this.state.isUseless = true
  }
}

/** A session that is pinned: statements outside of this view wait for its end. */
class PinnedSession extends LeasedSession {
  override get pin(): Effect.Effect<Session, never, Scope.Scope> {
    return Effect.succeed(this)
  }

  override readonly stream = (sql: string, params?: ReadonlyArray<unknown>): Stream.Stream<Row, SqlError> =>
    Stream.unwrap(Effect.as(
      // The release comes after that of the driver, which cancels a statement that is under way and waits for its end.
      Effect.acquireRelease(Effect.sync(() => this.begin(sql)), () => Effect.sync(() => this.ended())),
      Stream.onExit(this.base.stream(sql, params), (exit) => Effect.sync(() => this.evictAfter(exit)))
    ))

  override readonly listen = (channel: string) => this.base.listen(channel)
}
