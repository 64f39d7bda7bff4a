/**
 * What the readings over time amount to: the level of each figure, and the alerts that are due. All of it is pure.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import { Forecast, Raised, Recovered } from "../Alert.ts"
import type { Alert, AlertFigures, OpeningSite, Resource } from "../Alert.ts"
import type { Drift } from "../Leak.ts"
import type { Resolved } from "../Options.ts"
import { gaugeShare, isAtLeast, levelOfShare, worse } from "../Usage.ts"
import type { Gauge, Level, Thresholds, Usage } from "../Usage.ts"

// ---- the level of one figure -------------------------------------------------------------------------------------------

/**
 * When a level changes.
 *
 * @category models
 * @since 0.1.0
 */
export interface RecoveryRules extends Thresholds {
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
export interface LevelState {
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
export const normal: LevelState = { level: "Normal", calm: undefined }

/**
 * A level without any history, as after a reset.
 *
 * @category constructors
 * @since 0.1.0
 */
export const levelAt = (level: Level): LevelState => ({ level, calm: undefined })

/**
 * The levels that a share enters and, a band lower, that it still justifies. Nothing is left at 100 %, so `Exhausted` has a
 * band as well.
 */
const justified = (share: number, rules: RecoveryRules): Level => levelOfShare(share / (1 - rules.band), rules)

/**
 * Whether a figure is so far below its thresholds that it would let the level fall below `floor`, if it stayed there.
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
 * One reading is enough to rise, to whatever level it has. To fall takes `samples` readings in a row, over `hold` milliseconds
 * at least, each of them lower than the threshold by the band; the level then falls to the worst that one of them allows. A
 * figure that cannot be read (`undefined`) changes nothing: it is no evidence of a recovery. `now` is on a clock that does
 * not go back.
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

// Three readings for each quarter, over eight seconds: less says nothing about a trend.
const fewest = 12
const shortest = 8000

// The readings that show a growth which has only just begun.
const recent = 9

// Readings may come four times a second when the time runs out, and must not shorten the window then.
const apart = 900

/**
 * The trail with one more point, without the oldest ones. A point that follows the last one too closely is left out.
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

// Of a figure that grows, the lowest value is the first one.
const rise = (before: Trail, after: Trail): number => (lowest(after) - lowest(before)) / (begin(after) - begin(before))

const quarters = (trail: Trail): ReadonlyArray<Trail> => {
  const bounds = [0, 1, 2, 3, 4].map((quarter) => Math.round(quarter * trail.length / 4))
  return bounds.slice(1).map((end, quarter) => trail.slice(bounds[quarter], end))
}

/** The smallest rise from one quarter to the next, for each second. */
const growth = (trail: Trail): number => {
  const [first, last] = [trail[0], trail.at(-1)]
  if (first === undefined || last === undefined || last.at - first.at < shortest) return -Infinity
  const parts = quarters(trail)
  return Math.min(...parts.slice(1).map((after, before) => rise(parts[before] ?? after, after))) * 1000
}

/** Whether a figure is higher than in all readings before the recent ones, of which there must be as many. */
const isNewHigh = (trail: Trail, margin: number): boolean => {
  const before = trail.slice(0, -recent)
  const high = before.reduce((high, { value }) => Math.max(high, value), -Infinity)
  return before.length >= recent && (trail.at(-1)?.value ?? high) >= high + margin
}

/**
 * How fast a figure grows, for each second, or `undefined` while there are too few points.
 *
 * **Details**
 *
 * The points are cut into quarters. What counts is the lowest value of each, so that a load that swings and a heap that is
 * collected do not look like growth, and the smallest of the three rises, so that growth that has ended is not taken for
 * one that goes on.
 *
 * All points are looked at, and the last nine by themselves, because growth that has only just begun does not show in all
 * of them. So few points may be half a swing: they count only where they lead to a height, by `margin`, that the older
 * points have not seen.
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
 * How fast a figure has grown lately, for each second: over the last three points, or two if there are no more. It follows
 * every swing.
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
 * Seconds until the figure reaches its limit at this rate, or `undefined` when it does not grow. It is 0 at the limit.
 *
 * @category combinators
 * @since 0.1.0
 */
export const secondsAtRate = (used: number, limit: number, slope: number | undefined): number | undefined =>
  slope === undefined || !(slope > 0) ? undefined : Math.max(limit - used, 0) / slope

// ---- all figures, and the alerts ----------------------------------------------------------------------------------------

/**
 * When alerts are due.
 *
 * @category models
 * @since 0.1.0
 */
export interface AlertRules extends RecoveryRules {
  /** How many seconds ahead a limit is told that is coming near. */
  readonly horizon: number
}

/**
 * The rules that the options of a monitor state.
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

/** A stay at a level or above it. */
interface Stay {
  readonly since: number
  readonly peak: number | undefined
}

/** Where a figure is heading. */
interface Outlook {
  readonly trail: Trail
  /** Seconds to its limit at the pace of the last few readings, which is rash: good enough to look more often. */
  readonly rashly: number | undefined
  /** A projection was told, and the limit was near last at this moment: it is told once. */
  readonly toldAt: number | undefined
}

/** What is remembered of one figure. */
interface Memory {
  readonly hysteresis: LevelState
  readonly stays: Readonly<Record<Exclude<Level, "Normal">, Stay | undefined>>
  readonly outlook: Outlook
}

/**
 * What a monitor remembers of its readings.
 *
 * @category models
 * @since 0.1.0
 */
export interface State {
  readonly descriptors: Memory
  readonly memory: Memory
  readonly connections: Memory
}

/**
 * The readings at one moment.
 *
 * @category models
 * @since 0.1.0
 */
export interface Observation {
  readonly usage: Usage
  /** Descriptors that count against the limit besides `used`, as the monitor's own do at the process's limit. */
  readonly own: number
  /** Wall-clock time in milliseconds. */
  readonly at: number
  /** Milliseconds on a clock that does not go back. */
  readonly now: number
}

const afresh: Memory = {
  hysteresis: normal,
  stays: { Warning: undefined, Critical: undefined, Exhausted: undefined },
  outlook: { trail: [], rashly: undefined, toldAt: undefined }
}

/**
 * What is remembered before the first reading.
 *
 * @category constructors
 * @since 0.1.0
 */
export const initial: State = { descriptors: afresh, memory: afresh, connections: afresh }

const resources: ReadonlyArray<Resource> = ["descriptors", "memory", "connections"]

const rising = ["Warning", "Critical", "Exhausted"] as const

/**
 * The worst level of the figures.
 *
 * @category getters
 * @since 0.1.0
 */
export const levelOf = (state: State): Level =>
  resources.reduce<Level>((worst, resource) => worse(worst, state[resource].hysteresis.level), "Normal")

interface Figure extends AlertFigures {
  readonly share: number | undefined
  /** What is in use, with what is reserved: the limit where the count met `EMFILE`. */
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
  return { resource, at, used, code, reserved, limit, share: gaugeShare(gauge, extra + reserved), amount, now }
}

const figuresOf = ({ at, code, limit, reserved, resource, used }: Figure): AlertFigures => ({
  resource,
  at,
  used,
  code,
  reserved,
  limit
})

const higher = (peak: number | undefined, amount: number | undefined): number | undefined =>
  peak === undefined || amount === undefined ? peak ?? amount : Math.max(peak, amount)

/** The stays at each level: those that the new level ends are gone, and those that it begins are there. */
const staysOf = (before: Memory, level: Level, { amount, now }: Figure): Memory["stays"] => {
  const at = (rung: typeof rising[number]): Stay | undefined => {
    if (!isAtLeast(level, rung)) return undefined
    const stay = before.stays[rung]
    return { since: stay?.since ?? now, peak: higher(stay?.peak, amount) }
  }
  return { Warning: at("Warning"), Critical: at("Critical"), Exhausted: at("Exhausted") }
}

/** What was above a level, up to the moment at which the figure falls to it. */
const stayAbove = (memory: Memory, level: Level): Stay | undefined => {
  const next = rising.find((rung) => !isAtLeast(level, rung))
  return next === undefined ? undefined : memory.stays[next]
}

type Sites = () => ReadonlyArray<OpeningSite>

const crossing = (before: Memory, level: Level, figure: Figure, sites: Sites): ReadonlyArray<Alert> => {
  const from = before.hysteresis.level
  const figures = figuresOf(figure)
  if (level === from) return []
  if (isAtLeast(level, from)) return [new Raised({ ...figures, level, from, sites: sites() })]
  const stay = stayAbove(before, level)
  const duration = Duration.millis(figure.now - (stay?.since ?? figure.now))
  return [new Recovered({ ...figures, level, from, peak: stay?.peak, duration })]
}

/**
 * How much higher than before a figure has to be to be higher, as a share of its limit.
 *
 * @category constants
 * @since 0.1.0
 */
export const newHigh = 0.05

/** After a projection the limit has to be far away for so many horizons before another one is told. */
const quietHorizons = 5

interface Prospect extends Outlook {
  readonly projected: { readonly slope: number; readonly secondsToLimit: number } | undefined
}

/** When the limit was near last, of a limit that was told already; `undefined` when it has been far away for a while. */
const stillTold = (toldAt: number, isNear: boolean, now: number, horizon: number): number | undefined => {
  if (isNear) return now
  return now - toldAt < horizon * quietHorizons * 1000 ? toldAt : undefined
}

/** Where the figure is heading, and whether the limit is so near that it has to be told. */
const prospectOf = (before: Outlook, level: Level, figure: Figure, horizon: number): Prospect => {
  const { amount, limit, now, share } = figure
  if (share === undefined || amount === undefined || limit === undefined) {
    return { ...before, rashly: undefined, projected: undefined }
  }
  const trail = extendTrail(before.trail, { at: now, value: amount })
  const rashly = secondsAtRate(amount, limit, recentRate(trail))
  const slope = growthRate(trail, limit * newHigh)
  const secondsToLimit = secondsAtRate(amount, limit, slope)
  const { toldAt } = before
  if (toldAt !== undefined) {
    const isNear = secondsToLimit !== undefined && secondsToLimit <= horizon * 2
    return { trail, rashly, toldAt: stillTold(toldAt, isNear, now, horizon), projected: undefined }
  }
  const isDue = slope !== undefined && secondsToLimit !== undefined && secondsToLimit <= horizon
  return isDue && !isAtLeast(level, "Critical")
    ? { trail, rashly, toldAt: now, projected: { slope, secondsToLimit } }
    : { trail, rashly, toldAt, projected: undefined }
}

const advance = (before: Memory, figure: Figure, rules: AlertRules, sites: Sites) => {
  const hysteresis = advanceLevel(before.hysteresis, figure.share, figure.now, rules)
  const { level } = hysteresis
  const { projected, ...outlook } = prospectOf(before.outlook, level, figure, rules.horizon)
  const crossed = crossing(before, level, figure, sites)
  const alerts = projected === undefined
    ? crossed
    : [...crossed, new Forecast({ ...figuresOf(figure), ...projected, level, sites: sites() })]
  return { memory: { hysteresis, stays: staysOf(before, level, figure), outlook }, alerts }
}

/**
 * What an observation leads to.
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
 * - One `Raised` for each step up of a figure, and one `Recovered` for each step down, with the peak and the duration of the
 *   time that it was above the level that it has then.
 * - One `Forecast` when a figure that is below `Critical` would reach its limit within the horizon. The next one is due
 *   only after the limit has been far away for five horizons.
 * - A figure that cannot be read brings no alert.
 *
 * @category combinators
 * @since 0.1.0
 */
export const observe = (
  state: State,
  observation: Observation,
  rules: AlertRules,
  sites: Sites
): Conclusion => {
  const after = (resource: Resource) => advance(state[resource], figureOf(resource, observation), rules, sites)
  const [descriptors, memory, connections] = [after("descriptors"), after("memory"), after("connections")]
  return {
    state: { descriptors: descriptors.memory, memory: memory.memory, connections: connections.memory },
    alerts: [...descriptors.alerts, ...memory.alerts, ...connections.alerts]
  }
}

/**
 * The same with the levels that the readings have by themselves, up or down, as if they had had them for long enough.
 *
 * @category combinators
 * @since 0.1.0
 */
export const settle = (
  state: State,
  observation: Observation,
  rules: AlertRules,
  sites: Sites
): Conclusion => observe(state, observation, { ...rules, band: 0, samples: 1, hold: 0 }, sites)

/**
 * Whether no figure is at `floor` or above it, and none that was is still so near that its level would stay.
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
 * Seconds until a limit is reached at the pace of the last few readings, `Infinity` when none is coming nearer. It is rash:
 * good enough to look more often, not to tell anybody.
 *
 * @category getters
 * @since 0.1.0
 */
export const secondsToLimit = (state: State): number =>
  Math.min(...resources.map((resource) => state[resource].outlook.rashly ?? Infinity))

// ---- the growth of foreign descriptors --------------------------------------------------------------------------------

/** So many windows in a row have to have more than the one before. */
const rises = 3

/**
 * What is remembered between two readings.
 *
 * @category models
 * @since 0.1.0
 */
export interface ForeignGrowthState {
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
export const initialForeignGrowth: ForeignGrowthState = {
  since: undefined,
  least: Infinity,
  before: undefined,
  from: { foreign: 0, at: 0 },
  risen: 0
}

/** What is found at the end of a window: all of a report but what the descriptors are. */
export type GrowthFound = Omit<Drift, "kinds">

const endWindow = (
  state: ForeignGrowthState,
  now: number
): { readonly state: ForeignGrowthState; readonly found: GrowthFound | undefined } => {
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
export const observeForeignGrowth = (
  state: ForeignGrowthState,
  reading: { readonly foreign: number; readonly now: number },
  window: number
): { readonly state: ForeignGrowthState; readonly found: GrowthFound | undefined } => {
  const { foreign, now } = reading
  const { since } = state
  // A process that stood still for longer than two windows has not been watched meanwhile.
  if (since === undefined || now - since > 2 * window) {
    return { state: { ...initialForeignGrowth, since: now, least: foreign }, found: undefined }
  }
  if (now - since < window) return { state: { ...state, least: Math.min(state.least, foreign) }, found: undefined }
  const ended = endWindow(state, now)
  return { state: { ...ended.state, least: foreign }, found: ended.found }
}
