/**
 * What `sluice fleet` prints of a budget that processes share.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import { safeLabel } from "../../internal/SafeText.ts"

/** A holder or a waiter of a budget. */
interface Entry {
  readonly process: string
  readonly label: string
  readonly weight: number
}

/** What a budget is asked for. It is the snapshot of `RedisBudget`. */
export interface Budget {
  readonly limit: number
  readonly isLimitSet: boolean
  readonly used: number
  readonly held: number
  readonly waiting: number
  readonly holders: ReadonlyArray<
    Entry & { readonly token: string; readonly heldFor: number; readonly expiresIn: number }
  >
  readonly waiters: ReadonlyArray<Entry>
}

const time = (millis: number): string => Duration.format(Duration.millis(Math.max(Math.round(millis / 100) * 100, 0)))

const ending = (expiresIn: number): string => expiresIn > 0 ? `in ${time(expiresIn)}` : "over"

/** Columns as wide as their longest cell. */
const table = (rows: ReadonlyArray<ReadonlyArray<string>>): ReadonlyArray<string> => {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)))
  return rows.map((row) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  ").trimEnd())
}

const headOf = (key: string, { isLimitSet, limit, used, waiting }: Budget): string => {
  const bound = isLimitSet ? `of ${limit}` : "(no limit is set here: each process applies its own option `connections`)"
  return `${safeLabel(key)}: ${used} ${used === 1 ? "permit" : "permits"} in use ${bound}, ${waiting} waiting`
}

/** The lines for a terminal. */
export const linesOf = (key: string, budget: Budget): ReadonlyArray<string> => {
  const holders = budget.holders.map(({ expiresIn, heldFor, label, process, token, weight }) => [
    time(heldFor),
    ending(expiresIn),
    String(weight),
    token,
    safeLabel(label),
    safeLabel(process)
  ])
  const waiters = budget.waiters.map(({ label, process, weight }, index) => [
    String(index + 1),
    String(weight),
    safeLabel(label),
    safeLabel(process)
  ])
  const left = (shown: number, all: number) => all > shown ? [`... and ${all - shown} more`] : []
  return [
    headOf(key, budget),
    ...(holders.length === 0 ? [] : [
      "",
      ...table([["held for", "lease ends", "permits", "token", "endpoint", "process"], ...holders]),
      ...left(holders.length, budget.held)
    ]),
    ...(waiters.length === 0 ? [] : [
      "",
      ...table([["place", "permits", "endpoint", "process"], ...waiters]),
      ...left(waiters.length, budget.waiting)
    ])
  ]
}
