/**
 * The log of leaks, limited by the place in the program: the first of an interval is a line, and the others are a number.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Scheduler from "effect/Scheduler"
import type * as Scope from "effect/Scope"
import { sleepUnref } from "../internal/Timer.ts"
import type { Leak } from "./Leak.ts"

/** What one place has reported since its line. */
interface Omission {
  count: number
  last: Leak | undefined
  /** That of the first report, so that the number goes to the same loggers. */
  readonly context: Context.Context<never>
}

/** How many places are told apart at once. A site is code, but the name of a span may hold what a peer has sent. */
const mostPlaces = 1000

/** The context of a report without its clock and its scheduler, which may stand still when the number is logged. */
const withoutTime = Context.omit(Clock.Clock, Scheduler.Scheduler)

const placeOf = (leak: Leak): string =>
  leak._tag === "ForeignDrift" ? leak._tag : `${leak._tag} ${leak.site ?? leak.span ?? ""}`

const summaryOf = ({ context, count, last }: Omission, interval: string): Effect.Effect<void> =>
  last === undefined ? Effect.void : Effect.provideContext(
    Effect.logWarning(
      `${count} more ${count === 1 ? "report" : "reports"} of this kind from the same place within ${interval}, ` +
        `the last one: ${last.message}`
    ),
    context
  )

/**
 * Logs leaks as warnings. Of one verdict and one place it logs the first in each interval, and at the end of the interval, or of the
 * scope, how many more there were.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (
  interval: Duration.Duration
): Effect.Effect<(leak: Leak) => Effect.Effect<void>, never, Scope.Scope> =>
  Effect.gen(function*() {
    // The interval passes on the monitor's clock, whatever clock is in force where a leak is reported.
    const fork = Effect.runForkWith(yield* Effect.context<never>())
    const scope = yield* Effect.scope
    if (Duration.isZero(interval)) return (leak) => Effect.logWarning(leak.message)
    const text = Duration.format(interval)
    const omissions = new Map<string, Omission>()
    const summarize = Effect.suspend(() => {
      const all = [...omissions.values()]
      omissions.clear()
      return Effect.forEach(all, (omission) => summaryOf(omission, text), { discard: true })
    })
    const pause = Duration.isFinite(interval) ? sleepUnref(Duration.toMillis(interval)) : Effect.never
    const summarizeLater = Effect.uninterruptible(
      Effect.forkIn(Effect.ensuring(Effect.interruptible(pause), summarize), scope, { startImmediately: true })
    )
    const begin = Effect.sync(() => fork(summarizeLater))
    return (leak) =>
      Effect.withFiber((fiber) => {
        const own = placeOf(leak)
        const place = omissions.has(own) || omissions.size < mostPlaces ? own : leak._tag
        const omission = omissions.get(place)
        if (omission !== undefined) {
          omission.count++
          omission.last = leak
          return Effect.void
        }
        omissions.set(place, { count: 0, last: undefined, context: withoutTime(fiber.context) })
        const line = Effect.logWarning(leak.message)
        return omissions.size === 1 ? Effect.andThen(begin, line) : line
      })
  })
