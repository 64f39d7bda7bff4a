/**
 * The gate's decision, as a pure function of the readings and the claims.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import { errorText, safeMessage } from "../../internal/SafeText.ts"
import { TaggedError } from "../../internal/TaggedError.ts"
import type { OpeningSite, Resource } from "../Alert.ts"
import { isConfigured, originOf } from "../Options.ts"
import type { Reading } from "../Reading.ts"
import { gaugeLevel, isAtLeast } from "../Usage.ts"
import type { Gauge, Level, Thresholds, Usage } from "../Usage.ts"

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

/** How there is more room. */
const remedy = ({ headroom, limitSource, reserve, resource }: RefusingLimit): string => {
  const more = isConfigured(limitSource)
    ? "raise it"
    : resource === "descriptors"
    ? "raise ulimit -n"
    : "raise that limit"
  return resource === "descriptors" && headroom + reserve > 0 ? `${more}, or lower headroom` : more
}

/** A limit as a refusal has it. */
export interface RefusingLimit {
  readonly resource: Resource
  /** The `source` of the limit's reading; empty where nothing is known of it. */
  readonly limitSource: string
  /** What stays free, besides {@link reserve}. */
  readonly headroom: number
  /** What is off the limit already because it stays free. */
  readonly reserve: number
}

/** Says what sets the limit, where its value comes from, and how there is more room. Nothing is said of a limit that a test has set. */
export const describeLimit = (limit: RefusingLimit): string => {
  const { limitSource, resource } = limit
  if (limitSource === "" || limitSource === "test") return ""
  const what = isConfigured(limitSource)
    ? `option ${optionOf[resource]} of ResourceMonitor${originOf(limitSource)}`
    : `${own[resource]}, from ${limitSource}`
  return `; the limit is ${what}: ${remedy(limit)}`
}

/**
 * What is about to be opened.
 *
 * @category models
 * @since 0.1.0
 */
export interface ReserveRequest {
  /** What the claim is for, such as the endpoint's text. It is used in errors and logs only. */
  readonly label: string
  /**
   * How many descriptors the opening needs: a whole number, 0 or more. 0 asks the gate and claims nothing. Default 1.
   */
  readonly descriptors?: number | undefined
  /**
   * Attempts made before this one: 0 for a first attempt. Retries are stopped earlier than first attempts, and wait behind
   * them. Default 0.
   */
  readonly attempt?: number | undefined
  /**
   * How long to wait for room: a finite duration of 0 or more. First come first served, first attempts before retries.
   * Default 0: the request is refused at once when there is no room, or when others wait for it already.
   */
  readonly maxWait?: Duration.Input | undefined
}

/**
 * Why a request is refused: the figures of the resource that has no room.
 *
 * @category models
 * @since 0.1.0
 */
export interface Refusal {
  readonly resource: "descriptors" | "memory" | "connections"
  /** What is in use: a count, or bytes of memory. It is the limit where the count itself met `EMFILE`. */
  readonly used: number
  readonly reserved: number
  readonly requested: number
  readonly limit: number
  readonly headroom: number
  readonly level: Level
  /** Where the limit comes from: `options`, a file such as `/proc/self/limits`, or a variable. */
  readonly limitSource: string
  /** Descriptors that are off the limit already because they stay free. */
  readonly reserve: number
}

/** What a refusal carries besides its figures; all of it may be left out. */
interface Circumstances {
  /**
   * When asking again may have another answer, at the earliest, as far as the gate can tell: it looks so often for room
   * that others gave back, and those that wait are served before. {@link ReserveRequest.maxWait} is better than asking again.
   */
  readonly retryAfter: Duration.Duration
  /** How long the request has waited for room. */
  readonly waited: Duration.Duration
  /** How many requests are served before this one could be. */
  readonly ahead: number
  /** The places in the program that hold the most, the largest first; empty where nobody keeps account of them. */
  readonly topSites: ReadonlyArray<OpeningSite>
  /** What was met for lack of room, if something was. */
  readonly cause?: unknown
}

