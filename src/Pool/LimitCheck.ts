/**
 * Compares the cap of a pool with the limits of the monitor, which the pool meets long before its cap if they are lower.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type { Usage } from "../Monitor/ResourceMonitor.ts"
import type { ResourceMonitor } from "../Monitor/Service.ts"

type Counted = "connections" | "descriptors"

/** What has to be said of a limit that is below the cap. */
const shortfall = (maxTotal: number, resource: Counted, usage: Usage): ReadonlyArray<string> => {
  const { limit } = usage[resource]
  return limit._tag === "Known" && limit.value < maxTotal
    ? [`${limit.value} ${resource} (from ${limit.source})`]
    : []
}

/** What has to be said of a pool with this cap, or `undefined` where no limit is below it. */
export const warningOf = (maxTotal: number, usage: Usage): string | undefined => {
  const limits = [...shortfall(maxTotal, "connections", usage), ...shortfall(maxTotal, "descriptors", usage)]
  return limits.length === 0
    ? undefined
    : `ConnectionPool: maxTotal is ${maxTotal}, but ResourceMonitor admits at most ${limits.join(" and ")}: ` +
      "the pool cannot open as many connections as it may"
}

/** Warns in the log where a limit of the monitor is below the cap of the pool. */
export const warnAbove = (maxTotal: number, monitor: ResourceMonitor["Service"]): Effect.Effect<void> =>
  Effect.flatMap(monitor.usage, (usage) => {
    const warning = warningOf(maxTotal, usage)
    return warning === undefined ? Effect.void : Effect.logWarning(warning)
  })
