/**
 * How busy and how late the event loop was in the last window.
 *
 * @since 0.1.0
 */
import * as Reading from "./Reading.ts"

/**
 * What happened to the loop between two rings of a timer, in milliseconds.
 *
 * @category models
 * @since 0.1.0
 */
export interface LoopWindow {
  /** How long it was busy, and how long it waited for something to do. */
  readonly active: number
  readonly idle: number
  /** How much later than it should have the timer rang. */
  readonly late: number
}

/**
 * The two readings of the loop.
 *
 * @category models
 * @since 0.1.0
 */
export interface LoopFigures {
  readonly loopDelay: Reading.Reading
  readonly loopUtilization: Reading.Reading
}

// A loop that is this late without having been busy did not run at all.
const frozenMillis = 1000

const stoodStill = ({ active, late }: LoopWindow): boolean => late > frozenMillis && active < late / 2

/**
 * The readings that follow from one window.
 *
 * **Details**
 *
 * A process that was frozen, as a function is between two invocations, finds its timer late although its loop had nothing
 * to do. That says nothing about the loop: both readings are `Unknown` with the reason `Stale`.
 *
 * @category combinators
 * @since 0.1.0
 */
export const loopFigures = (window: LoopWindow, now: number): LoopFigures => {
  if (stoodStill(window)) {
    const frozen = Reading.unknown("Stale", "the process stood still")
    return { loopDelay: frozen, loopUtilization: frozen }
  }
  const { active, idle, late } = window
  const length = active + idle
  return {
    loopDelay: Reading.known(Math.max(late, 0), now, "timer", false),
    loopUtilization: length > 0 && active >= 0 && idle >= 0
      ? Reading.known(active / length, now, "eventLoopUtilization")
      : Reading.unknown("Missing", "eventLoopUtilization")
  }
}
