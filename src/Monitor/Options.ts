/**
 * The options of a monitor, their defaults and their checks.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type { InvalidOption } from "../internal/InvalidOption.ts"
import { aboveZero, checkOptions, refusing } from "../internal/Options.ts"
import type { Thresholds } from "./Usage.ts"

/**
 * The options of `ResourceMonitor.layerOptions`.
 *
 * @category options
 * @since 0.1.0
 * @stability stable
 */
export interface Options {
  /**
   * The limit of descriptors: a whole number of at least 1, or `Infinity`. The process's own soft limit applies too, and the
   * smaller one counts. With `Infinity` only the soft limit counts, of which `headroom` stays free.
   *
   * @default the soft limit less `headroom`: 1000 if the soft limit is 1024; no limit if the soft limit cannot be read
   */
  readonly maxDescriptors?: number | undefined
  /**
   * Where `Warning` begins, as a fraction of a limit: above 0 and at most `errorThreshold`.
   *
   * @default 0.7
   */
  readonly warningThreshold?: number | undefined
  /**
   * Where `Critical` begins, as a fraction of a limit: above 0 and at most 1. From here on retries are refused.
   *
   * @default 0.9
   */
  readonly errorThreshold?: number | undefined
  /**
   * The limit of resident memory in bytes: a whole number of at least 1, or `Infinity`. Near the limit the level rises, and at
   * the limit the gate refuses. The limit of the container applies too, and the limit that is nearer to its own usage counts.
   *
   * @default Infinity, with which only the container's limit counts
   */
  readonly maxMemory?: number | undefined
  /**
   * The limit of this library's connections, open and being opened: a whole number of at least 1, or `Infinity`.
   *
   * @default Infinity
   */
  readonly maxConnections?: number | undefined
  /**
   * Descriptors that stay free for code that does not use the gate: a whole number of at least 0 and below the limit. Up to
   * four descriptors of the monitor itself are part of this number. If the monitor has more, the number grows by those above four.
   *
   * @default the smaller of 24 and a quarter of the limit; see {@link defaultHeadroom}
   */
  readonly headroom?: number | undefined
  /**
   * How far below its threshold a level ends, as a fraction of the threshold: from 0 to 0.9. With 0.1, a level that begins at
   * 90 % ends at 81 %.
   *
   * @default 0.1
   */
  readonly recoveryBand?: number | undefined
  /**
   * How many consecutive readings must be below the threshold by at least `recoveryBand` before a level falls: a whole number of at
   * least 1.
   *
   * @default 3
   */
  readonly recoverySamples?: number | undefined
  /**
   * For how long the readings must be below the threshold by at least `recoveryBand` before a level falls: a finite duration of at
   * least 0.
   *
   * @default 10 seconds
   */
  readonly recoveryHold?: Duration.Input | undefined
  /**
   * A `Forecast` alert is due this long before a limit would be reached: a finite duration of at least 0. With 0 there are no
   * such alerts.
   *
   * @default 1 minute
   */
  readonly forecastHorizon?: Duration.Input | undefined
  /**
   * The time from the end of a run of the cleanup callbacks to the next automatic run: a finite duration of at least 0.
   *
   * @default 30 seconds
   */
  readonly cleanupCooldown?: Duration.Input | undefined
  /**
   * The time between two rounds of maintenance, which run the `periodic` callbacks: a duration above 0. With `Infinity` there are
   * none.
   *
   * @default 30 seconds
   */
  readonly maintenanceInterval?: Duration.Input | undefined
  /**
   * The window of `ForeignGrowth`: a duration above 0. The lowest number of descriptors that this library did not open is taken
   * in each window, and reported when it has risen in three consecutive windows. With `Infinity` there is no report.
   *
   * @default 5 minutes
   */
  readonly foreignGrowthWindow?: Duration.Input | undefined
  /**
   * In each interval of this length, the log has at most one line for the leaks of each kind and call site, with their number: a duration
   * of at least 0. With 0 each leak is logged; with `Infinity` there is one line, and another one when the monitor ends.
   *
   * @default 1 minute
   */
  readonly leakLogInterval?: Duration.Input | undefined
  /**
   * Where the limits come from, such as the name of an environment variable. Errors of the gate show it.
   *
   * @default none
   */
  readonly origins?: Origins | undefined
}

