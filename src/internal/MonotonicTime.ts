/**
 * The monotonic clock as a number.
 *
 * @since 0.1.0
 */
import type { Clock } from "effect/Clock"

/** Nanoseconds as milliseconds, with fractions. */
export const millisOf = (nanos: bigint): number => Number(nanos) / 1e6

/** Milliseconds of the monotonic clock, with fractions. Only differences are meaningful. */
export const monotonicMillis = (clock: Clock): number => millisOf(clock.monotonicTimeNanosUnsafe())
