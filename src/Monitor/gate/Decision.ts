/**
 * Decides whether the gate admits a request, as a pure function of the readings and the reservations. It also has the error of
 * a refusal.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import { measured } from "../../internal/MeasuredTime.ts"
import { errorText, safeMessage } from "../../internal/SafeText.ts"
import { TaggedError } from "../../internal/TaggedError.ts"
import type { OpeningSite, Resource } from "../Alert.ts"
import { isConfigured, originOf } from "../Options.ts"
import type { Reading } from "../Reading.ts"
import { type Gauge, gaugeLevel, isAtLeast, type Level, type Thresholds, type Usage } from "../Usage.ts"

const optionOf: Record<Resource, string> = {
  descriptors: "maxDescriptors",
  memory: "maxMemory",
  connections: "maxConnections"
}

const own: Record<Resource, string> = {
  descriptors: "the process's soft limit of open files (ulimit -n)",
  memory: "the container's",
  connections: "its own"
}

/** How to get more room. */
const remedy = ({ headroom, limitSource, reserve, resource }: RefusingLimit): string => {
  const more = isConfigured(limitSource)
    ? "raise it"
    : resource === "descriptors"
    ? "raise ulimit -n"
    : "raise that limit"
  return resource === "descriptors" && headroom + reserve > 0 ? `${more}, or lower headroom` : more
}

/** The limit of a refusal. */
export interface RefusingLimit {
  readonly resource: Resource
  /** The `source` of the limit's reading; empty if it is unknown. */
  readonly limitSource: string
  /** The amount that stays free, besides {@link reserve}. */
  readonly headroom: number
  /** The amount that stays free and is already subtracted from the limit. */
  readonly reserve: number
}

/** Names the limit, the source of its value, and how to get more room. Empty for a limit that a test has set. */
export const describeLimit = (limit: RefusingLimit): string => {
  const { limitSource, resource } = limit
  if (limitSource === "" || limitSource === "test") return ""
  const what = isConfigured(limitSource)
    ? `option ${optionOf[resource]} of ResourceMonitor${originOf(limitSource)}`
    : `${own[resource]}, from ${limitSource}`
  return `; the limit is ${what}: ${remedy(limit)}`
}

/**
 * A request to the gate, for something that is about to be opened.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export interface ReserveRequest {
  /** The name of what is opened, such as the endpoint's text. It is used only in errors and logs. */
  readonly label: string
  /**
   * How many descriptors are needed: a whole number, 0 or more. With 0 the gate is asked and nothing is reserved. @default 1
   */
  readonly descriptors?: number | undefined
  /**
   * How many attempts were made before this one: 0 for a first attempt, more for a retry. Retries are refused earlier than
   * first attempts, and are served after them. @default 0
   */
  readonly attempt?: number | undefined
  /**
   * How long to wait for room: a finite duration of 0 or more. Requests are served in order of arrival, first attempts before
   * retries. With 0, the request is refused at once if there is no room, or if other requests are waiting. @default 0
   */
  readonly maxWait?: Duration.Input | undefined
}

/**
 * The figures of the resource without enough room for a request.
 *
 * @category models
 * @since 0.1.0
 */
export interface Refusal {
  readonly resource: "descriptors" | "memory" | "connections"
  /** A count, or bytes of memory. If the descriptors could not be counted because of `EMFILE`, it equals the limit. */
  readonly used: number
  readonly reserved: number
  readonly requested: number
  readonly limit: number
  readonly headroom: number
  readonly level: Level
  /** Where the limit comes from: `options`, a file such as `/proc/self/limits`, or a variable. */
  readonly limitSource: string
  /** Descriptors that stay free and are already subtracted from the limit. */
  readonly reserve: number
}

/** The further fields of the error. */
interface Details {
  /**
   * The time after which another request may be admitted, at the earliest. The requests that wait now are served before it. It
   * is better to set {@link ReserveRequest.maxWait} than to ask again.
   */
  readonly retryAfter: Duration.Duration
  /** How long the request has waited for room. */
  readonly waited: Duration.Duration
  /** How many waiting requests are served before this one. */
  readonly ahead: number
  /** The places in the program with the most open connections, the largest number first; empty if no places are recorded. */
  readonly topSites: ReadonlyArray<OpeningSite>
  /** The failure that was caused by the lack of room, if there was one. */
  readonly cause?: unknown
}

/** Figures that a test, or another implementation of the monitor, may omit. */
type Provenance = Pick<Refusal, "limitSource" | "reserve">

type Figures = Omit<Refusal, keyof Provenance>

