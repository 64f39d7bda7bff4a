/**
 * The readings at one moment and the level that follows from them.
 *
 * @since 0.1.0
 */
import type { Reading } from "./Reading.ts"
import { ratio } from "./Reading.ts"

/**
 * How near the process is to its limits. `Warning` starts at 70 %, `Critical` at 90 % by default.
 *
 * @category models
 * @since 0.1.0
 */
export type Level = "Normal" | "Warning" | "Critical" | "Exhausted"

/**
 * One figure beside its limit.
 *
 * @category models
 * @since 0.1.0
 */
export interface Gauge {
  readonly used: Reading
  readonly limit: Reading
}

/**
 * The readings at one moment.
 *
 * @category models
 * @since 0.1.0
 */
export interface Usage {
  /** Open file descriptors of this process, without those that the monitor itself holds. */
  readonly descriptors: Gauge
  /** Descriptors that are claimed by admitted openings. */
  readonly reserved: number
  /** Resident memory in bytes. */
  readonly memory: Gauge
  /** TCP connections that this library has open, from its ledger. */
  readonly connections: Gauge
  /** The worst level of the three. At the process's own limit the monitor's descriptors count as well. */
  readonly level: Level
}

/**
 * Where the levels begin, as fractions of a limit. The same two numbers serve every figure and every module.
 *
 * @category models
 * @since 0.1.0
 */
export interface Thresholds {
  readonly warningThreshold: number
  readonly errorThreshold: number
}

const order: Record<Level, number> = { Normal: 0, Warning: 1, Critical: 2, Exhausted: 3 }

/**
 * Whether a level is at least as bad as another.
 *
 * @category combinators
 * @since 0.1.0
 */
export const isAtLeast = (level: Level, floor: Level): boolean => order[level] >= order[floor]

const worse = (left: Level, right: Level): Level => isAtLeast(left, right) ? left : right

const isSpent = (gauge: Gauge, reserved: number): boolean =>
  gauge.used._tag === "Saturated" || gauge.limit._tag === "Saturated" ||
  gauge.used._tag === "Known" && gauge.limit._tag === "Known" && gauge.used.value + reserved >= gauge.limit.value

/**
 * The level of one figure, with what is claimed of it counted as used.
 *
 * @category combinators
 * @since 0.1.0
 */
export const gaugeLevel = (gauge: Gauge, reserved: number, thresholds: Thresholds): Level => {
  if (isSpent(gauge, reserved)) return "Exhausted"
  const used = gauge.used._tag === "Known" ? { ...gauge.used, value: gauge.used.value + reserved } : gauge.used
  const share = ratio(used, gauge.limit) ?? 0
  if (share >= thresholds.errorThreshold) return "Critical"
  return share >= thresholds.warningThreshold ? "Warning" : "Normal"
}

/**
 * The worst level of the figures.
 *
 * **Details**
 *
 * `Exhausted` when nothing is left of one of them (used + reserved >= limit), or when a read met `EMFILE`; `Critical` and
 * `Warning` from the ratio to the limit. A figure that is `Unknown` or has no limit says nothing.
 *
 * **Example** (The worst figure decides)
 *
 * ```ts
 * import * as Reading from "effect-sluice/Reading"
 * import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
 *
 * const gauge = (used: number, limit: number) => ({
 *   used: Reading.known(used, 0, "example"),
 *   limit: Reading.known(limit, 0, "example")
 * })
 * const usage = { descriptors: gauge(950, 1000), reserved: 0, memory: gauge(1, 100), connections: gauge(75, 100) }
 * const thresholds = { warningThreshold: 0.7, errorThreshold: 0.9 }
 *
 * ResourceMonitor.level(usage, thresholds) // => "Critical"
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const level = (usage: Omit<Usage, "level">, thresholds: Thresholds): Level =>
  [
    gaugeLevel(usage.descriptors, usage.reserved, thresholds),
    gaugeLevel(usage.memory, 0, thresholds),
    gaugeLevel(usage.connections, 0, thresholds)
  ].reduce(worse)
