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
  "The lease of a permit has to be longer than guardRails.statement + the longer of guardRails.idleSession and " +
  "guardRails.idleInTransaction + 1 second, so that no second session is opened with the permit of a process that is frozen or cut off"

/** The limits of a session. Which of the last two ends it depends on whether a transaction is open. */
const limits = [
  ["guardRails.statement", "statement_timeout"],
  ["guardRails.idleSession", "idle_session_timeout"],
  ["guardRails.idleInTransaction", "idle_in_transaction_session_timeout"]
] as const

type Parameters = Readonly<Record<string, string | undefined>>

/** The milliseconds of a parameter of a session; `undefined` if it is not given, or has a unit. */
const millisOf = (value: string | undefined): number | undefined =>
  value !== undefined && /^[1-9]\d*$/.test(value) ? Number(value) : undefined

/** The warning for a lease, in milliseconds; `undefined` if it is long enough. `parameters` are those with which each session starts. */
export const leaseWarning = (lease: number, parameters: Parameters): string | undefined => {
  const missing = limits.filter(([, parameter]) => millisOf(parameters[parameter]) === undefined)
  if (missing.length > 0) {
    const names = missing.map(([name]) => name).join(" and ")
    return `${rule}: the lease is ${lease}ms, and ${names} ${missing.length === 1 ? "is" : "are"} not given`
  }
  const [statement = 0, ...idle] = limits.map(([, parameter]) => Number(parameters[parameter]))
  if (lease > statement + Math.max(...idle) + margin) return undefined
  return `${rule}: the lease is ${lease}ms, ${
    limits.map(([name, parameter]) => `${name} ${parameters[parameter]}ms`).join(", ")
  }`
}

/** Logs the warning for the budget of this context. A budget of this process has no lease. */
export const checkLease = (parameters: Parameters): Effect.Effect<void> =>
  Effect.flatMap(ConnectionBudget, ({ lease }) => {
    const warning = lease === undefined ? undefined : leaseWarning(lease, parameters)
    return warning === undefined ? Effect.void : Effect.logWarning(`Postgres: ${warning}`)
  })
