/**
 * Who records an opening in the monitor's ledger.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type { CallSite } from "./CallSite.ts"

/**
 * `true` while a pool opens a connection: the pool records it, and the connector must not record it again.
 */
export const TrackedByPool: Context.Reference<boolean> = Context.Reference<boolean>(
  "effect-sluice/internal/TrackedByPool",
  { defaultValue: () => false }
)

/** The call that asked for a connection, where the code that opens it was not called by the user itself. */
export const DialSite: Context.Reference<CallSite | undefined> = Context.Reference<CallSite | undefined>(
  "effect-sluice/internal/DialSite",
  { defaultValue: () => undefined }
)
