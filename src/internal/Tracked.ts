/**
 * Who records an opening in the monitor's ledger.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"

/**
 * `true` while a pool opens a connection: the pool records it, and the connector must not record it again.
 */
export const TrackedByPool: Context.Reference<boolean> = Context.Reference<boolean>(
  "effect-sluice/internal/TrackedByPool",
  { defaultValue: () => false }
)
