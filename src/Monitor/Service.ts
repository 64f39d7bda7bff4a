/**
 * The monitor as a service: what it can be asked, apart from how it answers.
 *
 * A module that asks the monitor imports this one, so that a bundle of it holds no probe, no layer and no gate: those come
 * with the layer that the program chooses.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { ReserveRequest, ResourceExhausted } from "./Gate.ts"
import type { Level, Usage } from "./Usage.ts"

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
  /**
   * The readings now. Where a count of descriptors has to list a directory (before Linux 6.2, and on macOS), it is at most
   * one second old, corrected by what the ledger knows since.
   */
  readonly usage: Effect.Effect<Usage>
  /** The level now. */
  readonly level: Effect.Effect<Level>
  /** Takes every reading at once, however dear it is, and returns them. */
  readonly sample: Effect.Effect<Usage>
  /**
   * Claims room for an opening until the scope closes. It checks and claims in one synchronous step, so that a burst
   * cannot pass it; it fails at once when there is no room.
   *
   * Close the scope when the attempt is over: a claim that outlives the attempt counts a descriptor twice. It dies with
   * `InvalidOption` when `descriptors` is not a whole number of at least 0.
   */
  readonly reserve: (request: ReserveRequest) => Effect.Effect<void, ResourceExhausted, Scope.Scope>
  /** Records an open connection in the ledger until the scope closes. */
  readonly track: (request: TrackRequest) => Effect.Effect<void, never, Scope.Scope>
}>()("effect-sluice/Monitor/ResourceMonitor") {}
