// A function that only needs a pool.
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Connector from "effect-sluice/Connector"
import * as Effect from "effect/Effect"

const connector = Connector.make({ open: (name: string) => Effect.succeed(name) })

export const program = Effect.scoped(
  Effect.flatMap(ConnectionPool.make({ connector }), (pool) => ConnectionPool.use(pool, "db", Effect.succeed))
)
