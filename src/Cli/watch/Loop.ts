/**
 * Observes a process at an interval, until it ends or the output has no reader. One observation is called a look.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { monotonicMillis } from "../../internal/MonotonicTime.ts"
import { ProcReader } from "../../Monitor/readings/Procfs.ts"
import type { Look } from "./Observer.ts"
import * as Observer from "./Observer.ts"
import * as Target from "./Target.ts"
import type { Limits, Moment } from "./Trend.ts"
import * as Trend from "./Trend.ts"
import * as WatchError from "./WatchError.ts"
import type { WatchFailed } from "./WatchError.ts"

/**
 * What to watch, and how.
 *
 * @category options
 * @since 0.1.0
 */
export interface Settings {
  readonly pid: number
  readonly interval: Duration.Duration
  /** How many looks to take; with `Infinity`, until the process ends. */
  readonly count: number
  readonly limits: Limits
}

/**
 * Why a watch ended: the process ended, the requested looks are taken, or the output has no reader.
 *
 * @category models
 * @since 0.1.0
 */
export interface Ending {
  readonly reason: "ProcessEnded" | "Counted" | "ReaderGone"
  /** Wall-clock time in milliseconds since 1970. */
  readonly at: number
  readonly last: Moment
  readonly looks: number
}

/**
 * Receives each look, and returns whether to continue.
 *
 * @category models
 * @since 0.1.0
 */
export type Show = (moment: Moment) => Effect.Effect<boolean>

const now = Effect.map(Clock.Clock, monotonicMillis)

/**
 * The time from one look to the next is at least this many times the duration of the look, so that looks take at most half of
 * the time.
 */
const minIntervalFactor = 2

/** How often a long wait checks whether the process still exists, in milliseconds. */
const existenceInterval = 1000

/** Waits until a time on the monotonic clock; returns whether the process still exists. */
const waitUntil = (due: number, isThere: Effect.Effect<boolean, WatchFailed>): Effect.Effect<boolean, WatchFailed> =>
  Effect.gen(function*() {
    while (true) {
      const left = due - (yield* now)
      if (left <= 0) return true
      yield* Effect.sleep(Math.min(left, existenceInterval))
      if (!(yield* isThere)) return false
    }
  })

interface Progress {
  trend: Trend.Trend
  last: Moment | undefined
  looks: number
}

const ending = (progress: Progress, reason: Ending["reason"], pid: number): Effect.Effect<Ending, WatchFailed> =>
  Effect.gen(function*() {
    const { last, looks } = progress
    // The process has ended before the first look.
    if (last === undefined) {
      return yield* new WatchError.WatchFailed({ reason: new WatchError.NoSuchProcess({ pid }) })
    }
    return { reason, at: yield* Clock.currentTimeMillis, last, looks }
  })

const advance = (progress: Progress, look: Look, limits: Limits): Moment => {
  const { moment, trend } = Trend.step(progress.trend, look, limits)
  progress.trend = trend
  progress.last = moment
  progress.looks += 1
  return moment
}

/**
 * Watches a process until it ends, until `count` looks are taken, or until `show` returns `false`. Fails with the reason if
 * the process cannot be watched.
 *
 * @category constructors
 * @since 0.1.0
 */
export const run = ({ count, interval, limits, pid }: Settings, show: Show): Effect.Effect<Ending, WatchFailed> =>
  Effect.scoped(Effect.gen(function*() {
    const reader = yield* ProcReader
    const target = yield* Target.find(reader, pid)
    const observer = yield* Observer.make(reader, target)
    const isThere = Effect.map(Target.present(reader, target), (stat) => stat !== undefined)
    const progress: Progress = { trend: Trend.initial, last: undefined, looks: 0 }
    while (true) {
      const begin = yield* now
      const look = yield* observer.look(progress.looks + 1 >= count)
      const took = (yield* now) - begin
      if (look === undefined) return yield* ending(progress, "ProcessEnded", pid)
      const wantsMore = yield* show(advance(progress, look, limits))
      if (progress.looks >= count) return yield* ending(progress, "Counted", pid)
      if (!wantsMore) return yield* ending(progress, "ReaderGone", pid)
      const due = begin + Math.max(Duration.toMillis(interval), took * minIntervalFactor)
      if (!(yield* waitUntil(due, isThere))) return yield* ending(progress, "ProcessEnded", pid)
    }
  }))
