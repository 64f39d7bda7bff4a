/**
 * Levels and alerts, told to whoever listens, and the alerts that are remembered.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import { checkOptions } from "../internal/Options.ts"
import type { Alert } from "./Alert.ts"
import * as Listeners from "./Listeners.ts"
import type { Level } from "./Usage.ts"

/**
 * How many alerts are remembered, and how many wait for a listener that is slow before it misses the oldest.
 *
 * @category constants
 * @since 0.1.0
 */
export const remembered = 100

/**
 * What a monitor tells.
 *
 * @category models
 * @since 0.1.0
 */
export interface Announcements {
  /** The level in force at first, then each one that follows it. A slow listener misses the older ones, never the last. */
  readonly levels: Stream.Stream<Level>
  readonly alerts: Stream.Stream<Alert>
  /** The last `count` alerts, the oldest first. */
  readonly recent: (count: number) => ReadonlyArray<Alert>
  /** Tells a level, if it is another one than the last, and alerts. */
  readonly tell: (level: Level, alerts: ReadonlyArray<Alert>) => void
}

const { whole } = checkOptions("ResourceMonitor.recentAlerts")

/**
 * Nothing was told yet. The streams end with the scope.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (initial: Level): Effect.Effect<Announcements, never, Scope.Scope> =>
  Effect.gen(function*() {
    let last = initial
    const history: Array<Alert> = []
    const levels = yield* Listeners.make<Level>(16, () => [last])
    const alerts = yield* Listeners.make<Alert>(remembered)
    const tellAlert = (alert: Alert) => {
      history.push(alert)
      if (history.length > remembered) history.shift()
      alerts.tell(alert)
    }
    return {
      levels: levels.stream,
      alerts: alerts.stream,
      recent: (count) => {
        const wanted = whole("count", count, { min: 0, infinite: true })
        return history.slice(Math.max(history.length - wanted, 0))
      },
      tell: (level, told) => {
        for (const alert of told) tellAlert(alert)
        if (level === last) return
        last = level
        levels.tell(level)
      }
    }
  })
