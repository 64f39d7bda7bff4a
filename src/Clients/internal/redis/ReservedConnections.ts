/**
 * Connections for one user each.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type { Connection, Redis, RedisError } from "effect/persistence/Redis"
import type * as Scope from "effect/Scope"
import * as ConnectionPool from "../../../Pool/ConnectionPool.ts"
import type { Endpoint } from "../../../Resource/Endpoint.ts"
import { CommandRefused, failed, fromPool } from "./Failure.ts"
import { evalWith } from "./Scripts.ts"
import { type Client, type Session, sessionOf } from "./Session.ts"

type Pool = ConnectionPool.ConnectionPool<Endpoint, Client>

const givenBack = (command: string) =>
  Effect.fail(failed(new CommandRefused({ command, rule: "its reserved connection was given back" })))

/**
 * Sends commands on one connection until its lease ends. After that they are refused, because another borrower may have the
 * connection.
 */
const sendOn =
  (session: Session, isHeld: () => boolean): Redis["Service"]["send"] =>
  <A = unknown>(command: string, ...args: ReadonlyArray<string>): Effect.Effect<A, RedisError> =>
    Effect.suspend(() => isHeld() ? session.ownCommand<A>([command, ...args]) : givenBack(command))

/** Reserves a connection until the scope ends. */
export const reserve = (pool: Pool, endpoint: Endpoint): Effect.Effect<Connection, RedisError, Scope.Scope> =>
  Effect.gen(function*() {
    const client = yield* Effect.mapError(ConnectionPool.get(pool, endpoint, { site: "fiber" }), fromPool)
    let isHeld = true
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        isHeld = false
      })
    )
    const send = sendOn(sessionOf(client), () => isHeld)
    return { send, eval: evalWith(send) }
  })

/** Sends one command that may block, on a connection of its own. */
export const sendBlocking = <A>(pool: Pool, endpoint: Endpoint, argv: Array<string>): Effect.Effect<A, RedisError> =>
  Effect.mapError(
    ConnectionPool.use(pool, endpoint, (client) => sessionOf(client).ownCommand<A>(argv), { site: "fiber" }),
    (error) => error._tag === "PoolError" ? fromPool(error) : error
  )
