/**
 * Publishes levels and alerts to the monitor's streams, and keeps the last ones.
 *
 * @since 0.1.0
 */
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { scopeHooks } from "../../internal/ScopeHooks.ts"
import type { Alert } from "../Alert.ts"
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
export const makeBroadcast = /*#__PURE__*/ Effect.fnUntraced(
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
export const makeAlertHub = /*#__PURE__*/ Effect.fnUntraced(
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
