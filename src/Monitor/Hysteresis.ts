/**
 * How a level follows a figure that is noisy: up at once, down slowly.
 *
 * @since 0.1.0
 */
import type { Level, Thresholds } from "./Usage.ts"
import { isAtLeast, levelOfShare, worse } from "./Usage.ts"

/**
 * When a level changes.
 *
 * @category models
 * @since 0.1.0
 */
export interface Rules extends Thresholds {
  /** How far below its threshold a level is left, as a fraction of it: a level that begins at 80 % ends at 72 % with 0.1. */
  readonly band: number
  /** How many readings in a row must be below that. */
  readonly samples: number
  /** For how many milliseconds they must be below that. */
  readonly hold: number
}

/**
 * The level of one figure, and how near it is to falling.
 *
 * @category models
 * @since 0.1.0
 */
export interface State {
  readonly level: Level
  /** The readings in a row that would allow a lower level. */
  readonly calm: {
    readonly samples: number
    /** When the first of them was taken, in milliseconds. */
    readonly since: number
    /** The worst level that one of them allows. */
    readonly level: Level
  } | undefined
}

/**
 * What is in force before the first reading.
 *
 * @category constructors
 * @since 0.1.0
 */
export const initial: State = { level: "Normal", calm: undefined }

/**
 * A level without any history, as after a reset.
 *
 * @category constructors
 * @since 0.1.0
 */
export const at = (level: Level): State => ({ level, calm: undefined })

/**
 * The levels that a share enters and, a band lower, that it still justifies. Nothing is left at 100 %, so `Exhausted` has a
 * band as well.
 */
const justified = (share: number, rules: Rules): Level => levelOfShare(share / (1 - rules.band), rules)

/**
 * Whether a figure is so far below its thresholds that it would let the level fall below `floor`, if it stayed there.
 *
 * @category combinators
 * @since 0.1.0
 */
export const isClearOf = (floor: Level, share: number, rules: Rules): boolean =>
  !isAtLeast(justified(share, rules), floor)

/**
 * The state after one more reading.
 *
 * **Details**
 *
 * One reading is enough to rise, to whatever level it has. To fall takes `samples` readings in a row, over `hold` milliseconds
 * at least, each of them lower than the threshold by the band; the level then falls to the worst that one of them allows. A
 * figure that cannot be read (`undefined`) changes nothing: it is no evidence of a recovery. `now` is on a clock that does
 * not go back.
 *
 * @category combinators
 * @since 0.1.0
 */
export const advance = (state: State, share: number | undefined, now: number, rules: Rules): State => {
  if (share === undefined) return state
  const entered = levelOfShare(share, rules)
  if (entered !== state.level && isAtLeast(entered, state.level)) return at(entered)
  const allowed = justified(share, rules)
  if (isAtLeast(allowed, state.level)) return state.calm === undefined ? state : at(state.level)
  const { calm } = state
  const next = {
    samples: (calm?.samples ?? 0) + 1,
    since: calm?.since ?? now,
    level: worse(calm?.level ?? "Normal", allowed)
  }
  const isOver = next.samples >= rules.samples && now - next.since >= rules.hold
  return isOver ? at(next.level) : { level: state.level, calm: next }
}
