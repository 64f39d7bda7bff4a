/**
 * Derives from the readings over time, as pure functions: the level of each figure, the forecast of its limit, the alerts that
 * are due, and the growth of foreign descriptors. A figure is descriptors, memory or connections. Foreign descriptors are those
 * that this library did not open.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import { forEachResource, Forecast, Raised, Recovered, resources } from "../Alert.ts"
import type { Alert, AlertFigures, OpeningSite, Resource } from "../Alert.ts"
import type { Growth } from "../Leak.ts"
import type { Resolved } from "../Options.ts"
import { gaugeShare, isAtLeast, levelOfShare, worse } from "../Usage.ts"
import type { Gauge, Level, Thresholds, Usage } from "../Usage.ts"

// ---- the level of one figure -------------------------------------------------------------------------------------------

/**
 * When a level rises and falls.
 *
 * @category models
 * @since 0.1.0
 */
export interface RecoveryRules extends Thresholds {
  /**
   * How far below its threshold a level ends, as a fraction of the threshold. With 0.1, a level that begins at 80 % ends at 72
   * %.
   */
  readonly band: number
  /** How many consecutive readings must be below that, before the level falls. */
  readonly samples: number
  /** For how many milliseconds the readings must be below that, before the level falls. */
  readonly hold: number
}

/**
 * The level of one figure, and the progress of its recovery.
 *
 * @category models
 * @since 0.1.0
 */
export interface LevelState {
  readonly level: Level
  /** The consecutive readings that allow a lower level. */
  readonly calm: {
    readonly samples: number
    /** When the first of them was taken, in milliseconds. */
    readonly since: number
    /** The worst level among those that these readings allow. */
    readonly level: Level
  } | undefined
}

/**
 * The level before the first reading.
 *
 * @category constructors
 * @since 0.1.0
 */
export const normal: LevelState = { level: "Normal", calm: undefined }

/**
 * A level without a recovery in progress.
 *
 * @category constructors
 * @since 0.1.0
 */
export const levelAt = (level: Level): LevelState => ({ level, calm: undefined })

/** The level that a share still justifies during a recovery: all thresholds are lower by the band, also that of `Exhausted`. */
const justified = (share: number, rules: RecoveryRules): Level => levelOfShare(share / (1 - rules.band), rules)

/**
 * Whether the level will fall below `floor` if the share stays as it is.
 *
 * @category combinators
 * @since 0.1.0
 */
export const isShareClearOf = (floor: Level, share: number, rules: RecoveryRules): boolean =>
  !isAtLeast(justified(share, rules), floor)

/**
 * The state after one more reading.
 *
 * **Details**
 *
 * One reading raises the level. The level falls only after `samples` consecutive readings, over at least `hold` milliseconds,
 * were below its threshold by the band. It falls to the worst level that these readings allow. A figure that cannot be read
 * (`undefined`) changes nothing. `now` is in monotonic milliseconds.
 *
 * @category combinators
 * @since 0.1.0
 */
export const advanceLevel = (
  state: LevelState,
  share: number | undefined,
  now: number,
  rules: RecoveryRules
): LevelState => {
  if (share === undefined) return state
  const entered = levelOfShare(share, rules)
  if (entered !== state.level && isAtLeast(entered, state.level)) return levelAt(entered)
  const allowed = justified(share, rules)
  if (isAtLeast(allowed, state.level)) return state.calm === undefined ? state : levelAt(state.level)
  const { calm } = state
  const next = {
    samples: (calm?.samples ?? 0) + 1,
    since: calm?.since ?? now,
    level: worse(calm?.level ?? "Normal", allowed)
  }
  const isOver = next.samples >= rules.samples && now - next.since >= rules.hold
  return isOver ? levelAt(next.level) : { level: state.level, calm: next }
}

// ---- the forecast of a limit -------------------------------------------------------------------------------------------

/**
 * One figure at one moment.
 *
 * @category models
 * @since 0.1.0
 */
export interface Point {
  /** In milliseconds, on a clock that does not go back. */
  readonly at: number
  readonly value: number
}

/**
 * The last points of a figure, the oldest first.
 *
 * @category models
 * @since 0.1.0
 */
export type Trail = ReadonlyArray<Point>

// About half a minute at one reading a second.
const most = 32