const noDetails: Details & Provenance = {
  limitSource: "",
  reserve: 0,
  retryAfter: Duration.zero,
  waited: Duration.zero,
  ahead: 0,
  topSites: []
}

const figuresOf = (error: ResourceExhausted): string => {
  const used = `${error.used} ${error.resource} used`
  if (error.resource === "memory") return `${used} >= limit ${error.limit} bytes (level ${error.level})`
  const claims = `${used} + ${error.reserved} reserved + ${error.requested} requested`
  const level = `(level ${error.level})`
  if (error.used + error.reserved + error.requested > error.limit - error.headroom) {
    // The reserve was subtracted from the limit. The message shows the original limit, and the reserve as a part of the
    // headroom.
    return `${claims} > limit ${error.limit + error.reserve} - headroom ${error.headroom + error.reserve} ${level}`
  }
  return error.ahead > 0
    ? `${claims} of limit ${error.limit}, and others are served first ${level}`
    : `${claims} of limit ${error.limit}, and retries are refused from level Critical on ${level}`
}

const detailsOf = (error: ResourceExhausted): string => {
  const parts = [
    describeLimit(error),
    Duration.isZero(error.waited) ? "" : `; waited ${measured(error.waited)}`,
    error.ahead === 0 ? "" : `; ${error.ahead} ahead of it`,
    error.topSites.length === 0
      ? ""
      : `; most are held by ${error.topSites.map(({ open, site }) => `${site} (${open})`).join(", ")}`,
    error.cause === undefined ? "" : `; it failed with: ${errorText(error.cause)}`
  ]
  return parts.join("")
}

/**
 * There is no room: the gate has refused a request, or lack of room was the cause of a failure.
 *
 * @category errors
 * @since 0.1.0
 * @stability stable
 */
export class ResourceExhausted extends TaggedError("ResourceExhausted")<
  { readonly label: string } & Refusal & Details
> {
  /** Room may become free, so a later attempt may succeed. */
  readonly isRetryable = true
  constructor(props: { readonly label: string } & Figures & Partial<Provenance & Details>) {
    super({ ...noDetails, ...props })
  }
  /** The same error, with an earlier failure as its cause. */
  after(cause: unknown): ResourceExhausted {
    const { headroom, label, level, limit, limitSource, requested, reserve, reserved, resource, used } = this
    const { ahead, retryAfter, topSites, waited } = this
    const figures = { resource, used, reserved, requested, limit, limitSource, reserve, headroom, level }
    return new ResourceExhausted({ ...figures, label, ahead, retryAfter, topSites, waited, cause })
  }
  override get message(): string {
    return safeMessage(`no room to open ${this.label}: ${figuresOf(this)}${detailsOf(this)}`)
  }
}

/**
 * The readings and counts from which the gate decides.
 *
 * @category models
 * @since 0.1.0
 */
export interface Capacity extends Thresholds {
  readonly usage: Usage
  /** Open connections in the ledger. If the count of descriptors is `Unknown`, this number replaces it. */
  readonly open: number
  /** Connections that are admitted and being opened, and are not in the ledger yet. */
  readonly opening: number
  /** Descriptors that stay free, besides those that are already subtracted from the limit. */
  readonly headroom: number
  /** Descriptors that stay free and are already subtracted from the limit. */
  readonly reserve: number
}

/** The use of one resource, and what a request would add. */
interface Demand {
  readonly resource: "descriptors" | "connections"
  readonly gauge: Gauge
  readonly used: number
  readonly reserved: number
  readonly requested: number
  readonly headroom: number
}

const valueOf = (reading: Reading): number | undefined => reading._tag === "Known" ? reading.value : undefined

const descriptorDemand = (requested: number, { headroom, open, usage }: Capacity): Demand => ({
  resource: "descriptors",
  gauge: usage.descriptors,
  used: valueOf(usage.descriptors.used) ?? open,
  reserved: usage.reserved,
  requested,
  headroom
})

const connectionDemand = (requested: number, { open, opening, usage }: Capacity): Demand => ({
  resource: "connections",
  gauge: usage.connections,
  used: open,
  reserved: opening,
  requested: Math.min(requested, 1),
  headroom: 0
})

const refusalOf = (demand: Demand, limit: number, capacity: Capacity): Refusal => {
  const { gauge, headroom, requested, reserved, resource } = demand
  const used = gauge.used._tag === "Saturated" ? limit : demand.used
  const provenance = {
    limitSource: gauge.limit.source,
    reserve: resource === "descriptors" ? capacity.reserve : 0
  }
  return { resource, used, reserved, requested, limit, headroom, level: capacity.usage.level, ...provenance }
}

