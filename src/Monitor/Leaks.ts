/**
 * The leaks that were found: the last ones, and whoever wants to hear of the next.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import { checkOptions } from "../internal/Options.ts"
import { fromFacts } from "./Leak.ts"
import type { Leak, LeakFacts } from "./Leak.ts"
import * as LeakLog from "./LeakLog.ts"
import * as Listeners from "./Listeners.ts"

/** How many leaks are remembered, and how many wait for a listener that is slow before it misses the oldest. */
const remembered = 100

/**
 * The leaks of one monitor.
 *
 * @category models
 * @since 0.1.0
 */
export interface Leaks {
  /** Remembers a leak, passes it to the streams, and logs it as a warning within the limits of the log. */
  readonly report: (facts: LeakFacts) => Effect.Effect<void>
  /** The last `count` leaks, the oldest first. */
  readonly recent: (count: number) => ReadonlyArray<Leak>
  /** The leaks from now on. */
  readonly stream: Stream.Stream<Leak>
}

const { whole } = checkOptions("ResourceMonitor.recentLeaks")

/**
 * No leaks yet. The stream ends with the scope. The log has one line for each place in an interval; the stream has every leak.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(
  function*(logInterval: Duration.Duration): Effect.fn.Return<Leaks, never, Scope.Scope> {
    const listeners = yield* Listeners.make<Leak>(remembered)
    const log = yield* LeakLog.make(logInterval)
    const found: Array<Leak> = []
    return {
      report: (facts) =>
        Effect.suspend(() => {
          const leak = fromFacts(facts)
          found.push(leak)
          if (found.length > remembered) found.shift()
          listeners.tell(leak)
          return log(leak)
        }),
      recent: (count) => {
        const wanted = whole("count", count, { min: 0, infinite: true })
        return found.slice(Math.max(found.length - wanted, 0))
      },
      stream: listeners.stream
    }
  }
)
