/**
 * Looks at a process again and again, until it has ended or nobody wants to know any more.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
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
  /** How many looks to take, `Infinity` for as many as there are until the process ends. */
  readonly count: number
  readonly limits: Limits
}

/**
 * How a watch ended: the process did, the looks that were wanted are taken, or nobody reads what is printed.
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
 * Who is told of each look. It answers whether it wants more.
 *
 * @category models
 * @since 0.1.0
 */
export type Show = (moment: Moment) => Effect.Effect<boolean>

const now = Effect.map(Clock.monotonicTimeNanos, (nanos) => Number(nanos) / 1e6)

/** Looking takes at most one part of the time in so many, however much there is to look at and however busy the machine is. */
const thrift = 2

/** How often a long pause is broken off to see whether the process is still there, in milliseconds. */
const glance = 1000

/** Waits until a moment on the monotonic clock; says whether the process is still there. */
const waitUntil = (due: number, isThere: Effect.Effect<boolean, WatchFailed>): Effect.Effect<boolean, WatchFailed> =>
  Effect.gen(function*() {
    while (true) {
      const left = due - (yield* now)
      if (left <= 0) return true
      yield* Effect.sleep(Math.min(left, glance))
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
    // It was there when it was found, and gone before the first look.
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
 * Watches a process. It ends when the process does, after `count` looks, or when `show` wants no more, and fails with the
 * reason why the process cannot be watched.
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
      const due = begin + Math.max(Duration.toMillis(interval), took * thrift)
      if (!(yield* waitUntil(due, isThere))) return yield* ending(progress, "ProcessEnded", pid)
    }
  }))
