/**
 * Finds out when the event loop stood still: for more than a second it did not turn, because of synchronous work of the program.
 *
 * @since 0.1.0
 */
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { makeBoundedLog } from "../../internal/BoundedLog.ts"
import { monotonicMillis } from "../../internal/MonotonicTime.ts"
import { quietly } from "../../internal/SafeRead.ts"
import { scopedValue } from "../../internal/ScopeHooks.ts"
import { Alarm } from "../../internal/Timer.ts"
import type { EventLoopStalls } from "../GateStats.ts"
import type { ProcReader } from "./Procfs.ts"

/** A stall is longer than this, in milliseconds. */
const shortestStall = 1000

/** The time between two checks in milliseconds. The length of a stall may be wrong by this much if the loop was busy before. */
export const checkedEvery = 250

/** What a check has found, in milliseconds. */
export interface LoopCheck {
  /** How long the loop was busy since the last check; `undefined` if the runtime does not say. */
  readonly active: number | undefined
  /** How late this check is. */
  readonly late: number
}

/**
 * The length of a stall that has just ended, in milliseconds; `undefined` if there was none.
 *
 * **Details**
 *
 * The stall began at most {@link checkedEvery} before the check was due, and the loop was busy in all of it. If the loop was idle, the process
 * was suspended.
 *
 * @category combinators
 * @since 0.1.0
 */
export const stallOf = ({ active, late }: LoopCheck): number | undefined => {
  if (late <= shortestStall - checkedEvery) return undefined
  const length = active === undefined ? late : Math.min(active, late + checkedEvery)
  return length > shortestStall ? length : undefined
}

const seconds = (millis: number): string => `${(millis / 1000).toFixed(1)} s`

const lineOf = (count: number, longest: number, interval: string): string =>
  count === 1
    ? `ResourceMonitor: the event loop stood still for ${seconds(longest)}`
    : `ResourceMonitor: the event loop stood still ${count} times within ${interval}, for up to ${seconds(longest)}`

/** There is at most one line in each of these intervals. */
const logInterval = Duration.minutes(1)

/** The stalls of one monitor. */
export interface StallRecord {
  readonly stalls: () => EventLoopStalls
  /** Counts a stall of this many milliseconds, and logs it as a warning. */
  readonly record: (millis: number) => Effect.Effect<void>
}

/**
 * Makes a record without stalls. The first stall is logged at once, and the number of further ones after a minute.
 *
 * @category constructors
 * @since 0.1.0
 */
export const makeRecord: Effect.Effect<StallRecord, never, Scope.Scope> = /*#__PURE__*/ Effect.gen(function*() {
  let stalls: EventLoopStalls = { count: 0, longest: 0 }
  const text = Duration.format(logInterval)
  const log = yield* makeBoundedLog<number>({
    interval: logInterval,
    delay: 0,
    worse: Math.max,
    line: ({ count, worst }) =>
      Effect.annotateLogs(Effect.logWarning(lineOf(count, worst, text)), {
        "sluice.stalls": count,
        "sluice.stall.longest": worst / 1000
      })
  })
  return {
    stalls: () => stalls,
    record: (millis) =>
      Effect.suspend(() => {
        stalls = { count: stalls.count + 1, longest: Math.max(stalls.longest, millis) }
        return log("loop", "loop", millis)
      })
  }
})

/** The busy time of the loop. `undefined` if the runtime counts none. */
const activeOf = (reader: ProcReader): number | undefined => {
  const loop = quietly(reader.loop)
  return loop !== undefined && loop.active + loop.idle > 0 ? loop.active : undefined
}

/**
 * Checks the event loop until the scope ends, with a timer that does not keep the process alive.
 *
 * @category constructors
 * @since 0.1.0
 */
export const watch = (
  reader: ProcReader,
  clock: Clock.Clock,
  { record }: StallRecord
): Effect.Effect<void, never, Scope.Scope> =>
  Effect.gen(function*() {
    const fork = Effect.runForkWith(yield* Effect.context<never>())
    const now = () => monotonicMillis(clock)
    let due = now() + checkedEvery
    let before = activeOf(reader)
    const onDue = () => {
      const active = activeOf(reader)
      const at = now()
      const busy = active === undefined || before === undefined ? undefined : active - before
      const stall = stallOf({ active: busy, late: at - due })
      before = active
      if (stall !== undefined) fork(record(stall))
      return due = at + checkedEvery
    }
    const alarm = yield* scopedValue(() => new Alarm({ clock, fork, now, onDue }), (alarm) => alarm.stop())
    alarm.at(due)
  })