// The fewest points, three for each quarter, and the shortest time (in milliseconds) from which a trend is derived.
const fewest = 12
const shortest = 8000

// How many of the last points are also examined alone, to find growth that has only just begun.
const recent = 9

// The least time between two points in milliseconds. Near the limit there are four readings a second, but the points must still
// cover the same time.
const apart = 900

/**
 * Adds a point and drops the oldest ones. A point too close to the last one is not added.
 *
 * @category combinators
 * @since 0.1.0
 */
export const extendTrail = (trail: Trail, point: Point): Trail => {
  const last = trail.at(-1)
  return last !== undefined && point.at - last.at < apart ? trail : [...trail.slice(1 - most), point]
}

const lowest = (points: Trail): number => points.reduce((low, { value }) => Math.min(low, value), Infinity)

const begin = (points: Trail): number => points[0]?.at ?? Number.NaN

// From the beginning of one quarter to that of the next, because the lowest value of a growing figure is its first.
const rise = (before: Trail, after: Trail): number => (lowest(after) - lowest(before)) / (begin(after) - begin(before))

const quarters = (trail: Trail): ReadonlyArray<Trail> => {
  const bounds = [0, 1, 2, 3, 4].map((quarter) => Math.round(quarter * trail.length / 4))
  return bounds.slice(1).map((end, quarter) => trail.slice(bounds[quarter], end))
}

/** The smallest of the rises from one quarter to the next, per second. */
const growth = (trail: Trail): number => {
  const [first, last] = [trail[0], trail.at(-1)]
  if (first === undefined || last === undefined || last.at - first.at < shortest) return -Infinity
  const parts = quarters(trail)
  return Math.min(...parts.slice(1).map((after, before) => rise(parts[before] ?? after, after))) * 1000
}

/**
 * Whether the last point is higher, by `margin`, than all points before the recent ones. There must be at least as many of
 * those as recent ones.
 */
const isNewHigh = (trail: Trail, margin: number): boolean => {
  const before = trail.slice(0, -recent)
  const high = before.reduce((high, { value }) => Math.max(high, value), -Infinity)
  return before.length >= recent && (trail.at(-1)?.value ?? high) >= high + margin
}

/**
 * The lasting growth of a figure, per second; `undefined` while there are too few points.
 *
 * **Details**
 *
 * The points are divided into four quarters. The lowest value of each quarter counts, because a load that goes up and down, and
 * a heap that is collected, have peaks without growth. The smallest of the three rises counts, so that growth that has already
 * ended is not taken for lasting growth.
 *
 * The last nine points are also examined alone, because growth that has just begun does not show in all points. They count only
 * if the last one exceeds all older points by `margin`: otherwise they may be the rising half of a load that goes up and down.
 *
 * @category combinators
 * @since 0.1.0
 */
export const growthRate = (trail: Trail, margin: number): number | undefined => {
  if (trail.length < fewest) return undefined
  const sudden = isNewHigh(trail, margin) ? growth(trail.slice(-recent)) : -Infinity
  return Math.max(growth(trail), sudden)
}

/**
 * The growth over the last three points, or two if there are no more, per second. It changes with every fluctuation.
 *
 * @category combinators
 * @since 0.1.0
 */
export const recentRate = (trail: Trail): number | undefined => {
  const before = trail.at(-3) ?? trail[0]
  const last = trail.at(-1)
  return before === undefined || last === undefined || last === before
    ? undefined
    : (last.value - before.value) / (last.at - before.at) * 1000
}

/**
 * Seconds until the figure reaches its limit at this rate; `undefined` when it does not grow, 0 at the limit.
 *
 * @category combinators
 * @since 0.1.0
 */
export const secondsAtRate = (used: number, limit: number, rate: number | undefined): number | undefined =>
  rate === undefined || !(rate > 0) ? undefined : Math.max(limit - used, 0) / rate

// ---- all figures, and the alerts ----------------------------------------------------------------------------------------

/**
 * When alerts are due.
 *
 * @category models
 * @since 0.1.0
 */
export interface AlertRules extends RecoveryRules {
  /** A forecast is due when the limit would be reached within this many seconds. */
  readonly horizon: number
}

/**
 * The rules that follow from the options of a monitor.
 *
 * @category constructors
 * @since 0.1.0
 */
