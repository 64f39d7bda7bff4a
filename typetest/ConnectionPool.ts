import * as ConnectionPool from "effect-sluice/ConnectionPool"
import type * as Connector from "effect-sluice/Connector"
import type { ResourceMonitor } from "effect-sluice/ResourceMonitor"
import * as Config from "effect/Config"
import type * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { expectTrue, type Same } from "./expect.ts"

interface Session {
  readonly id: number
}

declare const pool: ConnectionPool.ConnectionPool<string, Session>
declare const query: (session: Session) => Effect.Effect<string, "Refused", "Clock">

// The options of a borrow change no type, in either style.
const used = ConnectionPool.use(pool, "db", query, { standing: true })
expectTrue<Same<typeof used, Effect.Effect<string, "Refused" | ConnectionPool.PoolError, "Clock">>>()
const usedLast = pool.pipe(ConnectionPool.use("db", query, { site: "fiber" }))
expectTrue<Same<typeof usedLast, Effect.Effect<string, "Refused" | ConnectionPool.PoolError, "Clock">>>()
const got = ConnectionPool.get(pool, "db", { standing: true })
expectTrue<Same<typeof got, Effect.Effect<Session, ConnectionPool.PoolError, Scope.Scope>>>()
const gotLast = pool.pipe(ConnectionPool.get("db", { standing: true }))
expectTrue<Same<typeof gotLast, Effect.Effect<Session, ConnectionPool.PoolError, Scope.Scope>>>()

// Any function may say that it is the wrapper, and what was captured before is one of the sites.
const wrapper = <A>(
  key: string,
  f: (session: Session) => Effect.Effect<A>
): Effect.Effect<A, ConnectionPool.PoolError> => ConnectionPool.use(pool, key, f, { site: wrapper })
export const captured = ConnectionPool.get(pool, "db", { site: ConnectionPool.callSite(wrapper) })

// @ts-expect-error a text is no place
export const refused = ConnectionPool.use(pool, "db", query, { site: "UserRepo.find" })

// The holder learns why its connection has to come back.
declare const session: Session
const recalled = ConnectionPool.recalled(pool, session)
expectTrue<Same<typeof recalled, Effect.Effect<"Draining" | "Expired" | "Died" | "Evicted">>>()

declare const connector: Connector.Connector<string, Session, "Refused", "Credentials">
declare const fake: Connector.Connector<string, Session>

// A service has the requirements of its connector and hooks, and in a test those of the hooks alone.
class Many extends ConnectionPool.Service<Many>()("typetest/Many", {
  connector,
  hooks: { afterOpen: (_: Session): Effect.Effect<void, "Denied", "Role"> => _ as never }
}) {}
expectTrue<Same<typeof Many.layer, Layer.Layer<Many, never, "Credentials" | "Role" | ResourceMonitor>>>()
const tested = Many.layerWith(fake)
expectTrue<Same<typeof tested, Layer.Layer<Many, never, "Role" | ResourceMonitor>>>()
declare const special: Connector.Connector<string, Session & { readonly isFake: true }>
const testedWithMore = Many.layerWith(special)
expectTrue<Same<typeof testedWithMore, Layer.Layer<Many, never, "Role" | ResourceMonitor>>>()
declare const other: Connector.Connector<string, { readonly name: string }>
// @ts-expect-error these are no connections of the service
export const otherwise = Many.layerWith(other)
const many = Many.withConnection("db", query)
expectTrue<Same<typeof many, Effect.Effect<string, "Refused" | ConnectionPool.PoolError, "Clock" | Many>>>()
expectTrue<Same<Parameters<typeof Many.withConnection>["length"], 2 | 3>>()
expectTrue<
  Same<Parameters<typeof Many.connection>, [key: string, options?: ConnectionPool.BorrowOptions | undefined]>
>()
expectTrue<Same<Parameters<typeof Many.health>, [key: string]>>()

// With one endpoint no member takes a key.
class One extends ConnectionPool.Service<One>()("typetest/One", { connector, endpoint: "db", maxConnections: 10 }) {}
const one = One.withConnection(query, { standing: true })
expectTrue<Same<typeof one, Effect.Effect<string, "Refused" | ConnectionPool.PoolError, "Clock" | One>>>()
const connection = One.connection()
expectTrue<Same<typeof connection, Effect.Effect<Session, ConnectionPool.PoolError, One | Scope.Scope>>>()
expectTrue<Same<Parameters<typeof One.withConnection>["length"], 1 | 2>>()
expectTrue<Same<Parameters<typeof One.connection>, [options?: ConnectionPool.BorrowOptions | undefined]>>()
expectTrue<Same<Parameters<typeof One.health>, []>>()
expectTrue<Same<Parameters<typeof One.evict>, []>>()
// @ts-expect-error an endpoint is a key of the connector
export const Wrong = ConnectionPool.Service<One>()("typetest/Wrong", { connector, endpoint: 5432 })

// Options that are an effect give the layer what they fail with and require.
declare const options: Effect.Effect<
  { readonly connector: typeof connector; readonly endpoint: string },
  "NoSecret",
  "Secrets"
>
class Later extends ConnectionPool.Service<Later>()("typetest/Later", options) {}
expectTrue<Same<typeof Later.layer, Layer.Layer<Later, "NoSecret", "Credentials" | "Secrets" | ResourceMonitor>>>()
const laterTested = Later.layerWith(fake)
expectTrue<Same<typeof laterTested, Layer.Layer<Later, "NoSecret", "Secrets" | ResourceMonitor>>>()
const later = Later.withConnection(query)
expectTrue<Same<typeof later, Effect.Effect<string, "Refused" | ConnectionPool.PoolError, "Clock" | Later>>>()

// Options from `Config` fail with `ConfigError`.
const configured = ConnectionPool.layerConfig(Later, { maxConnections: Config.Int("CONNECTIONS") })
expectTrue<
  Same<
    typeof configured,
    Layer.Layer<Later, "NoSecret" | Config.ConfigError, "Credentials" | "Secrets" | ResourceMonitor>
  >
>()
// @ts-expect-error a number is no option from `Config`
export const unread = ConnectionPool.layerConfig(One, { maxConnections: 10 })

// The functions of a pool take it first or last.
const evicted = [
  ConnectionPool.evict(pool),
  ConnectionPool.evict(pool, "db"),
  pool.pipe(ConnectionPool.evict()),
  pool.pipe(ConnectionPool.evict("db")),
  pool.pipe(ConnectionPool.suspend()),
  pool.pipe(ConnectionPool.suspend({ mode: "fail" })),
  pool.pipe(ConnectionPool.resize({ maxConnections: 3 }))
]
expectTrue<Same<typeof evicted, Array<Effect.Effect<void>>>>()
