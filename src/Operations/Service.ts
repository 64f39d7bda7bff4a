/**
 * What an operator sees and does, as a service: its interface, without its implementation.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { ControlError } from "./ControlError.ts"
import type { Readiness, Snapshot } from "./Snapshot.ts"

/**
 * What an operator may do with a pool.
 *
 * - `Evict`: closes the idle connections now and the leased ones on their return, of one endpoint or of all.
 * - `Suspend`, `Resume`: has new borrowers wait, and ends that.
 * - `Drain`: ends the pool. It cannot be undone. The effect completes when the drain has begun.
 * - `EndLease`: ends one lease: its connection is closed. In a pool with `maxLease`, its borrower fails with `LeaseExpired` at once. In any
 *   other pool, it goes on until it uses the connection.
 *
 * @category models
 * @since 0.1.0
 * @stability experimental
 */
export type Control =
  | { readonly _tag: "Evict"; readonly pool: string; readonly endpoint?: string | undefined }
  | { readonly _tag: "Suspend"; readonly pool: string }
  | { readonly _tag: "Resume"; readonly pool: string }
  | { readonly _tag: "Drain"; readonly pool: string }
  | { readonly _tag: "EndLease"; readonly pool: string; readonly lease: number }

/**
 * What an operator sees and does.
 *
 * @category services
 * @since 0.1.0
 * @stability experimental
 */
export class Operations extends Context.Service<Operations, {
  /** The pools, the monitor and the history. With `required`, these pools count for readiness too. */
  readonly snapshot: (required?: ReadonlyArray<string>) => Effect.Effect<Snapshot>
  /**
   * Whether requests should be sent to the program. The pools with these names count. It reads what is known already: it borrows and dials
   * nothing.
   */
  readonly readiness: (required?: ReadonlyArray<string>) => Effect.Effect<Readiness>
  /** From now on the program is not ready. It goes on with its work. */
  readonly retire: Effect.Effect<void>
  /** Does what an operator has asked for, and logs it. */
  readonly control: (command: Control) => Effect.Effect<void, ControlError>
}>()("effect-sluice/Operations/Operations") {}
