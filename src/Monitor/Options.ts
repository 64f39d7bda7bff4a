/**
 * The limits that a monitor is given, checked once.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import { InvalidOption } from "../internal/InvalidOption.ts"
import { checkOptions } from "../internal/Options.ts"
import type { Thresholds } from "./Usage.ts"

/**
 * The options of `ResourceMonitor.layer`.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options {
  /**
   * Descriptors to stay under: a whole number of at least 1. The process's own soft limit holds as well, and the smaller
   * one counts. `Infinity` leaves the soft limit alone to count.
   *
   * @default 1000
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
   * Resident memory in bytes to stay under: a whole number of at least 1, or `Infinity`. It raises the level; the gate
   * refuses on it only when it is reached.
   *
   * @default 1073741824 (1024 MiB)
   */
  readonly maxMemory?: number | undefined
  /**
   * Connections of this library that may be open or opening: a whole number of at least 1, or `Infinity`.
   *
   * @default 100
   */
  readonly maxConnections?: number | undefined
  /**
   * Descriptors that stay free for whatever does not pass the gate: a whole number of at least 0 and below the limit. The
   * monitor's own, three at most, are among them.
   *
   * @default the smaller of 24 and a quarter of the limit; see {@link defaultHeadroom}
   */
  readonly headroom?: number | undefined
}

/**
 * Options with every default filled in.
 *
 * @category options
 * @since 0.1.0
 */
export interface Resolved extends Thresholds {
  readonly maxDescriptors: number
  readonly maxMemory: number
  readonly maxConnections: number
  readonly headroom: number | undefined
}

const mebibyte = 1024 * 1024

/**
 * The default of every option. `headroom` depends on the limit.
 *
 * @category presets
 * @since 0.1.0
 */
export const defaults: Resolved = {
  maxDescriptors: 1000,
  warningThreshold: 0.7,
  errorThreshold: 0.9,
  maxMemory: 1024 * mebibyte,
  maxConnections: 100,
  headroom: undefined
}

/**
 * For a process that has a machine to itself: 2000 descriptors, levels at 80 % and 95 %, 4096 MiB, 500 connections.
 *
 * @category presets
 * @since 0.1.0
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
 * 24 is 16 + 2 times the four threads of Node's pool. What needs descriptors without passing the gate is short-lived:
 * each pool thread opens up to two at a time (a name look-up opens a socket and a file), and an accept, a module load or
 * a log file wants one now and then, for which there are 16. Set `headroom` when `UV_THREADPOOL_SIZE` is raised.
 *
 * The quarter keeps small limits usable. A bare Node process has about 22 descriptors open: a limit of 128 leaves
 * 128 - 24 - 22 = 82 for connections, a limit of 64 leaves 64 - 16 - 22 = 26.
 *
 * @category combinators
 * @since 0.1.0
 */
export const defaultHeadroom = (limit: number): number => Math.min(16 + 2 * 4, Math.floor(limit / 4))

const withDefaults = (options: Options): Resolved => ({
  maxDescriptors: options.maxDescriptors ?? defaults.maxDescriptors,
  warningThreshold: options.warningThreshold ?? defaults.warningThreshold,
  errorThreshold: options.errorThreshold ?? defaults.errorThreshold,
  maxMemory: options.maxMemory ?? defaults.maxMemory,
  maxConnections: options.maxConnections ?? defaults.maxConnections,
  headroom: options.headroom
})

const { require, whole } = checkOptions("ResourceMonitor")

const validate = (resolved: Resolved): Resolved => {
  const { errorThreshold, warningThreshold, headroom, maxDescriptors } = resolved
  const limit = { min: 1, infinite: true }
  whole("maxDescriptors", maxDescriptors, limit)
  whole("maxMemory", resolved.maxMemory, limit)
  whole("maxConnections", resolved.maxConnections, limit)
  require(errorThreshold > 0 && errorThreshold <= 1, "errorThreshold", errorThreshold, "be above 0 and at most 1")
  require(
    warningThreshold > 0 && warningThreshold <= errorThreshold,
    "warningThreshold",
    warningThreshold,
    `be above 0 and at most errorThreshold ${errorThreshold}`
  )
  if (headroom !== undefined) whole("headroom", headroom, { min: 0 })
  return resolved
}

const refusing = <A>(check: () => A): Effect.Effect<A, InvalidOption> =>
  Effect.suspend(() => {
    try {
      return Effect.succeed(check())
    } catch (error) {
      return error instanceof InvalidOption ? Effect.fail(error) : Effect.die(error)
    }
  })

/**
 * Fills in the defaults and checks every option. It fails with `InvalidOption`, which names the option, the value and
 * the rule.
 *
 * @category constructors
 * @since 0.1.0
 */
export const resolve = (options: Options): Effect.Effect<Resolved, InvalidOption> =>
  refusing(() => validate(withDefaults(options)))

/**
 * Checks that a given headroom leaves room under the limit that counts.
 *
 * @category constructors
 * @since 0.1.0
 */
export const requireRoom = (resolved: Resolved, limit: number): Effect.Effect<void, InvalidOption> =>
  refusing(() =>
    require(
      resolved.headroom === undefined || resolved.headroom < limit,
      "headroom",
      resolved.headroom,
      `be below the limit of ${limit} descriptors`
    )
  )
