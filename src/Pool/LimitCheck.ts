/**
 * Compares the cap of a pool with what the monitor's gate admits, which the pool meets long before its cap if that is lower.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type { Usage } from "../Monitor/ResourceMonitor.ts"
import type { ResourceMonitor } from "../Monitor/Service.ts"

type Counted = "connections" | "descriptors"

/** A pool as the warning names it. */
export interface Named {
  /** It is asked for only where there is something to say. */
  readonly name: () => string
  readonly maxTotal: number
}

/** What the gate admits of a resource, if that is below the cap. */
const shortfall = (maxTotal: number, resource: Counted, usage: Usage, headroom: number): ReadonlyArray<string> => {
  const { limit } = usage[resource]
  if (limit._tag !== "Known" || limit.value - headroom >= maxTotal) return []
  const origin = headroom === 0
    ? `from ${limit.source}`
    : `${limit.value} from ${limit.source}, less headroom ${headroom}`
  return [`${Math.max(limit.value - headroom, 0)} ${resource} (${origin})`]
}

/** What has to be said of a pool with this cap, or `undefined` where the gate admits as much. */
const warningOf = ({ maxTotal, name }: Named, usage: Usage, headroom: number): string | undefined => {
  const limits = [
    ...shortfall(maxTotal, "connections", usage, 0),
    ...shortfall(maxTotal, "descriptors", usage, headroom)
  ]
  return limits.length === 0
    ? undefined
    : `${["ConnectionPool", name()].join(" ").trim()}: maxTotal is ${maxTotal}, but ResourceMonitor admits at most ${
      limits.join(" and ")
    }: ` +
      "the pool cannot open as many connections as it may"
}

/** Descriptors of the limit that the gate keeps free: what it says of a request that is larger than the limit. */
const headroomOf = ({ reserve }: ResourceMonitor["Service"], { descriptors }: Usage): number => {
  if (descriptors.limit._tag !== "Known") return 0
  const refusal = reserve.unsafe?.obstacle?.({ label: "a pool", descriptors: descriptors.limit.value + 1 })
  return refusal?.resource === "descriptors" ? refusal.headroom : 0
}

/** Warns in the log where the gate admits fewer connections than the pool may open. */
export const warnAbove = (pool: Named, monitor: ResourceMonitor["Service"]): Effect.Effect<void> =>
  Effect.flatMap(monitor.usage, (usage) => {
    const warning = warningOf(pool, usage, headroomOf(monitor, usage))
    return warning === undefined ? Effect.void : Effect.logWarning(warning)
  })
