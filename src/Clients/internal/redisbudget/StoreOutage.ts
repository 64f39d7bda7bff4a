/**
 * Decides what is logged about outages of a budget's store: a state machine for one process.
 *
 * **Details**
 *
 * An outage has two lines, one when it begins and one when it ends, as the outages of a pool's endpoints have. It has another one if its error
 * becomes another one, at most once a minute. Of the outages of a minute, three are logged, and the others if they last for ten seconds.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { errorTypeOf } from "../../../internal/ErrorType.ts"
import { measured } from "../../../internal/MeasuredTime.ts"
import { errorText, labelOf, safeMessage } from "../../../internal/SafeText.ts"
import type { BudgetError } from "../../../Pool/ConnectionBudget.ts"
import { PoolError } from "../../../Pool/PoolError.ts"
import type { Endpoint } from "../../../Resource/Endpoint.ts"
import { replyIn } from "../redis/Failure.ts"
import { type Away, shareOf } from "./Permits.ts"

/** The most outages that are logged in a minute. */
const mostOfMinute = 3

/** An outage that was left out is logged after these milliseconds, if it is not over. */
const flapping = 10_000

const minute = 60_000

interface Outage {
  readonly since: number
  /** When the last line about it was logged, and the type of the error in it. */
  loggedAt: number | undefined
  type: string | undefined
  /** The permits that were given without the store. */
  permits: number
}

/** A line of the log. */
export interface Line {
  readonly level: "Info" | "Warn"
  readonly text: string
  readonly annotations: Readonly<Record<string, string | number>>
}

const time = (millis: number): string =>
  measured(Duration.millis(millis < 1000 ? millis : Math.round(millis / 100) * 100))

const count = (number: number, noun: string): string => `${number} ${noun}${number === 1 ? "" : "s"}`

const areOf = (number: number): string => number === 1 ? "was" : "were"

/** The last failure to connect, about which a pool's error says more than belongs into a line. */
const failureIn = (error: unknown): unknown => {
  const cause = error instanceof PoolError ? error : error instanceof Error ? error.cause : undefined
  return cause instanceof PoolError && "cause" in cause.reason ? cause.reason.cause : undefined
}

/** Whether the pool of the budget itself has been closed, as at the end of a program. This says nothing of the store. */
const hasEnded = (error: unknown, depth = 0): boolean =>
  error instanceof PoolError
    ? error.reason._tag === "PoolClosed"
    : error instanceof Error && depth < 4 && hasEnded(error.cause, depth + 1)

/** The error of the store itself. */
const causeOf = (error: BudgetError): unknown => replyIn(error) ?? failureIn(error.cause) ?? error.cause

/** An answer of Redis begins with a word such as `WRONGTYPE`. */
const typeOf = (error: BudgetError): string =>
  /^[A-Z]{2,20}(?= )/.exec(replyIn(error)?.message ?? "")?.[0] ?? errorTypeOf(causeOf(error) ?? error)

const reasonOf = (error: BudgetError): string => {
  const cause = causeOf(error)
  return cause === undefined ? error.detail : errorText(cause, 500)
}

/** A store that answers with an error is there. */
const wordsOf = (error: BudgetError): string => replyIn(error) === undefined ? "is down" : "serves no borrower"

const meanwhileOf = ({ limit, maxInstances, onStoreError }: Away): string => {
  switch (onStoreError) {
    case "allow":
      return "connections are opened without a limit of the budget"
    case "fail":
      return "no permit is given"
    case "share":
      return `this process may have ${
        count(shareOf(limit, maxInstances), "permit")
      } (limit ${limit}, maxInstances ${maxInstances})`
  }
}

/** The outages of a store, as one process notices them. Times are in milliseconds, on a clock that does not go back. */
export class StoreOutage {
  readonly #title: string
  readonly #annotations: Readonly<Record<string, string | number>>
  #outage: Outage | undefined
  /** When the last outages were logged, of those of the last minute. */
  #logged: ReadonlyArray<number> = []
  /** The outages since the last line that were not logged. */
  #omitted = 0

  constructor(key: string, endpoint: Endpoint) {
    this.#title = `RedisBudget ${key}: its store ${labelOf(endpoint)}`
    this.#annotations = {
      "sluice.budget": labelOf(key),
      ...(endpoint._tag === "TcpEndpoint" ? { "server.address": endpoint.host, "server.port": endpoint.port } : {})
    }
  }

  /** The store has failed. The result is the line about it, if it has one. `away` is what holds without the store. */
  failed(error: BudgetError, at: number, away: Away): Line | undefined {
    if (hasEnded(error)) return undefined
    const outage = this.#outage ??= { since: at, loggedAt: undefined, type: undefined, permits: 0 }
    const isFirst = outage.loggedAt === undefined
    const type = typeOf(error)
    if (!(isFirst ? this.#isDue(outage, at) : type !== outage.type && at - (outage.loggedAt ?? at) >= minute)) {
      return undefined
    }
    if (isFirst) this.#logged = [...this.#logged, at]
    outage.loggedAt = at
    outage.type = type
    const age = at - outage.since
    const since = age === 0 ? "" : isFirst ? ` for ${time(age)}` : ` now, ${time(age)} after its outage began`
    const text = `${wordsOf(error)}${since}: ${reasonOf(error)}; until it is back, ${meanwhileOf(away)}`
    return this.#line("Warn", text + this.#omission(), { "error.type": type })
  }

  /** A permit was given without the store. */
  gave(): void {
    if (this.#outage !== undefined) this.#outage.permits++
  }

  /** The store has answered. The result is the line about it, if there was one about its outage. */
  isBack(at: number): Line | undefined {
    const outage = this.#outage
    this.#outage = undefined
    if (outage === undefined) return undefined
    if (outage.loggedAt === undefined) {
      this.#omitted++
      return undefined
    }
    const downFor = at - outage.since
    const text = `is back after ${time(downFor)}; ${count(outage.permits, "permit")} ${
      areOf(outage.permits)
    } given without it`
    return this.#line("Info", text, { "sluice.outage.duration": Math.round(downFor) })
  }

  #isDue({ since }: Outage, at: number): boolean {
    this.#logged = this.#logged.filter((before) => at - before < minute)
    return this.#logged.length < mostOfMinute || at - since >= flapping
  }

  #omission(): string {
    const omitted = this.#omitted
    this.#omitted = 0
    return omitted === 0 ? "" : `; ${count(omitted, "outage")} before ${areOf(omitted)} not logged`
  }

  #line(level: Line["level"], text: string, annotations: Line["annotations"]): Line {
    return {
      level,
      text: safeMessage(`${this.#title} ${text}`),
      annotations: { ...this.#annotations, ...annotations }
    }
  }
}

/** Logs a line. */
export const writeLine = ({ annotations, level, text }: Line): Effect.Effect<void> =>
  Effect.annotateLogs(Effect.logWithLevel(level)(text), annotations)
