/**
 * Follows the readings over time: the level in force, what is told of it, and what is done about it.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Alert, OpeningSite } from "./Alert.ts"
import * as Alerts from "./Alerts.ts"
import * as Announcements from "./Announcements.ts"
import * as Cleanup from "./Cleanup.ts"
import type { Resolved } from "./Options.ts"
import { isAtLeast, type Level, type Usage } from "./Usage.ts"

/**
 * What a watch is made from.
 *
 * @category models
 * @since 0.1.0
 */
export interface WatchOptions {
  /** Takes the readings; `anew` asks for them however dear they are. */
  readonly observe: (anew: boolean) => Alerts.Observation
  readonly options: Resolved
  /** The places that have most connections open, for alerts. */
  readonly topSites?: ((count: number) => ReadonlyArray<OpeningSite>) | undefined
}

/**
 * A running watch.
 *
 * @category models
 * @since 0.1.0
 */
export interface Watch {
  readonly announcements: Announcements.Announcements
  readonly cleanup: Cleanup.Cleanup
  /** Takes the readings, draws all conclusions, and returns them. */
  readonly look: (anew: boolean) => Usage
  /** The level in force. */
  readonly level: () => Level
  /** Takes the readings, and has the levels that they say in force at once, without waiting for a recovery to last. */
  readonly settle: () => void
  /** Seconds until a limit is reached at the present pace, `Infinity` when none is coming nearer. */
  readonly secondsToLimit: () => number
}

const sitesShown = 5

/**
 * When alerts are due, with these options.
 *
 * @category constructors
 * @since 0.1.0
 */
export const rulesOf = (options: Resolved): Alerts.Rules => ({
  warningThreshold: options.warningThreshold,
  errorThreshold: options.errorThreshold,
  band: options.recoveryBand,
  samples: options.recoverySamples,
  hold: Duration.toMillis(options.recoveryHold),
  horizon: Duration.toSeconds(options.projectionHorizon)
})

const isPressing = (alert: Alert): boolean => alert._tag === "Raised" && isAtLeast(alert.level, "Critical")

/**
 * Begins to watch, until the scope ends. It looks when it is asked to: nothing is known before the first look.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = ({ observe, options, topSites }: WatchOptions): Effect.Effect<Watch, never, Scope.Scope> =>
  Effect.gen(function*() {
    const rules = rulesOf(options)
    const sites = () => topSites?.(sitesShown) ?? []
    let state = Alerts.initial
    const isRelieved = () => Alerts.isClearOf(state, "Critical", observe(true), rules)
    const announcements = yield* Announcements.make("Normal")
    const cleanup = yield* Cleanup.make({
      read: () => observe(true).usage,
      isRelieved,
      cooldown: Duration.toMillis(options.cleanupCooldown)
    })
    const conclude = (conclusion: Alerts.Conclusion) => {
      state = conclusion.state
      if (conclusion.alerts.some(isPressing)) cleanup.press()
      announcements.tell(Alerts.levelOf(state), conclusion.alerts)
      // Whoever was told may have looked again meanwhile.
      cleanup.follow(isAtLeast(Alerts.levelOf(state), "Critical"))
    }
    const look = (anew: boolean) => {
      const observation = observe(anew)
      conclude(Alerts.observe(state, observation, rules, sites))
      return observation.usage
    }
    return {
      announcements,
      cleanup,
      look,
      level: () => Alerts.levelOf(state),
      settle: () => conclude(Alerts.settle(state, observe(false), rules, sites)),
      secondsToLimit: () => Alerts.secondsToLimit(state)
    }
  })
