/**
 * Retries of the contenders that use promises: `p-retry` until the deadline.
 */
import pRetry, { type Options } from "p-retry"
import type { Limits } from "./Limits.ts"

const optionsOf = ({ attempts, deadline, initialDelay, maxDelay }: Limits) =>
  ({
    retries: attempts - 1,
    minTimeout: initialDelay,
    maxTimeout: maxDelay,
    factor: 2,
    randomize: true,
    maxRetryTime: deadline
  }) satisfies Options

/** Its options for the report. */
export const textOf = (limits: Limits): Readonly<Record<string, string>> => ({
  ...Object.fromEntries(Object.entries(optionsOf(limits)).map(([name, value]) => [`p-retry ${name}`, String(value)])),
  "p-retry signal": `the caller is gone, or AbortSignal.timeout(${limits.deadline})`
})

/**
 * Repeats a request until it succeeds, the deadline is over, or the caller is gone. The signal also ends a wait that a retry would not.
 */
export const retrying = <A>(
  limits: Limits,
  gone: AbortSignal,
  request: (signal: AbortSignal) => Promise<A>
): Promise<A> => {
  const signal = AbortSignal.any([gone, AbortSignal.timeout(limits.deadline)])
  return pRetry(() => request(signal), { ...optionsOf(limits), signal })
}
