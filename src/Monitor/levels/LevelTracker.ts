/**
 * Follows the readings over time: it keeps the level in force, publishes alerts, starts the cleanup at a bad level, and reports
 * the growth of descriptors that this library did not open (foreign descriptors).
 *
 * @since 0.1.0
 */
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { mostFirst } from "../../internal/Counts.ts"
import { monotonicMillis } from "../../internal/MonotonicTime.ts"
import type { Alert, OpeningSite } from "../Alert.ts"
import * as Ledger from "../Ledger.ts"
import type { DescriptorBreakdown } from "../readings/Descriptors.ts"
import { heldBeyondReserve, type Readings, usageOf } from "../readings/Probes.ts"
import type { Failure } from "../readings/Procfs.ts"
import { isAtLeast, type Level, type Usage } from "../Usage.ts"
import { type AlertHub, makeAlertHub } from "./Broadcast.ts"
import * as Cleanup from "./Cleanup.ts"
import type { LeakLog } from "./LeakLog.ts"
import * as Levels from "./Levels.ts"

/**
 * What a level tracker is made from.
 *
 * @category models
 * @since 0.1.0
 */
export interface LevelTrackerOptions {
  readonly readings: Readings
  /** The places with the most open connections, for alerts. */
  readonly sites: () => ReadonlyArray<OpeningSite>
  /** The kinds of the open descriptors, for a report of foreign growth. */
  readonly descriptorBreakdown: Effect.Effect<DescriptorBreakdown, Failure>
  readonly reportLeak: LeakLog["report"]
}

/**
 * A running level tracker.
 *
 * @category models
 * @since 0.1.0
 */
export interface LevelTracker {
  readonly hub: AlertHub
  readonly cleanup: Cleanup.Cleanup
  /** Takes the readings, acts on them, and returns them. */
  readonly look: (anew: boolean) => Usage
  /** The level in force. */
  readonly level: () => Level
  /** Takes the readings, and puts their levels in force at once, without waiting until a recovery has lasted. */
  readonly settle: () => void
  /** Seconds until a limit is reached at the present growth; `Infinity` if no figure grows. */
  readonly secondsToLimit: () => number
}

/**
 * The readings now. With `anew` nothing is taken from a cache.
 *
 * @category constructors
 * @since 0.1.0
 */
export const observe = (readings: Readings, clock: Clock.Clock, anew: boolean): Levels.Observation => {
  const at = clock.currentTimeMillisUnsafe()
  const descriptors = readings.gauges.descriptors(at, anew)
  return {
    usage: usageOf(readings, descriptors, at),
    own: heldBeyondReserve(descriptors),
    at,
    now: monotonicMillis(clock)
  }
}

const isPressing = (alert: Alert): boolean => alert._tag === "Raised" && isAtLeast(alert.level, "Critical")

/** Checks each observation for growth of foreign descriptors, those that are not in the ledger. */
const foreignGrowth = (window: number, onFound: (found: Levels.GrowthFound) => void) => {
  let state = Levels.initialForeignGrowth
  return ({ now, usage: { descriptors: { used } } }: Levels.Observation, ledger: Ledger.Ledger): void => {
    if (used._tag !== "Known") return
    const next = Levels.observeForeignGrowth(state, { foreign: used.value - Ledger.open(ledger), now }, window)
    state = next.state
    if (next.found !== undefined) onFound(next.found)
  }
}

const reportGrowth = (
  { descriptorBreakdown, reportLeak }: LevelTrackerOptions,
  found: Levels.GrowthFound
): Effect.Effect<void> =>
  Effect.flatMap(Effect.option(descriptorBreakdown), (breakdown) => {
    const counts = Option.isSome(breakdown) ? mostFirst(breakdown.value.kinds) : undefined
    const kinds = counts && Array.from(counts, ([kind, count]) => ({ kind, count }))
    return reportLeak({ ...found, _tag: "ForeignGrowth", kinds })
  })

/**
 * Starts a level tracker, until the scope ends. It has no timer: before the first look the level is `Normal`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = /*#__PURE__*/ Effect.fnUntraced(
  function*(tracked: LevelTrackerOptions): Effect.fn.Return<LevelTracker, never, Scope.Scope> {
    const { readings, sites } = tracked
    const { ledger, options } = readings
    const clock = yield* Effect.clockWith(Effect.succeed)
    const fork = Effect.runForkWith(yield* Effect.context<never>())
    const rules = Levels.rulesOf(options)
    const checkGrowth = foreignGrowth(
      Duration.toMillis(options.foreignGrowthWindow),
      (found) => void fork(reportGrowth(tracked, found))
    )
    const take = (anew: boolean): Levels.Observation => {
      const observation = observe(readings, clock, anew)
      checkGrowth(observation, ledger)
      return observation
    }
    let state = Levels.initial
    const hub = yield* makeAlertHub("Normal")
    const cleanup = yield* Cleanup.make({
      read: () => take(true).usage,
      isRelieved: () => Levels.isClearOf(state, "Critical", take(true), rules),
      cooldown: Duration.toMillis(options.cleanupCooldown),
      clock,
      fork
    })
    const conclude = (conclusion: Levels.Conclusion) => {
      state = conclusion.state
      if (conclusion.alerts.some(isPressing)) cleanup.press()
      hub.publish(Levels.levelOf(state), conclusion.alerts)
      // Publishing may have led to another look, so the level is read again.
      cleanup.follow(isAtLeast(Levels.levelOf(state), "Critical"))
    }
    return {
      hub,
      cleanup,
      look: (anew) => {
        const observation = take(anew)
        conclude(Levels.observe(state, observation, rules, sites))
        return observation.usage
      },
      level: () => Levels.levelOf(state),
      settle: () => conclude(Levels.settle(state, take(false), rules, sites)),
      secondsToLimit: () => Levels.secondsToLimit(state)
    }
  }
)
