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

// What a check needs and how it fails adds to what opening needs and how it fails.
declare const ping: (connection: { readonly id: string }) => Effect.Effect<void, "Stale", "Clock">
const checking = Connector.make({ open: dial, check: ping })
expectTrue<Same<typeof checking, Connector.Connector<number, { readonly id: string }, Refused | "Stale", "Clock">>>()

Connector.make({
  // @ts-expect-error what opens is not what the check takes
  open: dial,
  check: (connection: number) => Effect.succeed(connection)
})

// A client of promises has its type from `create`, also where that returns a promise, and each step takes it.
interface Client {
  readonly connect: () => Promise<void>
  readonly end: () => Promise<void>
}
declare const makeClient: (host: string) => Client
declare const makeLater: (host: string) => Promise<Client>
const ofPromises = Connector.fromPromise({
  create: makeClient,
  connect: (client) => client.connect(),
  destroy: (client) => client.end()
})
expectTrue<Same<typeof ofPromises, Connector.Connector<string, Client, Connector.ClientError>>>()
const ofPromisedClients = Connector.fromPromise({
  create: makeLater,
  connect: (client) => client.connect(),
  destroy: (client) => client.end()
})
expectTrue<Same<typeof ofPromisedClients, Connector.Connector<string, Client, Connector.ClientError>>>()
