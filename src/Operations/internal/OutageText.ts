/**
 * The texts and the annotations of the lines about outages.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import { errorTypeOf } from "../../internal/ErrorType.ts"
import { errorText, safeMessage, safeText } from "../../internal/SafeText.ts"
import type { LogLine } from "./LogLine.ts"
import { isHeld, outageKindOf, outageWords } from "./OutageKind.ts"
import type { Failed, Line } from "./OutageLog.ts"

/** Where an endpoint is, if its key says so. */
export type Address = { readonly host: string; readonly port: number } | undefined

const time = (millis: number): string =>
  Duration.format(Duration.millis(millis < 1000 ? Math.round(millis) : Math.round(millis / 100) * 100))

const count = (number: number, noun: string): string => `${number} ${noun}${number === 1 ? "" : "s"}`

/** A server that accepts connections and is silent fails the requests on them, which are the borrowers' own. */
const failures = ({ attempts, borrows }: Pick<Failed, "attempts" | "borrows">): string =>
  attempts + borrows === 0
    ? "requests on its connections failed"
    : `${count(attempts, "attempt")} to connect and ${count(borrows, "borrower")} failed`

const causeOf = ({ borrows, cause }: Failed): string => {
  // A silent server looks the same as borrowers that keep what they have.
  const held = "; the server is silent, or its borrowers keep their connections for much longer than before"
  if (cause !== undefined) return `${errorText(cause, 500)}${isHeld(cause) ? held : ""}`
  return borrows > 0 ? "its borrowers run out of time" : "it does not answer"
}

const waiting = (number: number): string => number === 1 ? "1 borrower waits" : `${number} borrowers wait`

const namesOf = (endpoints: ReadonlyArray<string>, all: number): string =>
  endpoints.join(", ") + (all > endpoints.length ? ", ..." : "")

const textOf = (line: Line): string => {
  switch (line._tag) {
    case "Down":
      return `${line.endpoint} ${outageWords[outageKindOf(line.failed)]}${
        line.for > 0 ? ` for ${time(line.for)}` : ""
      }: ${causeOf(line.failed)}; ${waiting(line.waiting)}`
    case "Changed":
      return `${line.endpoint} ${outageWords[outageKindOf(line.failed)]} now, ${
        time(line.for)
      } after its outage began: ${causeOf(line.failed)}; ${waiting(line.waiting)}`
    case "Back":
      return `${line.endpoint} is back after ${time(line.for)}; ${failures(line.failed)}`
    case "Forgotten":
      return `${line.endpoint} was down for ${time(line.for)}, and is not used any more; ${failures(line.failed)}`
    case "Flapped":
      return `${line.endpoint} was down ${count(line.omitted.outages, "more time")} in the last ${
        time(line.over)
      }, for ${time(line.omitted.downFor)} in all, and ${
        line.isDown ? "is down" : "is back"
      }; these outages were not logged; ${failures(line.omitted)}`
    case "MoreDown":
      return `${count(line.count, "more endpoint")} ${line.count === 1 ? "is" : "are"} down (${
        namesOf(line.endpoints, line.count)
      }); ${waiting(line.waiting)}`
    case "MoreBack":
      return `${count(line.omitted.outages, "more outage")} that ${
        line.omitted.outages === 1 ? "was" : "were"
      } not logged ${line.omitted.outages === 1 ? "is" : "are"} over; ${failures(line.omitted)}`
    case "Ended":
      return `the pool has ended while ${count(line.count, "endpoint")} of it ${
        line.count === 1 ? "was" : "were"
      } down (${namesOf(line.endpoints, line.count)})`
  }
}

const warnings: ReadonlySet<Line["_tag"]> = new Set(["Down", "Changed", "Flapped", "MoreDown"])

const isWarning = ({ _tag }: Line): boolean => warnings.has(_tag)

const rounded = (millis: number): number => Math.round(millis)

const detailsOf = (line: Line): Readonly<Record<string, string | number>> => {
  switch (line._tag) {
    case "Down":
    case "Changed": {
      const { cause } = line.failed
      return {
        "sluice.waiting": line.waiting,
        ...(cause === undefined ? {} : { "error.type": errorTypeOf(cause) })
      }
    }
    case "Back":
    case "Forgotten":
      return {
        "sluice.outage.duration": rounded(line.for),
        "sluice.outage.failed_attempts": line.failed.attempts,
        "sluice.outage.failed_borrows": line.failed.borrows
      }
    case "Flapped":
    case "MoreBack":
      return {
        "sluice.outage.count": line.omitted.outages,
        "sluice.outage.duration": rounded(line.omitted.downFor),
        "sluice.outage.failed_attempts": line.omitted.attempts,
        "sluice.outage.failed_borrows": line.omitted.borrows
      }
    case "MoreDown":
      return { "sluice.outage.count": line.count, "sluice.waiting": line.waiting }
    case "Ended":
      return { "sluice.outage.count": line.count }
  }
}

/** A line as it is logged: `pool` is the name of the pool, `addressOf` finds the address of an endpoint. */
export const logLineOf = (pool: string, line: Line, addressOf: (label: string) => Address): LogLine => {
  const address = "endpoint" in line ? addressOf(line.endpoint) : undefined
  return {
    level: isWarning(line) ? "Warn" : "Info",
    message: safeMessage(`ConnectionPool ${safeText(pool, 200)}: ${textOf(line)}`),
    annotations: {
      "db.client.connection.pool.name": pool,
      ...("endpoint" in line ? { "sluice.pool.endpoint": line.endpoint } : {}),
      ...(address === undefined ? {} : { "server.address": address.host, "server.port": address.port }),
      ...detailsOf(line)
    }
  }
}