/** What a test or a monitor of one's own may leave out. */
type Provenance = Pick<Refusal, "limitSource" | "reserve">

type Figures = Omit<Refusal, keyof Provenance>

const noCircumstances: Circumstances & Provenance = {
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
    // Whether what stays free is off the limit already makes no difference to who reads it.
    return `${claims} > limit ${error.limit + error.reserve} - headroom ${error.headroom + error.reserve} ${level}`
  }
  return error.ahead > 0
    ? `${claims} of limit ${error.limit}, and others are served first ${level}`
    : `${claims} of limit ${error.limit}, and retries are refused from level Critical on ${level}`
}

const circumstancesOf = (error: ResourceExhausted): string => {
  const parts = [
    describeLimit(error),
    Duration.isZero(error.waited) ? "" : `; waited ${Duration.format(error.waited)}`,
    error.ahead === 0 ? "" : `; ${error.ahead} ahead of it`,
    error.topSites.length === 0
      ? ""
      : `; most are held by ${error.topSites.map(({ open, site }) => `${site} (${open})`).join(", ")}`,
    error.cause === undefined ? "" : `; it met: ${errorText(error.cause)}`
  ]
  return parts.join("")
}

/**
 * The gate refused an opening, or a failure was put down to it: there is no room.
 *
 * @category errors
 * @since 0.1.0
 */
export class ResourceExhausted extends TaggedError("ResourceExhausted")<
  { readonly label: string } & Refusal & Circumstances
> {
  /** Room may come back: try again when the level has fallen. */
  readonly isRetryable = true
  constructor(props: { readonly label: string } & Figures & Partial<Provenance & Circumstances>) {
    super({ ...noCircumstances, ...props })
  }
  /** The same refusal, with what was met for lack of room before it. */
  after(cause: unknown): ResourceExhausted {
    const { headroom, label, level, limit, limitSource, requested, reserve, reserved, resource, used } = this
    const { ahead, retryAfter, topSites, waited } = this
    const figures = { resource, used, reserved, requested, limit, limitSource, reserve, headroom, level }
    return new ResourceExhausted({ ...figures, label, ahead, retryAfter, topSites, waited, cause })
  }
  override get message(): string {
    return safeMessage(`no room to open ${this.label}: ${figuresOf(this)}${circumstancesOf(this)}`)
  }
}

/**
 * What the gate decides by.
 *
 * @category models
 * @since 0.1.0
 */
export interface Capacity extends Thresholds {
  readonly usage: Usage
  /** Connections in the ledger: what stands in for the count of descriptors where that is `Unknown`. */
  readonly open: number
  /** Openings that were admitted and have no connection in the ledger yet. */
  readonly opening: number
  /** Descriptors that stay free, besides what is off the limit already. */
  readonly headroom: number
  /** Descriptors that are off the limit already because they stay free. */
  readonly reserve: number
}

interface Bill {
  readonly resource: "descriptors" | "connections"
  readonly gauge: Gauge
  readonly used: number
  readonly reserved: number
  readonly requested: number
  readonly headroom: number
}

const valueOf = (reading: Reading): number | undefined => reading._tag === "Known" ? reading.value : undefined

const billOfDescriptors = (requested: number, { headroom, open, usage }: Capacity): Bill => ({
  resource: "descriptors",
  gauge: usage.descriptors,
  used: valueOf(usage.descriptors.used) ?? open,
  reserved: usage.reserved,
  requested,
  headroom
})

const billOfConnections = (requested: number, { open, opening, usage }: Capacity): Bill => ({
  resource: "connections",
  gauge: usage.connections,
  used: open,
  reserved: opening,
  requested: Math.min(requested, 1),
  headroom: 0
})

const refusalOf = (bill: Bill, limit: number, capacity: Capacity): Refusal => {
  const { gauge, headroom, requested, reserved, resource } = bill
  const used = gauge.used._tag === "Saturated" ? limit : bill.used
  const provenance = {
    limitSource: gauge.limit.source,
    reserve: resource === "descriptors" ? capacity.reserve : 0
  }
  return { resource, used, reserved, requested, limit, headroom, level: capacity.usage.level, ...provenance }
}

