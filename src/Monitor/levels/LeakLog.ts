/**
 * Publishes leaks to the monitor's stream, keeps the last ones, and logs them: one line for each call site and interval.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type BoundedLog, makeBoundedLog, type Reports } from "../../internal/BoundedLog.ts"
import { fromFacts, type Leak, type LeakFacts, verdictOf } from "../Leak.ts"
import { type Broadcast, makeBroadcast, remembered } from "./Broadcast.ts"

/** For how many milliseconds the first line of a call site waits for further leaks, so that it has the number of all. */
export const collectedFor = 1000

const placeOf = (leak: Leak): string =>
  leak._tag === "ForeignGrowth" ? leak._tag : `${leak._tag} ${leak.site ?? leak.span ?? ""}`

/** The leak that a line shows: that with the longest age, or the last report of foreign descriptors. */
const worse = (left: Leak, right: Leak): Leak =>
  left._tag === "ForeignGrowth" || right._tag === "ForeignGrowth" ||
    Duration.isGreaterThanOrEqualTo(right.age, left.age)
    ? right
    : left

/** What a line says in annotations, so that it can be searched for. Texts of a leak are safe to print. */
const annotationsOf = ({ count, worst }: Reports<Leak>): Record<string, unknown> => {
  const verdict = { "sluice.verdict": verdictOf(worst), "sluice.count": count }
  if (worst._tag === "ForeignGrowth") return verdict
  const { age, label, pool, site, span } = worst
  const texts = {
    "db.client.connection.pool.name": pool,
    "sluice.endpoint": label,
    "sluice.site": site,
    "sluice.span": span
  }
  const known = Object.entries(texts).filter(([, text]) => text !== undefined)
  return { ...verdict, ...Object.fromEntries(known), "sluice.longest": Duration.toSeconds(age) }
}

const lineOf = (reports: Reports<Leak>): Effect.Effect<void> => {
  const { count, worst } = reports
  const text = count === 1 ? worst.message : `${worst.message}; ${count - 1} more from the same place`
  const line = worst._tag === "Returned" ? Effect.logInfo(text) : Effect.logWarning(text)
  return Effect.annotateLogs(line, annotationsOf(reports))
}

/**
 * Logs leaks as warnings, and the return of a reported lease as information. A line of a call site has the number of its leaks. The first one
 * comes after {@link collectedFor}, a further one not before the interval is over, and the last one at the end of the scope.
 *
 * @category constructors
 * @since 0.1.0
 */
export const makeLeakLogger = (
  interval: Duration.Duration
): Effect.Effect<(leak: Leak) => Effect.Effect<void>, never, Scope.Scope> =>
  Effect.map(
    makeBoundedLog<Leak>({ interval, delay: collectedFor, worse, line: lineOf }),
    (log: BoundedLog<Leak>) => (leak: Leak) => log(placeOf(leak), leak._tag, leak)
  )

/**
 * The leaks of one monitor.
 *
 * @category models
 * @since 0.1.0
 */
export interface LeakLog {
  /** Publishes and keeps a leak, and counts it for a line in the log. */
  readonly report: (facts: LeakFacts) => Effect.Effect<void>
  readonly leaks: Broadcast<Leak>
}

/**
 * The log has one line for each call site in an interval. The stream has every leak, and ends with the scope.
 *
 * @category constructors
 * @since 0.1.0
 */
export const makeLeakLog = /*#__PURE__*/ Effect.fnUntraced(
  function*(logInterval: Duration.Duration): Effect.fn.Return<LeakLog, never, Scope.Scope> {
    const leaks = yield* makeBroadcast<Leak>(remembered)
    const log = yield* makeLeakLogger(logInterval)
    return {
      report: (facts) =>
        Effect.suspend(() => {
          const leak = fromFacts(facts)
          leaks.publish(leak)
          return log(leak)
        }),
      leaks
    }
  }
)
