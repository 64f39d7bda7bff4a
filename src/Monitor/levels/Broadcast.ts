/**
 * Publishes levels, alerts and leaks to the monitor's streams, keeps the last ones, and logs leaks.
 *
 * @since 0.1.0
 */
import type * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Scheduler from "effect/Scheduler"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { scopeHooks } from "../../internal/ScopeHooks.ts"
import { sleepUnref } from "../../internal/Timer.ts"
import type { Alert } from "../Alert.ts"
import { fromFacts, type Leak, type LeakFacts } from "../Leak.ts"
import type { Level } from "../Usage.ts"

/**
 * Sends values to subscribers, and keeps the last ones.
 *
 * @category models
 * @since 0.1.0
 */
export interface Broadcast<A> {
  /** The values from now on. A slow subscriber misses the oldest ones. The stream ends with the scope of the broadcast. */
  readonly stream: Stream.Stream<A>
  /** The last `count` values, the oldest first. */
  readonly recent: (count: number) => ReadonlyArray<A>
  /** Never waits for a subscriber, and runs none before it returns. */
  readonly publish: (value: A) => void
}

/**
 * Keeps the last `capacity` values, and queues as many for each subscriber. A new subscriber receives the last `replay` values
 * first. When the scope ends, subscribers receive what is in their queues, and their streams end; a later stream ends at once.
 *
 * `PubSub` is not used: it would replay values even after its end, and adds 3.3 kB to a bundle.
 *
 * @category constructors
 * @since 0.1.0
 */
export const makeBroadcast = Effect.fnUntraced(
  function*<A>(capacity: number, replay: number = 0): Effect.fn.Return<Broadcast<A>, never, Scope.Scope> {
    const queues = new Set<Queue.Queue<A, Cause.Done>>()
    const history: Array<A> = []
    let hasEnded = false
    const recent = (count: number) => history.slice(Math.max(history.length - count, 0))
    const subscribe = (queue: Queue.Queue<A, Cause.Done>): unknown => {
      if (hasEnded) return Queue.endUnsafe(queue)
      Queue.offerAllUnsafe(queue, recent(replay))
      return queues.add(queue)
    }
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        hasEnded = true
        queues.forEach((queue) => Queue.endUnsafe(queue))
        queues.clear()
      })
    )
    return {
      stream: Stream.callback(
        (queue) => scopeHooks(() => subscribe(queue), () => queues.delete(queue)),
        { bufferSize: capacity, strategy: "sliding" }
      ),
      recent,
      publish: (value) => {
        history.push(value)
        if (history.length > capacity) history.shift()
        queues.forEach((queue) => Queue.offerUnsafe(queue, value))
      }
    }
  }
)

/**
 * How many alerts, and how many leaks, are kept. As many are queued for a slow subscriber before it misses the oldest.
 *
 * @category constants
 * @since 0.1.0
 */
export const remembered = 100

/**
 * Levels and alerts of one monitor.
 *
 * @category models
 * @since 0.1.0
 */
export interface AlertHub {
  /** The level in force at first, then each change. A slow subscriber misses older changes, never the last. */
  readonly levels: Stream.Stream<Level>
  readonly alerts: Broadcast<Alert>
  /** Publishes a level, if it differs from the last one, and alerts. */
  readonly publish: (level: Level, alerts: ReadonlyArray<Alert>) => void
}

/**
 * Publishes to streams that end with the scope.
 *
 * @category constructors
 * @since 0.1.0
 */
export const makeAlertHub = Effect.fnUntraced(
  function*(initial: Level): Effect.fn.Return<AlertHub, never, Scope.Scope> {
    const levels = yield* makeBroadcast<Level>(16, 1)
    const alerts = yield* makeBroadcast<Alert>(remembered)
    levels.publish(initial)
    return {
      levels: levels.stream,
      alerts,
      publish: (level, raised) => {
        for (const alert of raised) alerts.publish(alert)
        if (level !== levels.recent(1)[0]) levels.publish(level)
      }
    }
  }
)

/** The leaks of one place that were not logged since its last line in the log. */
interface Omission {
  count: number
  last: Leak | undefined
  /** The context of the first report, so that the count goes to the same loggers. */
  readonly context: Context.Context<never>
}

/**
 * How many places are counted separately. A program has few call sites, but the names of its spans may contain input from
 * peers.
 */
const mostPlaces = 1000

/** The context of a report without its clock and its scheduler: those of a test may have ended when the count is logged. */
const withoutTime = Context.omit(Clock.Clock, Scheduler.Scheduler)

const placeOf = (leak: Leak): string =>
  leak._tag === "ForeignGrowth" ? leak._tag : `${leak._tag} ${leak.site ?? leak.span ?? ""}`

const summaryOf = ({ context, count, last }: Omission, interval: string): Effect.Effect<void> =>
  last === undefined ? Effect.void : Effect.provideContext(
    Effect.logWarning(
      `${count} more ${count === 1 ? "report" : "reports"} of this kind from the same place within ${interval}, ` +
        `the last one: ${last.message}`
    ),
    context
  )

/**
 * Logs leaks as warnings: the first of each kind and place in an interval, and the number of the others at the end of the interval
 * or of the scope.
 *
 * @category constructors
 * @since 0.1.0
 */
export const makeLeakLogger = (
  interval: Duration.Duration
): Effect.Effect<(leak: Leak) => Effect.Effect<void>, never, Scope.Scope> =>
  Effect.gen(function*() {
    // The interval passes on the monitor's clock, not on that of the fiber that reports a leak.
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

/**
 * The leaks of one monitor.
 *
 * @category models
 * @since 0.1.0
 */
export interface LeakLog {
  /** Publishes and keeps a leak, and logs it or counts it for the next line in the log. */
  readonly report: (facts: LeakFacts) => Effect.Effect<void>
  readonly leaks: Broadcast<Leak>
}

/**
 * The log has one line for each place in an interval. The stream has every leak, and ends with the scope.
 *
 * @category constructors
 * @since 0.1.0
 */
export const makeLeakLog = Effect.fnUntraced(
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
