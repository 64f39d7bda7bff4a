/**
 * Limits how often a program logs reports of the same kind: at most one line for each place and interval, with the number of reports.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Scheduler from "effect/Scheduler"
import type * as Scope from "effect/Scope"
import { monotonicMillis } from "./MonotonicTime.ts"
import { Alarm } from "./Timer.ts"

/** What a line of the log stands for. */
export interface Reports<A> {
  /** How many reports there were since the last line of their place. */
  readonly count: number
  /** One of them, chosen by `worse`. */
  readonly worst: A
}

/** How reports are logged. */
export interface BoundedLogOptions<A> {
  /** The least time between two lines of one place. With 0 each report has its own line; with `Infinity` the second line comes at the end. */
  readonly interval: Duration.Duration
  /** For how many milliseconds the first line of a place waits for further reports, at most the interval. With 0 it does not wait. */
  readonly delay: number
  /** Which report a line shows. */
  readonly worse: (left: A, right: A) => A
  readonly line: (reports: Reports<A>) => Effect.Effect<void>
}

/** The reports of one place that are not logged yet. */
interface Pending<A> {
  reports: Reports<A> | undefined
  /** When the next line is due, or the place can be forgotten. */
  due: number
  /** The context of the first report, so that later lines go to the same loggers. */
  readonly context: Context.Context<never>
}

/** How many places have lines of their own. Names of places may contain input from peers. */
const mostPlaces = 1000

/** The context of a report without its clock and its scheduler: those of a test may have ended when the line is logged. */
const withoutTime = Context.omit(Clock.Clock, Scheduler.Scheduler)

/** Reports something of a place. `others` is the place that counts it if there are too many places. */
export type BoundedLog<A> = (place: string, others: string, value: A) => Effect.Effect<void>

/** Makes a log that is bounded. At the end of the scope it logs what is left. The time passes on the clock of this context. */
export const makeBoundedLog = <A>(
  { delay, interval, line, worse }: BoundedLogOptions<A>
): Effect.Effect<BoundedLog<A>, never, Scope.Scope> =>
  Effect.gen(function*() {
    if (Duration.isZero(interval)) return (_, __, worst) => line({ count: 1, worst })
    const clock = yield* Effect.clockWith(Effect.succeed)
    const fork = Effect.runForkWith(yield* Effect.context<never>())
    const pause = Duration.toMillis(interval)
    const places = new Map<string, Pending<A>>()
    const now = () => monotonicMillis(clock)
    const flush = (pending: Pending<A>): Effect.Effect<void> => {
      const { context, reports } = pending
      pending.reports = undefined
      return reports === undefined ? Effect.void : Effect.provideContext(line(reports), context)
    }
    const onDue = () => {
      const at = now()
      let next = Infinity
      for (const [place, pending] of places) {
        if (pending.due <= at) {
          if (pending.reports === undefined) places.delete(place)
          else fork(flush(pending))
          pending.due = at + pause
        }
        if (places.has(place)) next = Math.min(next, pending.due)
      }
      return next
    }
    const alarm = new Alarm({ clock, fork, now, onDue })
    yield* Effect.addFinalizer(() => {
      alarm.stop()
      return Effect.forEach(places.values(), flush, { discard: true })
    })
    return (own, others, value) =>
      Effect.withFiber((fiber) => {
        const place = places.has(own) || places.size < mostPlaces ? own : others
        const known = places.get(place)
        if (known !== undefined) {
          const { count, worst } = known.reports ?? { count: 0, worst: value }
          known.reports = { count: count + 1, worst: worse(worst, value) }
          return Effect.void
        }
        const first = { count: 1, worst: value }
        const due = now() + (delay === 0 ? pause : Math.min(delay, pause))
        places.set(place, { reports: delay === 0 ? undefined : first, due, context: withoutTime(fiber.context) })
        if (due < Infinity) alarm.at(due)
        return delay === 0 ? line(first) : Effect.void
      })
  })
