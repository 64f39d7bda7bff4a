/**
 * Knows how many descriptors, connections and bytes are left, and holds the gate that every new connection passes.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Reading } from "./Reading.ts"

/**
 * How near the process is to its limits. `Warning` starts at 70 %, `Critical` at 90 % by default.
 *
 * @category models
 * @since 0.1.0
 */
export type Level = "Normal" | "Warning" | "Critical" | "Exhausted"

/**
 * One figure beside its limit.
 *
 * @category models
 * @since 0.1.0
 */
export interface Gauge {
  readonly used: Reading
  readonly limit: Reading
}

/**
 * The readings at one moment.
 *
 * @category models
 * @since 0.1.0
 */
export interface Usage {
  /** Open file descriptors of this process, without those that the monitor itself holds. */
  readonly descriptors: Gauge
  /** Descriptors that are claimed by admitted openings and do not exist yet. */
  readonly reserved: number
  /** Resident memory in bytes. */
  readonly memory: Gauge
  /** TCP connections that this library has open, from its ledger. */
  readonly connections: Gauge
  readonly level: Level
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
  /** How many descriptors the opening needs: a whole number, 0 or more. Default 1. */
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
    return `no room to open ${this.label}: ${this.used} ${this.resource} used + ${this.reserved} reserved + ` +
      `${this.requested} requested > limit ${this.limit} - headroom ${this.headroom} (level ${this.level})`
  }
}

/**
 * An open connection in the ledger.
 *
 * @category models
 * @since 0.1.0
 */
export interface TrackRequest {
  /** The endpoint's text. */
  readonly label: string
}

/**
 * The monitor as a service. It knows endpoints only as labels.
 *
 * @category services
 * @since 0.1.0
 */
export class ResourceMonitor extends Context.Service<ResourceMonitor, {
  /** The readings of the last sample, taken anew when it is older than the sampling interval. */
  readonly usage: Effect.Effect<Usage>
  /** The level now. */
  readonly level: Effect.Effect<Level>
  /** Takes a sample at once and returns it. */
  readonly sample: Effect.Effect<Usage>
  /**
   * Claims room for an opening until the scope closes. It checks and claims in one synchronous step, so that a burst
   * cannot pass it; it fails at once when there is no room.
   */
  readonly reserve: (request: ReserveRequest) => Effect.Effect<void, ResourceExhausted, Scope.Scope>
  /** Records an open connection in the ledger until the scope closes. */
  readonly track: (request: TrackRequest) => Effect.Effect<void, never, Scope.Scope>
}>()("effect-sluice/Monitor/ResourceMonitor") {}
