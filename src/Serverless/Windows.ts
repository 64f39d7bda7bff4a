/**
 * How the time that a platform leaves is divided, as pure functions. All figures are milliseconds.
 *
 * @since 0.1.0
 */

/** The time of one invocation, from its start. */
export interface InvocationWindows {
  /** The invocation may run for so long. */
  readonly run: number
  /** Then it is interrupted, and its finalizers may take so long. */
  readonly finalize: number
  /** Then its connections are closed under it, and it gets so long to notice. */
  readonly force: number
  /** All of these, and what is done between two invocations, is over by then. The rest is for the answer. */
  readonly total: number
}

/**
 * Divides what is left of an invocation's time, of which `margin` is kept back. Where there is little left, half of it is
 * kept back at most.
 */
export const invocationWindows = (remaining: number, margin: number): InvocationWindows => {
  // What is not a number is no time at all.
  const left = remaining > 0 ? remaining : 0
  const kept = Math.min(margin, left / 2)
  return { run: left - kept, finalize: kept * 0.5, force: kept * 0.1, total: left - kept * 0.15 }
}

/** The time of a shutdown, from the signal. Its parts follow each other and end before the window does. */
export interface ShutdownWindows {
  /** What runs is interrupted, and may take so long to end. */
  readonly invocations: number
  /** Then everything closes in the order in which it depends on each other. */
  readonly layers: number
  /** Then all pools close at once, in this time; each lets its borrowers finish for `drain` and closes in `close`. */
  readonly pools: number
  readonly drain: number
  readonly close: number
  /** All of it is over by then. The rest is for what the platform's own code does before the process ends. */
  readonly total: number
}

export const shutdownWindows = (window: number): ShutdownWindows => ({
  invocations: window * 0.25,
  layers: window * 0.25,
  pools: window * 0.4,
  drain: window * 0.1,
  close: window * 0.3,
  total: window * 0.9
})