const isOver = (bill: Bill, limit: number): boolean =>
  bill.gauge.used._tag === "Saturated" || bill.used + bill.reserved + bill.requested > limit - bill.headroom

/** A count that met `EMFILE` says that the limit is reached, also where nobody knows how high it is. */
const limitOf = (bill: Bill): number | undefined => {
  const { limit, used } = bill.gauge
  return used._tag === "Saturated" && limit._tag !== "Unlimited" ? valueOf(limit) ?? bill.used : valueOf(limit)
}

const check = (bill: Bill, isRetry: boolean, capacity: Capacity): Refusal | undefined => {
  const limit = limitOf(bill)
  if (limit === undefined) return undefined
  const refused = isOver(bill, limit) ||
    isRetry && isAtLeast(gaugeLevel(bill.gauge, bill.reserved, capacity), "Critical")
  return refused ? refusalOf(bill, limit, capacity) : undefined
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
 * The refusal that a request meets in a capacity, or `undefined` when there is room for it.
 *
 * **Details**
 *
 * - Descriptors: used + reserved + requested must stay within the limit less the headroom. Where the count is `Unknown`,
 *   the ledger's open connections stand in for it: a figure that cannot be read never refuses by itself. A count that met
 *   `EMFILE` refuses, whatever the limit, unless there is none.
 * - Connections: open + opening + this one must stay within the limit.
 * - Memory: refused at the limit and above it, for no opening gives memory back. Below it memory raises the level only.
 * - A retry is refused already when descriptors or connections are at `Critical`, so that what is left goes to first
 *   attempts.
 *
 * @category combinators
 * @since 0.1.0
 */
export const decide = (request: ReserveRequest, capacity: Capacity): Refusal | undefined => {
  const requested = descriptorsOf(request)
  return check(billOfDescriptors(requested, capacity), isRetry(request), capacity) ??
    check(billOfConnections(requested, capacity), isRetry(request), capacity) ??
    checkMemory(capacity)
}

/**
 * Whether a request would be refused with nothing else open at all, so that waiting is in vain.
 *
 * @category combinators
 * @since 0.1.0
 */
export const isHopeless = (request: ReserveRequest, { headroom, usage }: Capacity): boolean => {
  const limit = valueOf(usage.descriptors.limit)
  return limit !== undefined && descriptorsOf(request) > limit - headroom
}

/**
 * The figures of a request that has room, and is refused because others wait for room before it.
 *
 * @category combinators
 * @since 0.1.0
 */
export const refusalOfLatecomer = (request: ReserveRequest, capacity: Capacity): Refusal => {
  const requested = descriptorsOf(request)
  const bills = [billOfDescriptors(requested, capacity), billOfConnections(requested, capacity)]
  const limited = bills.find(({ gauge }) => gauge.limit._tag === "Known") ?? billOfDescriptors(requested, capacity)
  return refusalOf(limited, valueOf(limited.gauge.limit) ?? Infinity, capacity)
}

/**
 * The figures that say that no descriptor is free for an opening now, or `undefined` when there is one or nobody knows.
 *
 * **Details**
 *
 * Less than the headroom counts as nothing: a look-up of a name needs descriptors of its own for a moment, and by the time
 * at which its failure is known those are gone from the count. Claims are not counted, because a descriptor that does not
 * exist yet has kept nothing from anybody.
 *
 * @category combinators
 * @since 0.1.0
 */
export const shortageOf = (capacity: Capacity): Refusal | undefined => {
  const { descriptors } = capacity.usage
  const bill = { ...billOfDescriptors(1, capacity), reserved: 0 }
  const limit = limitOf(bill)
  if (limit === undefined || descriptors.used._tag === "Unknown") return undefined
  return isOver(bill, limit) ? refusalOf(bill, limit, capacity) : undefined
}