export const rulesOf = (options: Resolved): AlertRules => ({
  warningThreshold: options.warningThreshold,
  errorThreshold: options.errorThreshold,
  band: options.recoveryBand,
  samples: options.recoverySamples,
  hold: Duration.toMillis(options.recoveryHold),
  horizon: Duration.toSeconds(options.forecastHorizon)
})

/** The time since the figure reached a level, if it has been at this level or above since then. */
interface Stay {
  readonly since: number
  readonly peak: number | undefined
}

/** The trend of a figure. */
interface Outlook {
  readonly trail: Trail
  /**
   * Seconds to the limit at the recent rate. That is too uncertain for an alert, but good enough to take readings more often.
   */
  readonly recentSeconds: number | undefined
  /**
   * After a forecast: when the limit was last near. There is no second forecast until the limit has been far away for a while.
   */
  readonly nearAt: number | undefined
}

/** The history of one figure. */
interface Memory {
  readonly hysteresis: LevelState
  readonly stays: Readonly<Record<Exclude<Level, "Normal">, Stay | undefined>>
  readonly outlook: Outlook
}

/**
 * The history of all figures.
 *
 * @category models
 * @since 0.1.0
 */
export type State = Readonly<Record<Resource, Memory>>

/**
 * The readings at one moment.
 *
 * @category models
 * @since 0.1.0
 */
export interface Observation {
  readonly usage: Usage
  /**
   * Descriptors that count against the limit besides `used`. These are the monitor's own, if the limit is the process's own.
   */
  readonly own: number
  /** Wall-clock time in milliseconds. */
  readonly at: number
  /** Monotonic milliseconds. */
  readonly now: number
}

const afresh: Memory = {
  hysteresis: normal,
  stays: { Warning: undefined, Critical: undefined, Exhausted: undefined },
  outlook: { trail: [], recentSeconds: undefined, nearAt: undefined }
}

/**
 * The history before the first reading.
 *
 * @category constructors
 * @since 0.1.0
 */
export const initial: State = forEachResource(() => afresh)

const rising = ["Warning", "Critical", "Exhausted"] as const

/**
 * The worst level of the figures.
 *
 * @category getters
 * @since 0.1.0
 */
export const levelOf = (state: State): Level =>
  resources.reduce<Level>((worst, resource) => worse(worst, state[resource].hysteresis.level), "Normal")

interface Figure {
  readonly figures: AlertFigures
  readonly share: number | undefined
  /** Used and reserved together; if the count failed with `EMFILE`, the limit. */
  readonly amount: number | undefined
  readonly now: number
}

const limitOf = ({ limit }: Gauge): number | undefined =>
  limit._tag === "Known" ? limit.value : limit._tag === "Unlimited" ? Infinity : undefined

const figureOf = (resource: Resource, { at, now, own, usage }: Observation): Figure => {
  const gauge = usage[resource]
  const [extra, reserved] = resource === "descriptors" ? [own, usage.reserved] : [0, 0]
  const used = gauge.used._tag === "Known" ? gauge.used.value + extra : undefined
  const code = gauge.used._tag === "Saturated"
    ? gauge.used.code
    : gauge.limit._tag === "Saturated"
    ? gauge.limit.code
    : undefined
  const limit = limitOf(gauge)
  const amount = code !== undefined && limit !== Infinity ? limit : used === undefined ? undefined : used + reserved
  const figures = { resource, at, used, code, reserved, limit }
  return { figures, share: gaugeShare(gauge, extra + reserved), amount, now }
}

const higher = (peak: number | undefined, amount: number | undefined): number | undefined =>
  peak === undefined || amount === undefined ? peak ?? amount : Math.max(peak, amount)

/** The stays at the new level: those at worse levels end, and those at this level and below begin or continue. */
const staysOf = (before: Memory, level: Level, { amount, now }: Figure): Memory["stays"] => {
  const at = (rung: typeof rising[number]): Stay | undefined => {
    if (!isAtLeast(level, rung)) return undefined
    const stay = before.stays[rung]
    return { since: stay?.since ?? now, peak: higher(stay?.peak, amount) }
  }
  return { Warning: at("Warning"), Critical: at("Critical"), Exhausted: at("Exhausted") }
}

/** The stay that ends when the figure falls to this level: that at the next worse level. */
const stayAbove = (memory: Memory, level: Level): Stay | undefined => {
  const next = rising.find((rung) => !isAtLeast(level, rung))
  return next === undefined ? undefined : memory.stays[next]
}

