/**
 * What a pool or client passes to the connector that it calls.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type { CallSite } from "./CallSite.ts"

/**
 * `true` while a pool opens a connection. The pool records it in the ledger, so the connector must not.
 */
export const TrackedByPool: Context.Reference<boolean> = Context.Reference<boolean>(
  "effect-sluice/internal/TrackedByPool",
  { defaultValue: () => false }
)

/** The call site of a connection's request, for a connector that another module of this library calls. */
export const DialSite: Context.Reference<CallSite | undefined> = Context.Reference<CallSite | undefined>(
  "effect-sluice/internal/DialSite",
  { defaultValue: () => undefined }
)