/**
 * The origins of limits, by option.
 *
 * @category options
 * @since 0.1.0
 * @stability stable
 */
export type Origins = Partial<Readonly<Record<"maxDescriptors" | "maxMemory" | "maxConnections", string | undefined>>>

const atLeastZero = { min: 0 }

const interval = { ...aboveZero, infinite: true }

/** The options that are durations, and their ranges. */
const durations = {
  recoveryHold: atLeastZero,
  forecastHorizon: atLeastZero,
  cleanupCooldown: atLeastZero,
  maintenanceInterval: interval,
  foreignGrowthWindow: interval,
  leakLogInterval: { min: 0, infinite: true }
}

/**
 * Options with every default filled in.
 *
 * @category options
 * @since 0.1.0
 */
export interface Resolved extends Thresholds, Readonly<Record<keyof typeof durations, Duration.Duration>> {
  /** `undefined` is the soft limit less the headroom. */
  readonly maxDescriptors: number | undefined
  readonly maxMemory: number
  readonly maxConnections: number
  readonly origins: Origins
  readonly headroom: number | undefined
  readonly recoveryBand: number
  readonly recoverySamples: number
}

const mebibyte = 1024 * 1024

/**
 * The default of every option. `headroom` depends on the limit.
 *
 * @category presets
 * @since 0.1.0
 */
export const defaults: Resolved = {
  maxDescriptors: undefined,
  warningThreshold: 0.7,
  errorThreshold: 0.9,
  maxMemory: Infinity,
  maxConnections: Infinity,
  origins: {},
  headroom: undefined,
  recoveryBand: 0.1,
  recoverySamples: 3,
  recoveryHold: Duration.seconds(10),
  forecastHorizon: Duration.minutes(1),
  cleanupCooldown: Duration.seconds(30),
  maintenanceInterval: Duration.seconds(30),
  foreignGrowthWindow: Duration.minutes(5),
  leakLogInterval: Duration.minutes(1)
}

/**
 * Fixed limits, which are also the defaults of `Settings`: 1000 descriptors, levels at 70 % and 90 %, 1024 MiB, 100 connections.
 *
 * @category presets
 * @since 0.1.0
 * @stability stable
 */
export const conservative = {
  maxDescriptors: 1000,
  warningThreshold: 0.7,
  errorThreshold: 0.9,
  maxMemory: 1024 * mebibyte,
  maxConnections: 100
} as const satisfies Options

/**
 * For a process that has a machine to itself: 2000 descriptors, levels at 80 % and 95 %, 4096 MiB, 500 connections.
 *
 * @category presets
 * @since 0.1.0
 * @stability stable
 */
export const highPerformance: Options = {
  maxDescriptors: 2000,
  warningThreshold: 0.8,
  errorThreshold: 0.95,
  maxMemory: 4096 * mebibyte,
  maxConnections: 500
}

/**
 * For a small container: 500 descriptors, levels at 60 % and 80 %, 512 MiB, 50 connections.
 *
 * @category presets
 * @since 0.1.0
 * @stability stable
 */
export const constrained: Options = {
  maxDescriptors: 500,
  warningThreshold: 0.6,
  errorThreshold: 0.8,
  maxMemory: 512 * mebibyte,
  maxConnections: 50
}

/**
 * Descriptors that stay free by default: the smaller of 24 and a quarter of the limit.
 *
 * **Details**
 *
 * 24 is 16 plus 2 for each of the four threads of Node's thread pool. Such a thread opens up to two descriptors for a moment: a
 * look-up of a name opens a socket and a file. The 16 are for accepted connections, loaded modules, log files and the like. Set
 * `headroom` if you raise `UV_THREADPOOL_SIZE`.
 *
 * The quarter keeps small limits usable. A bare Node process has about 22 descriptors open: a limit of 128 leaves
 * 128 - 24 - 22 = 82 for connections, a limit of 64 leaves 64 - 16 - 22 = 26.
 *
 * @category combinators
 * @since 0.1.0
 * @stability stable
 */
