/**
 * The gate's decision, as a pure function of the readings and the claims.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import type { Reading } from "./Reading.ts"
import { gaugeLevel, isAtLeast } from "./Usage.ts"
import type { Gauge, Level, Thresholds, Usage } from "./Usage.ts"

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
  /** Attempts made before this one: 0 for a first attempt. Retries are stopped earlier than first attempts. Default 0. */
  readonly attempt?: number | undefined
}

/**
 * The gate refused an opening: there is no room for it.
 *
 * @category errors
 * @since 0.1.0
 */
export class ResourceExhausted extends Data.TaggedError("ResourceExhausted")<{
  readonly label: string
  readonly resource: "descriptors" | "memory" | "connections"
  /** What is in use: a count, or bytes of memory. It is the limit where the count itself met `EMFILE`. */
  readonly used: number
  readonly reserved: number
  readonly requested: number
  readonly limit: number
  readonly headroom: number
  readonly level: Level
}> {
  /** Room may come back: try again when the level has fallen. */
  readonly isRetryable = true
  override get message(): string {
    const room = `no room to open ${this.label}: ${this.used} ${this.resource} used`
    if (this.resource === "memory") return `${room} >= limit ${this.limit} bytes (level ${this.level})`
    const claims = `${room} + ${this.reserved} reserved + ${this.requested} requested`
    return this.used + this.reserved + this.requested > this.limit - this.headroom
      ? `${claims} > limit ${this.limit} - headroom ${this.headroom} (level ${this.level})`
      : `${claims} of limit ${this.limit}, and retries are refused from level Critical on (level ${this.level})`
  }
}

/**
 * What the gate decides by.
 *
 * @category models
 * @since 0.1.0
 */
export interface Situation extends Thresholds {
  readonly usage: Usage
  /** Connections in the ledger: what stands in for the count of descriptors where that is `Unknown`. */
  readonly open: number
  /** Openings that were admitted and whose scope is still open. */
  readonly opening: number
  /** Descriptors that stay free. */
  readonly headroom: number
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

const refuses = (bill: Bill, limit: number, request: ReserveRequest, thresholds: Thresholds): boolean =>
  bill.gauge.used._tag === "Saturated" ||
  bill.used + bill.reserved + bill.requested > limit - bill.headroom ||
  (request.attempt ?? 0) > 0 && isAtLeast(gaugeLevel(bill.gauge, bill.reserved, thresholds), "Critical")

const check = (bill: Bill, request: ReserveRequest, situation: Situation): ResourceExhausted | undefined => {
  const limit = valueOf(bill.gauge.limit)
  if (limit === undefined || !refuses(bill, limit, request, situation)) return undefined
  const { gauge, ...numbers } = bill
  const used = gauge.used._tag === "Saturated" ? limit : bill.used
  return new ResourceExhausted({ ...numbers, label: request.label, used, limit, level: situation.usage.level })
}

const checkMemory = (request: ReserveRequest, { usage }: Situation): ResourceExhausted | undefined => {
  const used = valueOf(usage.memory.used)
  const limit = valueOf(usage.memory.limit)
  if (used === undefined || limit === undefined || used < limit) return undefined
  const { label } = request
  return new ResourceExhausted({
    label,
    resource: "memory",
    used,
    reserved: 0,
    requested: 0,
    limit,
    headroom: 0,
    level: usage.level
  })
}

/**
 * The refusal that a request meets in a situation, or `undefined` when there is room for it.
 *
 * **Details**
 *
 * - Descriptors: used + reserved + requested must stay within the limit less the headroom. Where the count is `Unknown`,
 *   the ledger's open connections stand in for it: a figure that cannot be read never refuses by itself. A count that met
 *   `EMFILE` refuses.
 * - Connections: open + opening + this one must stay within the limit.
 * - Memory: refused at the limit and above it, for no opening gives memory back. Below it memory raises the level only.
 * - A retry is refused already when descriptors or connections are at `Critical`, so that what is left goes to first
 *   attempts.
 *
 * @category combinators
 * @since 0.1.0
 */
export const decide = (request: ReserveRequest, situation: Situation): ResourceExhausted | undefined => {
  const { descriptors, connections, reserved } = situation.usage
  const requested = request.descriptors ?? 1
  const ofDescriptors: Bill = {
    resource: "descriptors",
    gauge: descriptors,
    used: valueOf(descriptors.used) ?? situation.open,
    reserved,
    requested,
    headroom: situation.headroom
  }
  const ofConnections: Bill = {
    resource: "connections",
    gauge: connections,
    used: situation.open,
    reserved: situation.opening,
    requested: Math.min(requested, 1),
    headroom: 0
  }
  return check(ofDescriptors, request, situation) ?? check(ofConnections, request, situation) ??
    checkMemory(request, situation)
}
