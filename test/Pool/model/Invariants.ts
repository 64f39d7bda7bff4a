/**
 * What must be true of a pool whenever everything that could run has run.
 */
import type * as ConnectionPool from "../../../src/Pool/ConnectionPool.ts"
import type * as History from "./History.ts"
import { type Account, type Borrower, type Connection, inPhase, isIdle } from "./Records.ts"

/** The longest pause between two dials of an endpoint that is down. */
export const maxDelay = 10

/** A connection that the pool has begun to close. */
export interface Closing {
  readonly connection: Connection
  /** Nobody used it then, and there was more than the caps allow. */
  readonly wasIdle: boolean
  readonly isOverCap: boolean
}

export interface Situation {
  readonly history: History.History
  readonly accounts: ReadonlyMap<string, Account>
  readonly borrowers: ReadonlyArray<Borrower>
  readonly maxPerEndpoint: number
  readonly maxTotal: number
  readonly now: number
  readonly stats: ConnectionPool.Stats
  /** Since everything had settled before. */
  readonly closings: ReadonlyArray<Closing>
  readonly waits: (borrower: Borrower) => boolean
  readonly expect: (condition: boolean, otherwise: string) => void
}

/** What `stats` says is what the connector and the borrowers know. */
export const countsAgree = ({ accounts, borrowers, expect, stats }: Situation): void => {
  for (const [key, account] of accounts) {
    const counts = stats.endpoints.get(key)
    // An endpoint that the pool does not know has nothing, and need not be looked at any closer.
    if (counts === undefined && account.connections.size === 0) continue
    const open = inPhase(account, "Open")
    const idle = open.filter(isIdle).length
    const actual = {
      total: account.connections.size,
      active: open.length - idle,
      idle,
      connecting: inPhase(account, "Dialling").length,
      closing: inPhase(account, "Closing").length,
      waiting: borrowers.filter((borrower) => borrower.key === key && borrower.state === "Waiting").length
    }
    const agrees = counts !== undefined && counts.total === actual.total && counts.active === actual.active &&
      counts.idle === actual.idle && counts.connecting === actual.connecting && counts.closing === actual.closing &&
      counts.waiting === actual.waiting
    if (!agrees) {
      expect(false, `of ${key} there is ${JSON.stringify(actual)}, but stats says ${JSON.stringify(counts)}`)
    }
  }
}

/** No dial is due: the endpoint is failing, and its pause is not over for sure. */
const isPausing = ({ failedAt, failing, mayHaveFailedAt }: Account, now: number): boolean =>
  failing && now < failedAt + maxDelay || now < mayHaveFailedAt + maxDelay

/** Nobody waits while something is free. */
export const nobodyWaitsInVain = (situation: Situation): void => {
  const { accounts, expect, history, maxPerEndpoint, maxTotal, now, stats } = situation
  const { concurrency, maxLifetime } = history.options
  for (const [key, account] of accounts) {
    const counts = stats.endpoints.get(key)
    if (counts === undefined || counts.waiting === 0) continue
    const fit = inPhase(account, "Open").filter(({ tended, unfitAt }) => unfitAt === Infinity && tended === "no")
    const open = fit.find(({ checkedFor, contested, holders, openedAt, reservations }) =>
      checkedFor === undefined && holders.size < (contested || reservations > 0 ? 1 : concurrency) &&
      now < openedAt + maxLifetime
    )
    const overCap = stats.total - stats.closing > maxTotal || counts.total - counts.closing > maxPerEndpoint
    expect(open === undefined || overCap, `borrowers of ${key} wait while it has a connection with room`)
    // Whoever finds room when a check has passed needs no connection of its own.
    const checked = fit.filter(({ checkedFor }) => checkedFor !== undefined).length
    const coming = checked === 0 ? 0 : checked * (concurrency - 1)
    const missing = Math.min(
      (coming < counts.waiting ? Math.ceil((counts.waiting - coming) / Math.min(concurrency, counts.waiting)) : 0) -
        counts.connecting,
      (account.failing ? 1 : 2) - counts.connecting,
      maxPerEndpoint - counts.total
    )
    if (missing <= 0 || isPausing(account, now)) continue
    expect(stats.total >= maxTotal, `borrowers of ${key} wait while a slot is free`)
    const others = [...accounts.values()].filter((other) => other !== account)
    const victim = others.some((other) => inPhase(other, "Open").some(isIdle))
    expect(!victim || stats.closing > 0, `borrowers of ${key} wait while another endpoint has an idle connection`)
  }
}

/** Every endpoint that was used has its minimum, unless somebody waits, a pause is on or there is no slot. */
export const minimumsAreKept = (
  { accounts, expect, history, maxPerEndpoint, maxTotal, now, stats }: Situation
): void => {
  const minimum = Math.min(history.options.minPerEndpoint, maxPerEndpoint)
  for (const [key, account] of accounts) {
    const counts = stats.endpoints.get(key)
    if (counts === undefined || counts.total >= minimum) continue
    if (!account.isKnown || counts.waiting > 0 || counts.connecting > 0 || isPausing(account, now)) continue
    expect(
      stats.total >= maxTotal,
      `${key} has ${counts.total} of at least ${minimum} connections while a slot is free`
    )
  }
}

/** What is idle has been asked in time whether it works. */
export const idleOnesAreChecked = ({ accounts, expect, history, now }: Situation): void => {
  for (const [key, account] of accounts) {
    for (const connection of inPhase(account, "Open")) {
      // One that is too old is not worth a question: it is lent to nobody.
      const isOld = now >= connection.openedAt + history.options.maxLifetime
      if (!isIdle(connection) || isOld) continue
      const age = now - connection.provenAt
      expect(
        age < history.options.keepalive,
        `nobody has asked for ${age} ms whether an idle connection to ${key} works`
      )
    }
  }
}

/**
 * Nothing is closed without a reason: it is broken, too old, over the caps, needed by another endpoint, in an unknown state
 * because its borrower was cut off, or idle for too long and more than the minimum.
 */
export const closedForAReason = (situation: Situation): void => {
  const { accounts, borrowers, closings, expect, history, now, waits } = situation
  const { idleTimeout, maxLifetime, minPerEndpoint } = history.options
  for (const { connection, isOverCap, wasIdle } of closings) {
    const { contested, key, openedAt, unfitAt, usedAt } = connection
    const isOthers = contested || borrowers.some((borrower) => borrower.key !== key && waits(borrower))
    const wasCutOff = borrowers.some((borrower) => borrower.key === key && borrower.task.cancelled)
    if (unfitAt < Infinity || now >= openedAt + maxLifetime || isOverCap || isOthers || wasCutOff) continue
    const account = accounts.get(key)
    const open = account === undefined ? 0 : inPhase(account, "Open").length
    const together = closings.filter((other) => other.connection.key === key).length
    const isSurplus = open + together > minPerEndpoint
    expect(
      wasIdle && now >= usedAt + idleTimeout && isSurplus,
      `a connection to ${key} was closed, idle for ${now - usedAt} ms and with ${open} others, for no reason`
    )
  }
}
