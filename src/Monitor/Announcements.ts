/**
 * Levels and alerts, told to whoever listens, and the alerts that are remembered.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as PubSub from "effect/PubSub"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { checkOptions } from "../internal/Options.ts"
import type { Alert } from "./Alert.ts"
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

/** A listener may look at the monitor while it is told something, and so bring about the next thing to tell. */
const inOrder = () => {
  const queue: Array<() => void> = []
  let isBusy = false
  return (what: () => void): void => {
    queue.push(what)
    if (isBusy) return
    isBusy = true
    try {
      for (let next = queue.shift(); next !== undefined; next = queue.shift()) next()
    } finally {
      isBusy = false
    }
  }
}

/**
 * Hubs that live until the scope ends, which ends the streams.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (initial: Level): Effect.Effect<Announcements, never, Scope.Scope> =>
  Effect.gen(function*() {
    const runSync = Effect.runSyncWith(yield* Effect.context<never>())
    const levels = yield* Effect.acquireRelease(PubSub.sliding<Level>({ capacity: 16, replay: 1 }), PubSub.shutdown)
    const alerts = yield* Effect.acquireRelease(PubSub.sliding<Alert>(remembered), PubSub.shutdown)
    yield* PubSub.publish(levels, initial)
    const history: Array<Alert> = []
    let last = initial
    // A hub that slides takes everything at once, so that nothing here waits.
    const publish = <A>(hub: PubSub.PubSub<A>, value: A) => runSync(PubSub.publish(hub, value))
    const enqueue = inOrder()
    const tellAlert = (alert: Alert) => {
      history.push(alert)
      if (history.length > remembered) history.shift()
      publish(alerts, alert)
    }
    return {
      levels: Stream.fromPubSub(levels),
      alerts: Stream.fromPubSub(alerts),
      recent: (count) => {
        const wanted = whole("count", count, { min: 0, infinite: true })
        return history.slice(Math.max(history.length - wanted, 0))
      },
      tell: (level, told) =>
        enqueue(() => {
          for (const alert of told) tellAlert(alert)
          if (level === last) return
          last = level
          publish(levels, level)
        })
    }
  })
