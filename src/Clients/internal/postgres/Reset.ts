/**
 * Resets a session between two borrowers.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { SqlError } from "effect/sql/SqlError"
import { limited, type Session } from "./Session.ts"

/**
 * Rolls back an open transaction. If the session does not answer, or the rollback fails, the session is closed.
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
 * Does what `DISCARD ALL` does, in one round trip, but keeps plans and prepared statements, because the client still uses the names
 * of these statements.
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

/** Discards the state that a borrower has left in a session. If this fails, the session is closed. */
export const discard = ({ base, state }: Session, limit: Duration.Duration): Effect.Effect<void, SqlError> =>
  limited(Effect.asVoid(base.query(discarding)), limit, state)
