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
 * - `evicted_for_other`: another endpoint needed its slot or its permit.
 * - `died_idle`, `died_leased`: it has died by itself, idle or while a borrower had it.
 * - `unfit`: its borrower left it in a state in which it cannot be leased again.
 * - `check_failed`: a check or a hook has failed.
 * - `lease_ended`: its lease was lost, or was ended by `maxLease` or an operator.
 * - `drained`: the pool has ended.
 *
 * @category models
 * @since 0.1.0
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
