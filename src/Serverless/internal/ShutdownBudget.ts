/**
 * How the time that a platform leaves is divided, as pure functions. All figures are milliseconds.
 *
 * @since 0.1.0
 */

/** The time of one invocation, from its start. */
export interface InvocationBudget {
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
export const invocationBudget = (remaining: number, margin: number): InvocationBudget => {
  // What is not a number is no time at all.
  const left = remaining > 0 ? remaining : 0
  const kept = Math.min(margin, left / 2)
  return { run: left - kept, finalize: kept * 0.5, force: kept * 0.1, total: left - kept * 0.15 }
}

/** The time of a shutdown, from the signal. Its parts follow each other and end before the window does. */
export interface ShutdownBudget {
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

export const shutdownBudget = (window: number): ShutdownBudget => ({
  invocations: window * 0.25,
  layers: window * 0.25,
  pools: window * 0.4,
  drain: window * 0.1,
  close: window * 0.3,
  total: window * 0.9
})

/** The time of a program's end, from the moment at which it ends. */
export interface MainBudget {
  /** Everything closes in the order in which it depends on each other, for so long. */
  readonly inOrder: number
  /** Then everything closes at once. */
  readonly together: number
  /** A pool lets its borrowers finish for `drain`, and closes a connection in `close`. */
  readonly drain: number
  readonly close: number
  readonly total: number
}

export const mainBudget = (window: number): MainBudget => ({
  inOrder: window * 0.5,
  together: window * 0.4,
  drain: window * 0.25,
  close: window * 0.3,
  total: window
})
