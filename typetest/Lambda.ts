import * as Lambda from "effect-sluice/Lambda"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { expectTrue, type Same } from "./expect.ts"

class Database extends Context.Service<Database, { readonly name: string }>()("typetest/Database") {}

declare const layer: Layer.Layer<Database, "Refused">
declare const unfinished: Layer.Layer<Database, never, "Credentials">
declare const scoped: Effect.Effect<number, "Failed", Database | Scope.Scope>

// The event's type is what `handle` takes, and the answer what it succeeds with. An invocation has a scope of its own.
const handler = Lambda.handler({ layer, handle: (_event: { readonly id: string }) => scoped })
expectTrue<Same<typeof handler, Lambda.Handler<{ readonly id: string }, number>>>()

// @ts-expect-error the layer does not have what the effect needs
Lambda.handler({ layer, handle: () => Effect.succeed(1) as Effect.Effect<number, never, "Other"> })

// @ts-expect-error the layer needs something itself
Lambda.handler({ layer: unfinished, handle: () => Effect.void })
