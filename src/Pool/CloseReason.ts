/**
 * The reasons for which connections of a pool are closed.
 *
 * @since 0.1.0
 */

/**
 * Why a connection was closed. Each connection that was opened ends for exactly one of these reasons.
 *
 * - `idle`: it was idle for longer than `idleTimeout`, or pressure on the process has closed it.
 * - `lifetime`: it was open for longer than `maxLifetime`.
 * - `evicted`: `evict`, `invalidate` or a lowered cap.
 * - `evicted_for_other`: another endpoint needed its slot or its permit, or its server has refused another connection for lack of room.
 * - `died_idle`, `died_leased`: it has died by itself, before a borrower used it or while one did.
 * - `unfit`: its borrower left it in a state in which it cannot be leased again, or its connector has found such a state.
 * - `check_failed`: a check or a hook has failed.
 * - `lease_ended`: its lease was lost, or was ended by `maxLease` or an operator.
 * - `drained`: the pool has ended.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export type CloseReason =
  | "idle"
  | "lifetime"
  | "evicted"
  | "evicted_for_other"
  | "died_idle"
  | "died_leased"
  | "unfit"
  | "check_failed"
  | "lease_ended"
  | "drained"

const none: Readonly<Record<CloseReason, number>> = {
  idle: 0,
  lifetime: 0,
  evicted: 0,
  evicted_for_other: 0,
  died_idle: 0,
  died_leased: 0,
  unfit: 0,
  check_failed: 0,
  lease_ended: 0,
  drained: 0
}

/** Counts of closed connections, under construction. */
export const noneClosed = (): Record<CloseReason, number> => ({ ...none })