const isOver = (demand: Demand, limit: number): boolean =>
  demand.gauge.used._tag === "Saturated" || demand.used + demand.reserved + demand.requested > limit - demand.headroom

/** The limit; if it is unknown, and the count failed with `EMFILE`, the present use is the limit. */
const limitOf = (demand: Demand): number | undefined => {
  const { limit, used } = demand.gauge
  return used._tag === "Saturated" && limit._tag !== "Unlimited" ? valueOf(limit) ?? demand.used : valueOf(limit)
}

const check = (demand: Demand, isRetry: boolean, capacity: Capacity): Refusal | undefined => {
  const limit = limitOf(demand)
  if (limit === undefined) return undefined
  const refused = isOver(demand, limit) ||
    isRetry && isAtLeast(gaugeLevel(demand.gauge, demand.reserved, capacity), "Critical")
  return refused ? refusalOf(demand, limit, capacity) : undefined
}

const checkMemory = ({ usage }: Capacity): Refusal | undefined => {
  const used = valueOf(usage.memory.used)
  const limit = valueOf(usage.memory.limit)
  if (used === undefined || limit === undefined || used < limit) return undefined
  const nothing = { reserved: 0, requested: 0, headroom: 0, reserve: 0 }
  return { resource: "memory", used, limit, level: usage.level, limitSource: usage.memory.limit.source, ...nothing }
}

const descriptorsOf = (request: ReserveRequest): number => request.descriptors ?? 1

/**
 * Whether a request is a retry, which is refused earlier and served later than a first attempt.
 *
 * @category combinators
 * @since 0.1.0
 */
export const isRetry = (request: ReserveRequest): boolean => (request.attempt ?? 0) > 0

/**
 * The refusal of a request, or `undefined` when there is room for it.
 *
 * **Details**
 *
 * - Descriptors: used + reserved + requested must be at most the limit minus the headroom. If the count is `Unknown`, the number of open
 *   connections in the ledger replaces it. If the count failed with `EMFILE`, the request is refused, unless there is no limit.
 * - Connections: open + being opened + this one must be at most the limit.
 * - Memory: the request is refused at the limit and above. Below the limit, memory only raises the level.
 * - A retry is refused already at level `Critical` of descriptors or connections, so that first attempts get the remaining room.
 *
 * @category combinators
 * @since 0.1.0
 */
export const decide = (request: ReserveRequest, capacity: Capacity): Refusal | undefined => {
  const requested = descriptorsOf(request)
  return check(descriptorDemand(requested, capacity), isRetry(request), capacity) ??
    check(connectionDemand(requested, capacity), isRetry(request), capacity) ??
    checkMemory(capacity)
}

/**
 * Whether a request would be refused even if nothing else were open, so that it must not wait.
 *
 * @category combinators
 * @since 0.1.0
 */
export const isHopeless = (request: ReserveRequest, { headroom, usage }: Capacity): boolean => {
  const limit = valueOf(usage.descriptors.limit)
  return limit !== undefined && descriptorsOf(request) > limit - headroom
}

/**
 * The refusal of a request for which there is room, because other requests wait and are served first.
 *
 * @category combinators
 * @since 0.1.0
 */
export const refusalBehindOthers = (request: ReserveRequest, capacity: Capacity): Refusal => {
  const requested = descriptorsOf(request)
  const demands = [descriptorDemand(requested, capacity), connectionDemand(requested, capacity)]
  const limited = demands.find(({ gauge }) => gauge.limit._tag === "Known") ?? descriptorDemand(requested, capacity)
  return refusalOf(limited, valueOf(limited.gauge.limit) ?? Infinity, capacity)
}

/**
 * The figures if the process lacks descriptors. `undefined` if it has a free one besides the headroom, or if the count is
 * unknown.
 *
 * **Details**
 *
 * It is called after a failure, to find out whether a lack of descriptors was the cause. By then some may be free again: a
 * failed look-up of a name closes the descriptors that it used. So the headroom counts as used. Reservations are not counted,
 * because a descriptor that does not exist yet cannot have caused the failure.
 *
 * @category combinators
 * @since 0.1.0
 */
export const shortageOf = (capacity: Capacity): Refusal | undefined => {
  const { descriptors } = capacity.usage
  const demand = { ...descriptorDemand(1, capacity), reserved: 0 }
  const limit = limitOf(demand)
  if (limit === undefined || descriptors.used._tag === "Unknown") return undefined
  return isOver(demand, limit) ? refusalOf(demand, limit, capacity) : undefined
}