export const defaultHeadroom = (limit: number): number => Math.min(16 + 2 * 4, Math.floor(limit / 4))

const optionSource = "options"

/** The source of a limit that an option of the monitor sets, with its origin if the program names one. */
export const configuredSource = (origin?: string): string =>
  origin === undefined ? optionSource : `${optionSource}, from ${origin}`

/** Whether an option sets the limit with this source. */
export const isConfigured = (source: string): boolean => source.startsWith(optionSource)

/** What follows the source of a configured limit: `, from` and the origin, or nothing. */
export const originOf = (source: string): string => source.slice(optionSource.length)

const { duration, require, whole } = checkOptions("ResourceMonitor")

const withDefaults = (options: Options): Resolved => {
  const time = (option: keyof typeof durations) =>
    duration(option, options[option] ?? defaults[option], durations[option])
  return {
    maxDescriptors: options.maxDescriptors,
    warningThreshold: options.warningThreshold ?? defaults.warningThreshold,
    errorThreshold: options.errorThreshold ?? defaults.errorThreshold,
    maxMemory: options.maxMemory ?? defaults.maxMemory,
    maxConnections: options.maxConnections ?? defaults.maxConnections,
    origins: options.origins ?? defaults.origins,
    headroom: options.headroom,
    recoveryBand: options.recoveryBand ?? defaults.recoveryBand,
    recoverySamples: options.recoverySamples ?? defaults.recoverySamples,
    recoveryHold: time("recoveryHold"),
    forecastHorizon: time("forecastHorizon"),
    cleanupCooldown: time("cleanupCooldown"),
    maintenanceInterval: time("maintenanceInterval"),
    foreignGrowthWindow: time("foreignGrowthWindow"),
    leakLogInterval: time("leakLogInterval")
  }
}

const validate = (resolved: Resolved): Resolved => {
  const { errorThreshold, warningThreshold, headroom, maxDescriptors, recoveryBand } = resolved
  const limit = { min: 1, infinite: true }
  if (maxDescriptors !== undefined) whole("maxDescriptors", maxDescriptors, limit)
  whole("maxMemory", resolved.maxMemory, limit)
  whole("maxConnections", resolved.maxConnections, limit)
  require(errorThreshold > 0 && errorThreshold <= 1, "errorThreshold", errorThreshold, "be above 0 and at most 1")
  const isWarningFirst = warningThreshold > 0 && warningThreshold <= errorThreshold
  const rule = `be above 0 and at most errorThreshold ${errorThreshold}`
  require(isWarningFirst, "warningThreshold", warningThreshold, rule)
  if (headroom !== undefined) whole("headroom", headroom, { min: 0 })
  require(recoveryBand >= 0 && recoveryBand <= 0.9, "recoveryBand", recoveryBand, "be from 0 to 0.9")
  whole("recoverySamples", resolved.recoverySamples, { min: 1 })
  return resolved
}

/**
 * Adds the defaults and checks every option. It fails with `InvalidOption`, which names the option, the value and the rule.
 *
 * @category constructors
 * @since 0.1.0
 */
export const resolve = (options: Options): Effect.Effect<Resolved, InvalidOption> =>
  refusing(() => validate(withDefaults(options)))

/**
 * Checks that the option `headroom` is below the limit in force.
 *
 * @category constructors
 * @since 0.1.0
 */
export const requireRoom = ({ headroom }: Resolved, limit: number): Effect.Effect<void, InvalidOption> =>
  refusing(() => {
    const isBelow = headroom === undefined || headroom < limit
    require(isBelow, "headroom", headroom, `be below the limit of ${limit} descriptors`)
  })
