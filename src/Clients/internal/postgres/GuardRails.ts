/**
 * Limits that the server enforces on a session. They are for clients that cannot act, because they are frozen or their machine is
 * gone.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import type { OptionCheck } from "../../../internal/Options.ts"

/**
 * Limits that the server enforces, as parameters of each session from its start. Each is off unless it is given. PostgreSQL 14 and later
 * have all of these; a PgBouncer refuses them unless `ignore_startup_parameters` names them.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export interface GuardRails {
  /**
   * A session that was idle for this time is ended (`idle_session_timeout`). It should be above the pool's `idleTimeout`, so that
   * the pool closes the session first. The idle sessions of a frozen or lost client are closed after this time.
   */
  readonly idleSession?: Duration.Input | undefined
  /** A session that is idle in a transaction, where it holds locks, is ended after this (`idle_in_transaction_session_timeout`). */
  readonly idleInTransaction?: Duration.Input | undefined
  /** A statement that runs longer is cancelled (`statement_timeout`). */
  readonly statement?: Duration.Input | undefined
  /** A statement that waits longer for a lock is cancelled (`lock_timeout`). */
  readonly lock?: Duration.Input | undefined
  /** A session is ended when the client's host does not acknowledge data of the server for this time (`tcp_user_timeout`). */
  readonly unacknowledged?: Duration.Input | undefined
  /** How often the server checks during a statement whether the client is still connected (`client_connection_check_interval`). */
  readonly clientCheck?: Duration.Input | undefined
}

const parameters = {
  idleSession: "idle_session_timeout",
  idleInTransaction: "idle_in_transaction_session_timeout",
  statement: "statement_timeout",
  lock: "lock_timeout",
  unacknowledged: "tcp_user_timeout",
  clientCheck: "client_connection_check_interval"
} satisfies Record<keyof GuardRails, string>

/** The server counts whole milliseconds, and takes 0 for no limit. */
const millisOf = (duration: Duration.Duration): string => String(Math.max(1, Math.round(Duration.toMillis(duration))))

/** The parameters with which a session starts. Throws `InvalidOption`. */
export const guardRailParameters = (
  check: OptionCheck,
  rails: GuardRails | undefined,
  idleTimeout: Duration.Duration
): Readonly<Record<string, string>> => {
  const given: Record<string, string> = {}
  for (const [name, parameter] of Object.entries(parameters)) {
    // `Object.entries` forgets which names there are.
    const value = rails?.[name as keyof GuardRails]
    if (value === undefined) continue
    const limit = check.duration(`guardRails.${name}`, value, { min: 0, exclusive: true })
    const isAbove = name !== "idleSession" || Duration.isGreaterThan(limit, idleTimeout)
    check.require(
      isAbove,
      "guardRails.idleSession",
      value,
      () => `be above idleTimeout, which is ${Duration.format(idleTimeout)}`
    )
    given[parameter] = millisOf(limit)
  }
  return given
}
