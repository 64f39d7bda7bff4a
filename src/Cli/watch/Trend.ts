/**
 * Levels, alerts and growth over a series of looks. All of it is pure, and the rules are those of the monitor.
 *
 * @since 0.1.0
 */
import { type Alert, forEachResource, type Resource } from "../../Monitor/Alert.ts"
import * as Levels from "../../Monitor/levels/Levels.ts"
import * as Reading from "../../Monitor/Reading.ts"
import { nearer, smallerLimit } from "../../Monitor/readings/Probes.ts"
import { level as levelOfUsage } from "../../Monitor/Usage.ts"
import type { Gauge, Level, Usage } from "../../Monitor/Usage.ts"
import type { Look } from "./Observer.ts"

/**
 * The limits to apply besides those of the process itself, `Infinity` for none, and when levels change.
 *
 * @category models
 * @since 0.1.0
 */
export interface Limits {
  readonly maxDescriptors: number
  /** In bytes. */
  readonly maxMemory: number
  readonly maxConnections: number
  readonly rules: Levels.AlertRules
}

/**
 * The growth of a figure.
 *
 * @category models
 * @since 0.1.0
 */
export interface Growth {
  /** Change per second, negative when the figure shrinks. With `isTrend`, growth may be faster than this. */
  readonly perSecond: number
  /** `undefined` when the figure does not approach its limit. */
  readonly secondsToLimit: number | undefined
  /**
   * `true` for the trend over the last half minute, which short swings do not change; `false` for the difference of the
   * last three looks, before there are enough looks for a trend.
   */
  readonly isTrend: boolean
}

/**
 * One figure with its level and its growth.
 *
 * @category models
 * @since 0.1.0
 */
export interface Figure extends Gauge {
  readonly level: Level
  readonly growth: Growth | undefined
}

/**
 * One look with its levels and alerts.
 *
 * @category models
 * @since 0.1.0
 */
export interface Moment {
  readonly look: Look
  /** The worst level of the three figures. */
  readonly level: Level
  readonly figures: Readonly<Record<Resource, Figure>>
  /** The alerts that this look raised. */
  readonly alerts: ReadonlyArray<Alert>
}

interface Trail {
  /** Where the figure was read. Figures of different sources are not compared. */
  readonly source: string
  readonly long: Levels.Trail
  readonly short: Levels.Trail
}

/**
 * The state that one look passes to the next.
 *
 * @category models
 * @since 0.1.0
 */
export interface Trend {
  readonly alerts: Levels.State
  readonly trails: Readonly<Record<Resource, Trail | undefined>>
}

/**
 * The state before the first look.
 *
 * @category constructors
 * @since 0.1.0
 */
export const initial: Trend = { alerts: Levels.initial, trails: forEachResource(() => undefined) }

const limited = (used: Reading.Reading, max: number, at: number): Gauge => ({
  used,
  limit: max === Infinity ? Reading.unlimited("options") : Reading.known(max, at, "options")
})

const usageOf = (look: Look, limits: Limits): Usage => {
  const { at, container, descriptorLimit, descriptors, memory } = look
  const gauges = {
    descriptors: { used: descriptors.used, limit: smallerLimit(limits.maxDescriptors, descriptorLimit, at) },
    memory: nearer(limited(memory, limits.maxMemory, at), container),
    connections: limited(descriptors.connections, limits.maxConnections, at),
    reserved: 0
  }
  return { ...gauges, level: levelOfUsage(gauges, limits.rules) }
}

// The fewest points that show a direction.
const shortest = 3

const extended = (before: Trail | undefined, { used }: Gauge, now: number): Trail | undefined => {
  if (used._tag !== "Known") return before
  const point = { at: now, value: used.value }
  const same = before?.source === used.source ? before : { long: [], short: [] }
  return {
    source: used.source,
    long: Levels.extendTrail(same.long, point),
    short: [...same.short.slice(1 - shortest), point]
  }
}

// There is no slope if two looks were in the same millisecond, or if there are too few looks.
const finite = (slope: number | undefined): number | undefined => Number.isFinite(slope) ? slope : undefined

const growthOf = (trail: Trail | undefined, { limit, used }: Gauge): Growth | undefined => {
  if (trail === undefined || used._tag !== "Known") return undefined
  const margin = limit._tag === "Known" ? limit.value * Levels.newHigh : Infinity
  const trend = finite(Levels.growthRate(trail.long, margin))
  const perSecond = trend ?? finite(Levels.recentRate(trail.short))
  if (perSecond === undefined) return undefined
  const secondsToLimit = limit._tag === "Known"
    ? Levels.secondsAtRate(used.value, limit.value, perSecond)
    : undefined
  return { perSecond, secondsToLimit, isTrend: trend !== undefined }
}

// The call sites of another process are unknown.
const noSites = () => []

/**
 * Adds one look.
 *
 * **Details**
 *
 * The limit of descriptors is the smaller of the process's soft limit and `maxDescriptors`. Resident memory is compared
 * with `maxMemory`, unless its container is nearer to a limit, and TCP connections with `maxConnections`. Levels rise with
 * one look and fall slowly, as those of the monitor do.
 *
 * @category combinators
 * @since 0.1.0
 */
export const step = (
  before: Trend,
  look: Look,
  limits: Limits
): { readonly trend: Trend; readonly moment: Moment } => {
  const usage = usageOf(look, limits)
  const observation = { usage, own: 0, at: look.at, now: look.now }
  const { alerts, state } = Levels.observe(before.alerts, observation, limits.rules, noSites)
  const trails = forEachResource((resource) => extended(before.trails[resource], usage[resource], look.now))
  const figures = forEachResource((resource): Figure => ({
    ...usage[resource],
    level: state[resource].hysteresis.level,
    growth: growthOf(trails[resource], usage[resource])
  }))
  return {
    trend: { alerts: state, trails },
    moment: { look, level: Levels.levelOf(state), figures, alerts }
  }
}
