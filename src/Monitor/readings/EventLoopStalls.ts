/**
 * Finds out when the event loop stood still: for more than a second it did not turn, because of synchronous work of the program.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { makeBoundedLog } from "../../internal/BoundedLog.ts"
import { quietly } from "../../internal/SafeRead.ts"
import { scopedValue } from "../../internal/ScopeHooks.ts"
import type { EventLoopStalls } from "../GateStats.ts"
import type { ProcReader } from "./Procfs.ts"

/** A stall is longer than this, in milliseconds. */
const shortestStall = 1000

/**
 * The time between two turns that the runtime measures, in milliseconds. The runtime does it without JavaScript, which takes a fifth of the
 * processor time. The length of a stall may be wrong by this much if the loop was busy before.
 */
export const resolution = 250

/** A shorter delay is not remembered for the next tick of the monitor, in milliseconds. */
const notable = 20

/** What is known of the loop since the last check, in milliseconds. */
export interface LoopCheck {
  /** How long the loop was busy; `undefined` if the runtime does not say. */
  readonly active: number | undefined
  /** The longest time between two turns that were measured, {@link resolution} if the loop was never late. */
  readonly longest: number
}

const wasSuspended = ({ active = Infinity, longest }: LoopCheck): boolean => active < longest - resolution

/**
 * The length of a stall, in milliseconds; `undefined` if there was none.
 *
 * **Details**
 *
 * The stall began at most {@link resolution} after the turn before it, and the loop was busy in all of it. If the loop was idle for longer
 * than that, the process was suspended.
 *
 * @category combinators
 * @since 0.1.0
 */
export const stallOf = (check: LoopCheck): number | undefined => {
  const { active = Infinity, longest } = check
  const length = Math.min(active, longest)
  return !wasSuspended(check) && length > shortestStall ? length : undefined
}

const seconds = (millis: number): string => `${(millis / 1000).toFixed(1)} s`

/** There is at most one line in each of these intervals. */
const logInterval = /*#__PURE__*/ Duration.minutes(1)

const lineOf = (count: number, longest: number): string =>
  count === 1
    ? `ResourceMonitor: the event loop stood still for ${seconds(longest)}`
    : `ResourceMonitor: the event loop stood still ${count} times within ${Duration.format(logInterval)}, ` +
      `for up to ${seconds(longest)}`

/** The stalls of one monitor. */
export interface StallRecord {
  readonly stalls: () => EventLoopStalls
  /** Counts a stall of this many milliseconds now. The effect logs it as a warning. */
  readonly note: (millis: number) => Effect.Effect<void>
}

/**
 * Makes a record without stalls. The first stall is logged at once, and the number of further ones after a minute.
 *
 * @category constructors
 * @since 0.1.0
 */
export const makeRecord: Effect.Effect<StallRecord, never, Scope.Scope> = /*#__PURE__*/ Effect.gen(function*() {
  let stalls: EventLoopStalls = { count: 0, longest: 0 }
  const log = yield* makeBoundedLog<number>({
    interval: logInterval,
    delay: 0,
    worse: Math.max,
    line: ({ count, worst }) =>
      Effect.annotateLogs(Effect.logWarning(lineOf(count, worst)), {
        "sluice.stalls": count,
        "sluice.stall.longest": worst / 1000
      })
  })
  return {
    stalls: () => stalls,
    note: (millis) => {
      stalls = { count: stalls.count + 1, longest: Math.max(stalls.longest, millis) }
      return log("loop", "loop", millis)
    }
  }
})

/** A watched event loop. */
export interface LoopWatch {
  /** Notes a stall since the last check. */
  readonly check: () => void
  /** How late a turn was at most since the last call, in milliseconds. */
  readonly longestDelay: () => number
}

/** The watch of a loop that cannot be measured. */
export const blind: LoopWatch = { check: () => {}, longestDelay: () => 0 }

/** The busy time of the loop. `undefined` if the runtime counts none. */
const activeOf = (reader: ProcReader): number | undefined => {
  const loop = quietly(reader.loop)
  return loop !== undefined && loop.active + loop.idle > 0 ? loop.active : undefined
}

/** Starts to measure. `undefined` on a runtime that cannot. */
const measured = scopedValue(
  () =>
    quietly(() => {
      const turns = process.getBuiltinModule("node:perf_hooks").monitorEventLoopDelay({ resolution })
      turns.enable()
      return turns
    }),
  (turns) => turns?.disable()
)

/**
 * Watches the event loop until the scope ends, without keeping the process alive. Stalls between two checks count as one.
 *
 * @category constructors
 * @since 0.1.0
 */
export const watch = (reader: ProcReader, { note }: StallRecord): Effect.Effect<LoopWatch, never, Scope.Scope> =>
  Effect.gen(function*() {
    const turns = yield* measured
    if (turns === undefined) return blind
    const fork = Effect.runForkWith(yield* Effect.context<never>())
    let before = activeOf(reader)
    let late = 0
    const check = () => {
      // Without a turn so far there is no longest time.
      const longest = turns.count === 0 ? 0 : turns.max / 1e6
      const now = activeOf(reader)
      const active = now === undefined || before === undefined ? undefined : now - before
      before = now
      const stall = stallOf({ active, longest })
      if (stall !== undefined) fork(note(stall))
      if (!wasSuspended({ active, longest })) late = Math.max(late, longest - resolution)
      return longest
    }
    // After a reset, the time up to the next turn is not measured. So it is reset only after something that would be seen again.
    return {
      check: () => {
        if (check() > shortestStall) turns.reset()
      },
      longestDelay: () => {
        if (check() - resolution > notable) turns.reset()
        const longest = late
        late = 0
        return longest
      }
    }
  })
