/**
 * Whether the server ends the session of a process that cannot act before the lease of its permit is over.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import { ConnectionBudget } from "../../../Pool/ConnectionBudget.ts"

/** What the server needs to end a session, and what clocks may differ by, in milliseconds. */
const margin = 1000

const rule =
  "The lease of a permit has to be longer than guardRails.statement + guardRails.idleSession + 1 second, so that no second session is " +
  "opened with the permit of a process that is frozen or cut off"

/** The milliseconds of a parameter of a session; `undefined` if it is not given, or has a unit. */
const millisOf = (value: string | undefined): number | undefined =>
  value !== undefined && /^[1-9]\d*$/.test(value) ? Number(value) : undefined

/** The warning for a lease, in milliseconds; `undefined` if it is long enough. `parameters` are those with which each session starts. */
export const leaseWarning = (
  lease: number,
  { idle_session_timeout: idle, statement_timeout: statement }: Readonly<Record<string, string | undefined>>
): string | undefined => {
  const [forIdle, forStatement] = [millisOf(idle), millisOf(statement)]
  if (forIdle === undefined || forStatement === undefined) {
    const missing = forIdle === undefined ? "guardRails.idleSession" : "guardRails.statement"
    return `${rule}: the lease is ${lease}ms, and ${missing} is not given`
  }
  if (lease > forStatement + forIdle + margin) return undefined
  return `${rule}: the lease is ${lease}ms, guardRails.statement ${forStatement}ms, guardRails.idleSession ${forIdle}ms`
}

/** Logs the warning for the budget of this context. A budget of this process has no lease. */
export const checkLease = (parameters: Readonly<Record<string, string | undefined>>): Effect.Effect<void> =>
  Effect.flatMap(ConnectionBudget, ({ lease }) => {
    const warning = lease === undefined ? undefined : leaseWarning(lease, parameters)
    return warning === undefined ? Effect.void : Effect.logWarning(`Postgres: ${warning}`)
  })
