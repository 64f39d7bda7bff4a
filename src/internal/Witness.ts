/**
 * Who wants to know of everything that is opened: a test that checks that all of it is closed.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Tracer from "effect/Tracer"
import { type CallSite, takeEverySite } from "./CallSite.ts"
import { whileOpen } from "./WhileOpen.ts"

/** Something that is open. */
export interface Opened {
  readonly kind: "Connection" | "Lease"
  /** The endpoint's text. */
  readonly label: string
  readonly site: CallSite | undefined
  /** The name of the span in which it was asked for. */
  readonly span: string | undefined
}

/** What is open, of all that was opened where this witness is in the context. */
export interface Witness {
  readonly add: (opened: Opened) => void
  /** It is called once for each {@link Witness.add}, with the same object. */
  readonly delete: (opened: Opened) => void
}

/** The witness of what is opened here. It goes where the context goes, so that two tests at once have each their own. */
export const Witness: Context.Reference<Witness | undefined> = Context.Reference<Witness | undefined>(
  "effect-sluice/internal/Witness",
  { defaultValue: () => undefined }
)

/** A borrow takes a few hundred nanoseconds, of which looking for a witness would be a twentieth. Most programs have none. */
let mayHaveWitness = false

/** Has everything from now on look for witnesses, and each call remember where it came from. */
export const expectWitness = (): void => {
  mayHaveWitness = true
  takeEverySite()
}

/** The witness in a context. */
export const witnessIn = (context: Context.Context<never>): Witness | undefined =>
  mayHaveWitness ? Context.get(context, Witness) : undefined

/** The name of the span in a context. */
export const spanNameIn = (context: Context.Context<never>): string | undefined => {
  const span = Context.getOrUndefined(context, Tracer.ParentSpan)
  return span?._tag === "Span" ? span.name : undefined
}

/** Has a connection known to the witness, if there is one, until the scope closes. */
export const witnessed = (connection: Pick<Opened, "label" | "site">): Effect.Effect<void, never, Scope.Scope> =>
  Effect.contextWith((context: Context.Context<never>) => {
    const witness = witnessIn(context)
    if (witness === undefined) return Effect.void
    const opened: Opened = { ...connection, kind: "Connection", span: spanNameIn(context) }
    return whileOpen(() => witness.add(opened), () => witness.delete(opened))
  })
