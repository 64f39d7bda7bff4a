/**
 * The reading of one figure of the process.
 *
 * A figure that cannot be read is neither 0 nor the last value, but `Unknown` with a reason. Only two `Known` readings have a
 * ratio, so an unknown figure never looks like a low one.
 *
 * @since 0.1.0
 * @stability stable
 */
import * as Predicate from "effect/Predicate"
import { descriptorLimitCode } from "../internal/DescriptorLimit.ts"

/**
 * The value was read.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export interface Known {
  readonly _tag: "Known"
  /** A count, or bytes. */
  readonly value: number
  /** Wall-clock time of the reading, in milliseconds since 1970. */
  readonly at: number
  /** Where it was read from, such as `/proc/self/fd` or `ledger`. */
  readonly source: string
  /** `false` when the figure is an estimate. */
  readonly exact: boolean
}

/**
 * There is no limit.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export interface Unlimited {
  readonly _tag: "Unlimited"
  readonly source: string
}

/**
 * The figure cannot be read here.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export interface Unknown {
  readonly _tag: "Unknown"
  readonly reason: "Unsupported" | "Denied" | "Missing" | "Stale"
  readonly source: string
  readonly cause?: unknown
}

/**
 * The read failed with `EMFILE` or `ENFILE`, which proves that no descriptor is left.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export interface Saturated {
  readonly _tag: "Saturated"
  readonly code: "EMFILE" | "ENFILE"
  readonly source: string
}

/**
 * The reading of one figure.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export type Reading = Known | Unlimited | Unknown | Saturated

/**
 * `used / limit`; `undefined` unless both are `Known` and the limit is above 0. It can exceed 1: a limit may be lowered below
 * the number of descriptors that are open already.
 *
 * @category combinators
 * @since 0.1.0
 * @stability stable
 */
export const ratio = (used: Reading, limit: Reading): number | undefined =>
  used._tag === "Known" && limit._tag === "Known" && limit.value > 0 ? used.value / limit.value : undefined

/**
 * The reading of a known figure.
 *
 * @category constructors
 * @since 0.1.0
 * @stability stable
 */
export const known = (value: number, at: number, source: string, exact: boolean = true): Known => ({
  _tag: "Known",
  value,
  at,
  source,
  exact
})

/**
 * The reading of a limit that does not exist.
 *
 * @category constructors
 * @since 0.1.0
 * @stability stable
 */
export const unlimited = (source: string): Unlimited => ({ _tag: "Unlimited", source })

/**
 * The reading of a figure that cannot be read.
 *
 * @category constructors
 * @since 0.1.0
 * @stability stable
 */
export const unknown = (reason: Unknown["reason"], source: string, cause?: unknown): Unknown =>
  cause === undefined ? { _tag: "Unknown", reason, source } : { _tag: "Unknown", reason, source, cause }

/**
 * The reading for an error: `Saturated` for `EMFILE` and `ENFILE`, and `Unknown` with the cause for all others.
 *
 * @category constructors
 * @since 0.1.0
 * @stability stable
 */
export const fromFailure = (cause: unknown, source: string): Unknown | Saturated => {
  const saturation = descriptorLimitCode(cause)
  if (saturation !== undefined) return { _tag: "Saturated", code: saturation, source }
  switch (Predicate.hasProperty(cause, "code") ? cause.code : undefined) {
    case "ENOENT":
    case "ENOTDIR":
      return unknown("Missing", source, cause)
    case "EACCES":
    case "EPERM":
      return unknown("Denied", source, cause)
    default:
      return unknown("Unsupported", source, cause)
  }
}
