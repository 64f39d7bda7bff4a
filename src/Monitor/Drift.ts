/**
 * Descriptors that are not this library's and become more and more, told apart from the swings of a load.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import type { Drift } from "./Leak.ts"

/** So many windows in a row have to have more than the one before. */
const rises = 3

/**
 * What is remembered between two readings.
 *
 * @category models
 * @since 0.1.0
 */
export interface DriftState {
  /** When the present window began, on the monotonic clock in milliseconds; `undefined` before the first reading. */
  readonly since: number | undefined
  /** The least reading of the present window. */
  readonly least: number
  /** The least reading of the last window; `undefined` in the first one. */
  readonly before: number | undefined
  /** Where the rise began: the least reading of the window before it, and the end of that window. */
  readonly from: { readonly foreign: number; readonly at: number }
  /** Windows in a row that had more than the one before. */
  readonly risen: number
}

/**
 * Nothing has been read yet.
 *
 * @category constructors
 * @since 0.1.0
 */
export const initial: DriftState = {
  since: undefined,
  least: Infinity,
  before: undefined,
  from: { foreign: 0, at: 0 },
  risen: 0
}

/** What is found at the end of a window: all of a report but what the descriptors are. */
export type Found = Omit<Drift, "kinds">

const endWindow = (
  state: DriftState,
  now: number
): { readonly state: DriftState; readonly found: Found | undefined } => {
  const { before, from, least, risen } = state
  const next = { since: now, least: Infinity, before: least }
  if (before === undefined || least <= before) {
    return { state: { ...next, from: { foreign: least, at: now }, risen: 0 }, found: undefined }
  }
  // One that goes on rising is told once: it is told again only after it has stopped.
  const found = risen + 1 === rises
    ? { foreign: least, rise: least - from.foreign, over: Duration.millis(now - from.at) }
    : undefined
  return { state: { ...next, from, risen: risen + 1 }, found }
}

/**
 * Takes a reading into account: how many descriptors are not in the ledger, and when, on the monotonic clock in milliseconds.
 * A load comes and goes and its least is what it always was; what leaks lifts the least of every window. So a rise is
 * found when the least reading of three windows in a row is above that of the one before, each.
 *
 * @category combinators
 * @since 0.1.0
 */
export const observe = (
  state: DriftState,
  reading: { readonly foreign: number; readonly now: number },
  window: number
): { readonly state: DriftState; readonly found: Found | undefined } => {
  const { foreign, now } = reading
  const { since } = state
  // A process that stood still for longer than two windows has not been watched meanwhile.
  if (since === undefined || now - since > 2 * window) {
    return { state: { ...initial, since: now, least: foreign }, found: undefined }
  }
  if (now - since < window) return { state: { ...state, least: Math.min(state.least, foreign) }, found: undefined }
  const ended = endWindow(state, now)
  return { state: { ...ended.state, least: foreign }, found: ended.found }
}
