/**
 * Every figure that the monitor reads, in one record.
 *
 * @since 0.1.0
 */
import type { Reading } from "./Reading.ts"

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
  /**
   * The worst level of the three, by these readings alone. At the process's own limit the monitor's descriptors count as
   * well.
   */
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

/**
 * The worse of two levels.
 *
 * @category combinators
 * @since 0.1.0
 */
export const worse = (left: Level, right: Level): Level => isAtLeast(left, right) ? left : right

/**
 * How much of a limit is used, with what is claimed counted as used: `Infinity` when a read met `EMFILE` or the limit is 0,
 * 0 where there is no limit, and `undefined` where a figure cannot be read.
 *
 * @category combinators
 * @since 0.1.0
 */
export const gaugeShare = ({ limit, used }: Gauge, claimed: number): number | undefined => {
  if (used._tag === "Saturated" || limit._tag === "Saturated") return Infinity
  if (limit._tag === "Unlimited") return 0
  if (used._tag !== "Known" || limit._tag !== "Known") return undefined
  const share = limit.value <= 0 ? Infinity : (used.value + claimed) / limit.value
  return Number.isNaN(share) ? undefined : share
}

/**
 * The level of a share of a limit.
 *
 * @category combinators
 * @since 0.1.0
 */
export const levelOfShare = (share: number, { errorThreshold, warningThreshold }: Thresholds): Level => {
  if (share >= 1) return "Exhausted"
  if (share >= errorThreshold) return "Critical"
  return share >= warningThreshold ? "Warning" : "Normal"
}

/**
 * The level of one figure, with what is claimed of it counted as used.
 *
 * @category combinators
 * @since 0.1.0
 */
export const gaugeLevel = (gauge: Gauge, claimed: number, thresholds: Thresholds): Level =>
  levelOfShare(gaugeShare(gauge, claimed) ?? 0, thresholds)

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

/**
 * What the fast tick reads: what changes within a second.
 *
 * @category models
 * @since 0.1.0
 */
export interface FastFigures {
  /**
   * Open file descriptors of this process, without those that the monitor holds. Exact: the kernel's own count, or a listing.
   */
  readonly descriptors: Reading
  /** Resident memory in bytes, as the kernel counts it. */
  readonly memory: Reading
}

/**
 * What the slow tick reads: limits, which seldom change, and what costs more to read.
 *
 * @category models
 * @since 0.1.0
 */
export interface SlowFigures {
  /** The process's own soft limit of descriptors. */
  readonly descriptorLimit: Reading
  /**
   * TCP sockets in the network namespace, IPv4 and IPv6, those of other processes in it as well. Sockets that wait out
   * their time after closing are not among them.
   */
  readonly sockets: Reading
  /** Bytes that V8's heap uses. */
  readonly heap: Reading
  /** Bytes that V8's heap may grow to, after which the process dies. */
  readonly heapLimit: Reading
  /**
   * Memory in bytes that the container uses, as its cgroup counts it, without the contents of files, which the kernel drops
   * when memory is wanted. An estimate, for the two are read one after the other. On AWS Lambda, where no cgroup can be read,
   * the resident memory of this process stands in, also without the contents of files.
   */
  readonly containerMemory: Reading
  /**
   * Memory in bytes that the container may use: of its cgroup, those above it that are visible, and what AWS Lambda states in
   * the environment, the limit with the least room.
   */
  readonly containerMemoryLimit: Reading
  /** The share of the last 10 seconds in which some task waited for memory, 0 to 1. The kernel's running average. */
  readonly memoryPressure: Reading
  /** The share of the last 10 seconds in which some task waited for a processor, 0 to 1. The kernel's running average. */
  readonly cpuPressure: Reading
  /** The share of the last 10 seconds in which some task waited for a disk, 0 to 1. The kernel's running average. */
  readonly ioPressure: Reading
  /** Threads of this process. */
  readonly threads: Reading
  /** Processes and threads that this user, or this container, may have: the smaller limit. */
  readonly processLimit: Reading
}

/**
 * Every figure that the monitor reads.
 *
 * @category models
 * @since 0.1.0
 */
export interface Figures extends FastFigures, SlowFigures {
  /** Connections that this library has open, by label, from its ledger. Exact. */
  readonly connections: ReadonlyMap<string, number>
  /**
   * How late the monitor's own timer rang at the end of the last window, in milliseconds. An estimate of the event loop's
   * delay, with one probe of it for each window: a delay that ends before the timer is due is not seen here, but in
   * `loopUtilization`.
   */
  readonly loopDelay: Reading
  /**
   * The share of the last window in which the event loop was busy, 0 to 1. Exact, from the runtime. The window is the time
   * between two ticks, never the time since start.
   */
  readonly loopUtilization: Reading
  /** Children of this process that have ended and that nobody has waited for, seen so twice. */
  readonly zombies: Reading
}
