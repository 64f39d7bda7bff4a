/**
 * Tracks open connections and leases, for tests that check that everything is closed.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type CallSite, takeEverySite } from "./CallSite.ts"
import { requesterIn } from "./Requester.ts"
import { scopeHooks } from "./ScopeHooks.ts"

/** An open connection or lease. */
export interface Opened {
  readonly kind: "Connection" | "Lease"
  /** The endpoint's text. */
  readonly label: string
  readonly site: CallSite | undefined
  /** The route of the request, or the name of the span, in which it was requested. */
  readonly span: string | undefined
}

/** Holds the connections and leases that were opened with this tracker in the context, and are still open. */
export interface OpenTracker {
  readonly add: (opened: Opened) => void
  /** It was closed. Called once for each {@link OpenTracker.add}, with the same object, unless {@link OpenTracker.lose} is. */
  readonly delete: (opened: Opened) => void
  /** It was not closed by the program, and never will be: what should have closed it was garbage-collected. */
  readonly lose: (opened: Opened) => void
}

/** The tracker in force. It is a part of the context, so that concurrent tests do not share it. */
export const OpenTracker: Context.Reference<OpenTracker | undefined> = Context.Reference<OpenTracker | undefined>(
  "effect-sluice/internal/OpenTracker",
  { defaultValue: () => undefined }
)

/** Whether to look for a tracker. Most programs have none, and looking for one would make each borrow 5 % slower. */
let mayHaveTracker = false

/** From now on, trackers are looked for, and the call site of every call is recorded. */
export const expectTracker = (): void => {
  mayHaveTracker = true
  takeEverySite()
}

/** The tracker in a context. */
export const trackerIn = (context: Context.Context<never>): OpenTracker | undefined =>
  mayHaveTracker ? Context.get(context, OpenTracker) : undefined

/** Adds a connection to the tracker, if there is one, until the scope closes. */
export const trackOpen = (connection: Pick<Opened, "label" | "site">): Effect.Effect<void, never, Scope.Scope> =>
  Effect.contextWith((context: Context.Context<never>) => {
    const tracker = trackerIn(context)
    if (tracker === undefined) return Effect.void
    const opened: Opened = { ...connection, kind: "Connection", span: requesterIn(context) }
    return scopeHooks(() => tracker.add(opened), () => tracker.delete(opened))
  })
