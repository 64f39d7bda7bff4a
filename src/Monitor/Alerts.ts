/**
 * What the readings over time amount to: the level of each figure, and the alerts that are due. All of it is pure.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import type { AlertFigures, OpeningSite, Resource } from "./Alert.ts"
import { type Alert, Projected, Raised, Recovered } from "./Alert.ts"
import * as Hysteresis from "./Hysteresis.ts"
import * as Projection from "./Projection.ts"
import type { Gauge, Level, Usage } from "./Usage.ts"
import { gaugeShare, isAtLeast, levelOfShare, worse } from "./Usage.ts"

/**
 * When alerts are due.
 *
 * @category models
 * @since 0.1.0
 */
export interface Rules extends Hysteresis.Rules {
  /** How many seconds ahead a limit is told that is coming near. */
  readonly horizon: number
}

/** A stay at a level or above it. */
interface Stay {
  readonly since: number
  readonly peak: number | undefined
}

/** Where a figure is heading. */
interface Outlook {
  readonly trail: Projection.Trail
  /** Seconds to its limit at the pace of the last few readings, which is rash: good enough to look more often. */
  readonly rashly: number | undefined
  /** A projection was told, and the limit was near last at this moment: it is told once. */
  readonly toldAt: number | undefined
}

/** What is remembered of one figure. */
interface Memory {
  readonly hysteresis: Hysteresis.State
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
  hysteresis: Hysteresis.initial,
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
  const trail = Projection.extend(before.trail, { at: now, value: amount })
  const rashly = Projection.secondsToLimit(amount, limit, Projection.pace(trail))
  const slope = Projection.slope(trail, limit * newHigh)
  const secondsToLimit = Projection.secondsToLimit(amount, limit, slope)
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

const advance = (before: Memory, figure: Figure, rules: Rules, sites: Sites) => {
  const hysteresis = Hysteresis.advance(before.hysteresis, figure.share, figure.now, rules)
  const { level } = hysteresis
  const { projected, ...outlook } = prospectOf(before.outlook, level, figure, rules.horizon)
  const crossed = crossing(before, level, figure, sites)
  const alerts = projected === undefined
    ? crossed
    : [...crossed, new Projected({ ...figuresOf(figure), ...projected, level, sites: sites() })]
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
 * - One `Projected` when a figure that is below `Critical` would reach its limit within the horizon. The next one is due
 *   only after the limit has been far away for five horizons.
 * - A figure that cannot be read brings no alert.
 *
 * @category combinators
 * @since 0.1.0
 */
export const observe = (
  state: State,
  observation: Observation,
  rules: Rules,
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
  rules: Rules,
  sites: Sites
): Conclusion => observe(state, observation, { ...rules, band: 0, samples: 1, hold: 0 }, sites)

/**
 * Whether no figure is at `floor` or above it, and none that was is still so near that its level would stay.
 *
 * @category combinators
 * @since 0.1.0
 */
export const isClearOf = (state: State, floor: Level, observation: Observation, rules: Rules): boolean =>
  resources.every((resource) => {
    const { share } = figureOf(resource, observation)
    const wasThere = isAtLeast(state[resource].hysteresis.level, floor)
    if (share === undefined) return !wasThere
    return wasThere ? Hysteresis.isClearOf(floor, share, rules) : !isAtLeast(levelOfShare(share, rules), floor)
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
