/**
 * What is done to a session between two borrowers.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { SqlError } from "effect/sql/SqlError"
import { limited, type Session } from "./Session.ts"

/**
 * Rolls a transaction back that is still open. A session that does not answer is closed, and so is one whose transaction is left open by
 * a failure.
 */
export const rollback = ({ base, state }: Session, limit: Duration.Duration): Effect.Effect<void> =>
  Effect.suspend(() => {
    if (!state.inTransaction || state.isDead() || state.isCancelled) return Effect.void
    const rolledBack = Effect.map(base.query("ROLLBACK"), () => {
      state.inTransaction = false
    })
    return Effect.ignore(limited(Effect.interruptible(rolledBack), limit, state))
  })

/**
 * What `DISCARD ALL` does, except for prepared statements, which the client has names for, and plans. It is one statement, and so one round
 * trip.
 */
const discarding = `DO $$
BEGIN
  EXECUTE 'CLOSE ALL';
  SET SESSION AUTHORIZATION DEFAULT;
  RESET ALL;
  UNLISTEN *;
  PERFORM pg_advisory_unlock_all();
  DISCARD TEMP;
  DISCARD SEQUENCES;
END
$$`

/** Discards what a borrower has left in its session. A failure has the session closed. */
export const discard = ({ base, state }: Session, limit: Duration.Duration): Effect.Effect<void, SqlError> =>
  limited(Effect.asVoid(base.query(discarding)), limit, state)