type Sites = () => ReadonlyArray<OpeningSite>

const crossing = (before: Memory, level: Level, figure: Figure, sites: Sites): ReadonlyArray<Alert> => {
  const from = before.hysteresis.level
  const { figures } = figure
  if (level === from) return []
  if (isAtLeast(level, from)) return [new Raised({ ...figures, level, from, sites: sites() })]
  const stay = stayAbove(before, level)
  const duration = Duration.millis(figure.now - (stay?.since ?? figure.now))
  return [new Recovered({ ...figures, level, from, peak: stay?.peak, duration })]
}

/**
 * A figure is at a new high if it exceeds its old values by this share of its limit.
 *
 * @category constants
 * @since 0.1.0
 */
export const newHigh = 0.05

/** After a forecast, the limit must have been far away for this many times the horizon before the next forecast. */
const quietHorizons = 5

interface Prospect extends Outlook {
  readonly forecast: Pick<Forecast, "slope" | "secondsToLimit"> | undefined
}

const noForecast = (outlook: Outlook): Prospect => ({ ...outlook, forecast: undefined })

/** When the limit was last near; `undefined` if it has been far away for long enough. */
const lastNear = (nearAt: number, isNear: boolean, now: number, horizon: number): number | undefined => {
  if (isNear) return now
  return now - nearAt < horizon * quietHorizons * 1000 ? nearAt : undefined
}

/** The trend of a figure with one more point, and a forecast if one is due. */
const prospectOf = (before: Outlook, level: Level, figure: Figure, horizon: number): Prospect => {
  const { amount, figures: { limit }, now, share } = figure
  if (share === undefined || amount === undefined || limit === undefined) {
    return noForecast({ ...before, recentSeconds: undefined })
  }
  const trail = extendTrail(before.trail, { at: now, value: amount })
  const recentSeconds = secondsAtRate(amount, limit, recentRate(trail))
  const slope = growthRate(trail, limit * newHigh)
  const secondsToLimit = secondsAtRate(amount, limit, slope)
  const { nearAt } = before
  if (nearAt !== undefined) {
    const isNear = secondsToLimit !== undefined && secondsToLimit <= horizon * 2
    return noForecast({ trail, recentSeconds, nearAt: lastNear(nearAt, isNear, now, horizon) })
  }
  const isDue = slope !== undefined && secondsToLimit !== undefined && secondsToLimit <= horizon
  return isDue && !isAtLeast(level, "Critical")
    ? { trail, recentSeconds, nearAt: now, forecast: { slope, secondsToLimit } }
    : noForecast({ trail, recentSeconds, nearAt })
}

const advance = (before: Memory, figure: Figure, rules: AlertRules, sites: Sites) => {
  const hysteresis = advanceLevel(before.hysteresis, figure.share, figure.now, rules)
  const { level } = hysteresis
  const { forecast, ...outlook } = prospectOf(before.outlook, level, figure, rules.horizon)
  const crossed = crossing(before, level, figure, sites)
  const alerts = forecast === undefined
    ? crossed
    : [...crossed, new Forecast({ ...figure.figures, ...forecast, level, sites: sites() })]
  return { memory: { hysteresis, stays: staysOf(before, level, figure), outlook }, alerts }
}

/**
 * The result of one observation.
 *
 * @category models
 * @since 0.1.0
 */
export interface Conclusion {
  readonly state: State
  readonly alerts: ReadonlyArray<Alert>
}

/**
 * The state after one more observation, and the alerts that it brings.
 *
 * **Details**
 *
 * - One `Raised` for each rise of a figure's level, and one `Recovered` for each fall. `Recovered` has the peak and the duration of the
 *   time above the new level.
 * - One `Forecast` when a figure below `Critical` would reach its limit within the horizon. The next one follows only after the limit has
 *   been far away for five times the horizon.
 * - No alert for a figure that cannot be read.
 *
 * @category combinators
 * @since 0.1.0
 */
export const observe = (state: State, observation: Observation, rules: AlertRules, sites: Sites): Conclusion => {
  const after = forEachResource((resource) => advance(state[resource], figureOf(resource, observation), rules, sites))
  return {
    state: forEachResource((resource) => after[resource].memory),
    alerts: resources.flatMap((resource) => after[resource].alerts)
  }
}

