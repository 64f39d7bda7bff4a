import * as ConnectionPool from "effect-sluice/ConnectionPool"
import type * as Effect from "effect/Effect"
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
