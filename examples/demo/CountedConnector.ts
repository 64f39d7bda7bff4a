/**
 * A connector that counts its dials and connections, for both modes.
 */
import type { Connector } from "effect-sluice/Connector"
import type { Endpoint } from "effect-sluice/Endpoint"
import type { ResourceMonitor } from "effect-sluice/ResourceMonitor"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Tally from "./Tally.ts"

/** Open descriptors of this process, or `undefined` where they cannot be counted. */
export const descriptors = (monitor: ResourceMonitor["Service"]): Effect.Effect<number | undefined> =>
  Effect.map(monitor.sample, ({ descriptors: { used } }) => used._tag === "Known" ? used.value : undefined)

/** Updates the peak of open descriptors. */
export const observe = (tally: Tally.Tally, monitor: ResourceMonitor["Service"]): Effect.Effect<void> =>
  Effect.map(descriptors(monitor), (count) => {
    tally.peakDescriptors = Math.max(tally.peakDescriptors, count ?? 0)
  })

const opened = (tally: Tally.Tally, target: Tally.Target): void => {
  tally.opened++
  target.open++
  target.failedDials = 0
  tally.peakOpen = Math.max(tally.peakOpen, Tally.open(tally))
}

/** Counts one dial. The connection counts as open until everything that its scope holds is closed. */
const dial = <A, E, R>(
  tally: Tally.Tally,
  target: Tally.Target,
  open: Effect.Effect<A, E, R>
): Effect.Effect<A, E, R | Scope.Scope> =>
  Effect.gen(function*() {
    tally.dials++
    let isOpen = false
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        if (isOpen) target.open--
      })
    )
    const connection = yield* Effect.tapError(open, () =>
      Effect.sync(() => {
        target.failedDials++
        if (!target.dead) tally.refused++
      }))
    isOpen = true
    opened(tally, target)
    return connection
  })

/** Adds counting to a connector. */
export const counted = <A, E, R>(
  connector: Connector<Endpoint, A, E, R>,
  tally: Tally.Tally,
  monitor: ResourceMonitor["Service"]
): Connector<Endpoint, A, E, R> => ({
  ...connector,
  open: (endpoint) => {
    const target = tally.targets.find((target) => target.label === String(endpoint))
    const open = connector.open(endpoint)
    return target === undefined ? open : Effect.tap(dial(tally, target, open), () => observe(tally, monitor))
  }
})
