/**
 * The figures that the monitor reads, their limits, and the level that follows from both.
 *
 * @since 0.1.0
 */
import type { Reading } from "./Reading.ts"

/**
 * How close the process is to its limits. By default `Warning` begins at 70 % and `Critical` at 90 %.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export type Level = "Normal" | "Warning" | "Critical" | "Exhausted"

/**
 * A figure and its limit.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
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
 * @stability stable
 */
export interface Usage {
  /** Open file descriptors of this process, without those that the monitor itself holds. */
  readonly descriptors: Gauge
  /** Descriptors that are reserved for admitted openings. */
  readonly reserved: number
  /** Resident memory in bytes. */
  readonly memory: Gauge
  /** Open TCP connections of this library, from its ledger. */
  readonly connections: Gauge
  /**
   * The worst level of the three, from these readings alone. If the limit of descriptors is the process's own, the monitor's
   * descriptors count too.
   */
  readonly level: Level
}

/**
 * The fractions of a limit at which the levels begin. All figures and all modules use the same two numbers.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
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
 * @stability stable
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
 * The share of a limit that is used or reserved: `Infinity` if a read failed with `EMFILE` or the limit is 0; 0 if there is no
 * limit; `undefined` if a figure cannot be read.
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
 * The level of one figure. Reserved amounts count as used.
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
 * `Exhausted` if used + reserved >= limit for one of them, or if a read failed with `EMFILE`. `Critical` and `Warning` depend
 * on the ratio to the limit. A figure that is `Unknown` or has no limit does not count.
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
 * @stability stable
 */
export const level = (usage: Omit<Usage, "level">, thresholds: Thresholds): Level =>
  [
    gaugeLevel(usage.descriptors, usage.reserved, thresholds),
    gaugeLevel(usage.memory, 0, thresholds),
    gaugeLevel(usage.connections, 0, thresholds)
  ].reduce(worse)

/**
 * The figures of each tick, which change within a second.
 *
 * @category models
 * @since 0.1.0
 */
export interface FastFigures {
  /** Open file descriptors of this process, without those of the monitor. Exact: counted by the kernel, or listed. */
  readonly descriptors: Reading
  /** Resident memory in bytes, as the kernel counts it. */
  readonly memory: Reading
}

/**
 * The figures of each slow tick: limits, which seldom change, and figures that are more expensive to read.
 *
 * @category models
 * @since 0.1.0
 */
export interface SlowFigures {
  /** The process's own soft limit of descriptors. */
  readonly descriptorLimit: Reading
  /**
   * TCP sockets in the network namespace, IPv4 and IPv6, also those of other processes. Sockets in `TIME_WAIT` are not counted.
   */
  readonly sockets: Reading
  /** Bytes that V8's heap uses. */
  readonly heap: Reading
  /** The size in bytes at which V8's heap is full, and the process dies. */
  readonly heapLimit: Reading
  /**
   * Memory of the container in bytes, as its cgroup counts it, without file contents, which the kernel drops when memory is
   * needed. An estimate, because the two numbers are read one after the other. On AWS Lambda, if no cgroup can be read, it is
   * the resident memory of this process without file contents.
   */
  readonly containerMemory: Reading
  /**
   * The memory limit of the container in bytes. Of the limits of its cgroup, of the visible cgroups above it, and in the
   * environment of AWS Lambda, it is the one with the least room.
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
  /** The limit of processes and threads of this user or this container, the smaller one. */
  readonly processLimit: Reading
}

/**
 * Every figure that the monitor reads.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export interface Figures extends FastFigures, SlowFigures {
  /** Open connections of this library by label, from its ledger. Exact. */
  readonly connections: ReadonlyMap<string, number>
  /**
   * How late the event loop turned at most in the last window, in milliseconds. An estimate, from four samples a second: a shorter delay
   * between two samples appears only in `loopUtilization`.
   */
  readonly loopDelay: Reading
  /**
   * The share of the last window in which the event loop was busy, 0 to 1. Exact, from the runtime. A window is the time between
   * two ticks.
   */
  readonly loopUtilization: Reading
  /** Zombies: children of this process that have ended, and whose exit status no thread has read by the next reading. */
  readonly zombies: Reading
}