/**
 * Like {@link observe}, but a level also falls at once.
 *
 * @category combinators
 * @since 0.1.0
 */
export const settle = (state: State, observation: Observation, rules: AlertRules, sites: Sites): Conclusion =>
  observe(state, observation, { ...rules, band: 0, samples: 1, hold: 0 }, sites)

/**
 * Whether every figure is below `floor`. A figure whose level is at `floor` or worse must be below it by the band.
 *
 * @category combinators
 * @since 0.1.0
 */
export const isClearOf = (state: State, floor: Level, observation: Observation, rules: AlertRules): boolean =>
  resources.every((resource) => {
    const { share } = figureOf(resource, observation)
    const wasThere = isAtLeast(state[resource].hysteresis.level, floor)
    if (share === undefined) return !wasThere
    return wasThere ? isShareClearOf(floor, share, rules) : !isAtLeast(levelOfShare(share, rules), floor)
  })

/**
 * Seconds until a limit is reached at the recent rate, or `Infinity`. That is too uncertain for an alert, but good enough to
 * take readings more often.
 *
 * @category getters
 * @since 0.1.0
 */
export const secondsToLimit = (state: State): number =>
  Math.min(...resources.map((resource) => state[resource].outlook.recentSeconds ?? Infinity))

// ---- the growth of foreign descriptors --------------------------------------------------------------------------------

/** How many consecutive windows must each have a higher lowest reading than the window before. */
const rises = 3

/**
 * The state between two readings.
 *
 * @category models
 * @since 0.1.0
 */
export interface ForeignGrowthState {
  /** When this window began, in monotonic milliseconds; `undefined` before the first reading. */
  readonly since: number | undefined
  /** The lowest reading of this window. */
  readonly least: number
  /** The lowest reading of the last window; `undefined` in the first window. */
  readonly before: number | undefined
  /** The start of the rise: the lowest reading of the window before the first higher one, and the end of that window. */
  readonly from: { readonly foreign: number; readonly at: number }
  /** How many consecutive windows had a higher lowest reading than the window before. */
  readonly risen: number
}

/**
 * The state before the first reading.
 *
 * @category constructors
 * @since 0.1.0
 */
export const initialForeignGrowth: ForeignGrowthState = {
  since: undefined,
  least: Infinity,
  before: undefined,
  from: { foreign: 0, at: 0 },
  risen: 0
}

/** A report without the kinds of the descriptors. */
export type GrowthFound = Omit<Growth, "kinds">

const endWindow = (
  state: ForeignGrowthState,
  now: number
): { readonly state: ForeignGrowthState; readonly found: GrowthFound | undefined } => {
  const { before, from, least, risen } = state
  const next = { since: now, least: Infinity, before: least }
  if (before === undefined || least <= before) {
    return { state: { ...next, from: { foreign: least, at: now }, risen: 0 }, found: undefined }
  }
  // Growth that continues is reported once. The next report follows only after the growth has stopped.
  const found = risen + 1 === rises
    ? { foreign: least, rise: least - from.foreign, over: Duration.millis(now - from.at) }
    : undefined
  return { state: { ...next, from, risen: risen + 1 }, found }
}

/**
 * Adds a reading: how many descriptors are not in the ledger, at a monotonic time in milliseconds. A load that goes up and down
 * has about the same lowest reading in every window, while a leak raises it from window to window. So growth is reported when
 * the lowest readings of three consecutive windows are each above that of the window before.
 *
 * @category combinators
 * @since 0.1.0
 */
export const observeForeignGrowth = (
  state: ForeignGrowthState,
  reading: { readonly foreign: number; readonly now: number },
  window: number
): { readonly state: ForeignGrowthState; readonly found: GrowthFound | undefined } => {
  const { foreign, now } = reading
  const { since } = state
  // If there was no reading for two windows, the process was suspended, and the windows cannot be compared.
  if (since === undefined || now - since > 2 * window) {
    return { state: { ...initialForeignGrowth, since: now, least: foreign }, found: undefined }
  }
  if (now - since < window) return { state: { ...state, least: Math.min(state.least, foreign) }, found: undefined }
  const ended = endWindow(state, now)
  return { state: { ...ended.state, least: foreign }, found: ended.found }
}
