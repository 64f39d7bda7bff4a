import * as Connector from "effect-sluice/Connector"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { expectTrue, type Same } from "./expect.ts"

class Refused {
  readonly _tag = "Refused"
}

declare const dial: (port: number) => Effect.Effect<{ readonly id: string }, Refused, Scope.Scope>

// `make` infers key, connection and error, and takes the scope out of the requirements.
const connector = Connector.make({ open: dial })
expectTrue<Same<typeof connector, Connector.Connector<number, { readonly id: string }, Refused, never>>>()

// What the connection needs besides its scope stays visible.
declare const needy: (port: number) => Effect.Effect<string, never, Scope.Scope | "Credentials">
const needing = Connector.make({ open: needy })
expectTrue<Same<typeof needing, Connector.Connector<number, string, never, "Credentials">>>()

// A check may not fail with an error that opening does not declare.
// @ts-expect-error "Other" is not an error of this connector
Connector.make<number, { readonly id: string }, Refused>({ open: dial, check: () => Effect.fail("Other") })
