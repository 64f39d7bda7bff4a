/**
 * The monitor as an operator sees it.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import { safeText } from "../../internal/SafeText.ts"
import { type Alert, type Resource as Name, resources } from "../../Monitor/Alert.ts"
import type { Reading } from "../../Monitor/Reading.ts"
import type { ResourceMonitor } from "../../Monitor/Service.ts"
import type { Gauge, Usage } from "../../Monitor/Usage.ts"
import type { Monitor, Resource } from "../Snapshot.ts"
import type { LeakRecord } from "./LeakRecord.ts"

/** The most alerts and places that are shown. */
const mostAlerts = 20
const mostSites = 10

const valueOf = (reading: Reading): number | undefined => reading._tag === "Known" ? reading.value : undefined

const noteOf = (what: string, reading: Reading): ReadonlyArray<string> => {
  switch (reading._tag) {
    case "Known":
      return []
    case "Unlimited":
      return ["no limit"]
    case "Saturated":
      return [`${what} unknown: ${reading.code} while reading ${reading.source}`]
    case "Unknown":
      return [`${what} unknown: ${reading.reason} (${reading.source})`]
  }
}

const gaugeOf = (usage: Usage, name: Name): Gauge => usage[name]

/** The level of a resource that is in force: that of its last alert. */
const levelOf = (alerts: ReadonlyArray<Alert>, name: Name) =>
  alerts.findLast((alert) => alert.resource === name && alert._tag !== "Forecast")?.level ?? "Normal"

const resourceOf = (usage: Usage, alerts: ReadonlyArray<Alert>, name: Name): typeof Resource.Type => {
  const gauge = gaugeOf(usage, name)
  const [used, limit] = [valueOf(gauge.used), valueOf(gauge.limit)]
  const notes = [...noteOf("use", gauge.used), ...noteOf("limit", gauge.limit)]
  return {
    resource: name,
    unit: name === "memory" ? "bytes" : "count",
    reserved: name === "descriptors" ? usage.reserved : 0,
    level: levelOf(alerts, name),
    ...(used === undefined ? {} : { used }),
    ...(limit === undefined ? {} : { limit }),
    ...(notes.length === 0 ? {} : { note: safeText(notes.join("; "), 300) })
  }
}

/** Which resource has no room left, and how much of it is used. `undefined`: there is room. */
export const exhaustedIn = (usage: Usage): string | undefined => {
  if (usage.level !== "Exhausted") return undefined
  const full = resources.flatMap((name) => {
    const gauge = gaugeOf(usage, name)
    const [used, limit] = [valueOf(gauge.used), valueOf(gauge.limit)]
    const reserved = name === "descriptors" ? usage.reserved : 0
    if (gauge.used._tag === "Saturated") return [`${name} (${gauge.used.code} while counting)`]
    return used === undefined || limit === undefined || used + reserved < limit
      ? []
      : [`${name} (${used}${reserved > 0 ? ` + ${reserved} reserved` : ""} of ${limit})`]
  })
  return full.length === 0 ? "a limit is reached" : full.join(", ")
}

/** The use of each resource of a monitor, for the history. */
export const usedOf = (usage: Usage): Record<Name, number | undefined> => ({
  descriptors: valueOf(usage.descriptors.used),
  memory: valueOf(usage.memory.used),
  connections: valueOf(usage.connections.used)
})

/** The monitor as it is at this moment. */
export const monitorSnapshot = (
  monitor: ResourceMonitor["Service"],
  leaks: LeakRecord | undefined
): Effect.Effect<typeof Monitor.Type> =>
  Effect.gen(function*() {
    const usage = yield* monitor.usage
    const figures = yield* monitor.figures
    const gate = yield* monitor.gate
    const stalls = yield* monitor.eventLoop
    const sites = yield* monitor.topSites(mostSites)
    const alerts = yield* monitor.recentAlerts()
    const [lag, zombies] = [valueOf(figures.loopDelay), valueOf(figures.zombies)]
    return {
      level: yield* monitor.level,
      resources: resources.map((name) => resourceOf(usage, alerts, name)),
      gate: { waiting: gate.waiting, refusals: { ...gate.refusals } },
      eventLoop: { stalls: stalls.count, longestStall: stalls.longest, ...(lag === undefined ? {} : { lag }) },
      ...(zombies === undefined ? {} : { zombies }),
      sites: sites.map(({ open, site }) => ({ site: safeText(site, 300), open })),
      leaks: leaks?.all ?? [],
      alerts: alerts.slice(-mostAlerts).reverse().map(({ at, level, message }) => ({
        at,
        level,
        message: safeText(message, 500)
      }))
    }
  })
