/**
 * What a client has to say of itself to be held to the contract: its servers, and how to make requests.
 */
import { Data, Effect } from "effect"
import type { Scope } from "effect"
import type * as ConnectionPool from "effect-sluice/ConnectionPool"
import type { ResourceMonitor } from "effect-sluice/ResourceMonitor"
import type * as Duration from "effect/Duration"
import type { ports } from "../support/LiveServers.ts"

/** A request has failed, whatever its client calls that. */
export class Failed extends Data.TaggedError("Failed")<{ readonly cause: unknown }> {}

/** The failures of a client as one. */
export const failing = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, Failed, R> =>
  Effect.mapError(effect, (cause) => cause instanceof Failed ? cause : new Failed({ cause }))

/** A promise of a driver. */
export const promised = <A>(evaluate: () => Promise<A>): Effect.Effect<A, Failed> =>
  Effect.tryPromise({ try: evaluate, catch: (cause) => new Failed({ cause }) })

/** Runs an effect while a request is under way, and gives the request up with it. */
export const meanwhile = <A, E, B, E2>(
  request: Effect.Effect<A, E>,
  body: Effect.Effect<B, E2>
): Effect.Effect<B, E2> =>
  Effect.scoped(Effect.andThen(Effect.forkScoped(Effect.exit(request)), Effect.delay(body, "20 millis")))

/** A server, and what it says itself of the sessions that have a label. */
export interface TestServer {
  readonly port: number
  /** Makes what a client with this label needs, before the first one. */
  readonly prepare: (label: string) => Effect.Effect<void>
  /** The sessions with this label. */
  readonly sessions: (label: string) => Effect.Effect<number>
  /** Those of them that have a transaction open and run nothing. */
  readonly transactions: (label: string) => Effect.Effect<number>
  /** Ends all sessions with this label, from the side of the server. */
  readonly terminate: (label: string) => Effect.Effect<void>
}

/** A server of the test's own. */
export interface OwnServer extends TestServer {
  /** Ends the server at once, with all its sessions, and starts it again on the same port. It completes when the server takes logins. */
  readonly restart: Effect.Effect<void>
}

export interface OpenOptions {
  readonly port: number
  readonly label: string
  /** Most connections. */
  readonly cap: number
  readonly connectTimeout: Duration.Input
  readonly acquireTimeout: Duration.Input
  readonly drainTimeout: Duration.Input
}

/** Runs an effect in the middle of something. */
export type Within = (body: Effect.Effect<void, Failed>) => Effect.Effect<unknown, Failed>

/** A client that is open. */
export interface Opened {
  /** One request, which succeeds with the number of the session that has served it. */
  readonly request: Effect.Effect<number, Failed>
  /** A request that takes at least so long, and holds its connection meanwhile. */
  readonly slow: (duration: Duration.Input) => Effect.Effect<unknown, Failed>
  /** The pool, whatever its keys and connections. */
  readonly stats: Effect.Effect<ConnectionPool.Stats>
  readonly drain: (deadline: Duration.Input) => Effect.Effect<void>
  /** Leases a connection until the scope ends. */
  readonly lease: Effect.Effect<unknown, Failed, Scope.Scope>
  /** In the middle of what this client can do. */
  readonly middles: Readonly<Record<string, Within>>
}

export interface Adapter {
  readonly name: string
  /** The server on this machine that it needs; without one, a server within the test. */
  readonly needs: ReadonlyArray<keyof typeof ports>
  /** The commands that a server of the test's own needs. */
  readonly commands: ReadonlyArray<string>
  readonly server: Effect.Effect<TestServer, never, Scope.Scope>
  readonly ownServer: Effect.Effect<OwnServer, never, Scope.Scope>
  /** Opens a client for 127.0.0.1. It connects to nothing yet. */
  readonly open: (options: OpenOptions) => Effect.Effect<Opened, never, ResourceMonitor | Scope.Scope>
  /** Connections besides those that the cap counts. @default 0 */
  readonly besides?: number | undefined
  /** Whether requests share a connection, so that its end fails all of them. @default false */
  readonly isShared?: boolean | undefined
}
