// A function that borrows TCP connections from a pool.
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Endpoint from "effect-sluice/Endpoint"
import * as TcpConnection from "effect-sluice/TcpConnection"
import * as Effect from "effect/Effect"

export const program = Effect.scoped(
  Effect.flatMap(
    ConnectionPool.make({ connector: TcpConnection.connector() }),
    (pool) => ConnectionPool.use(pool, Endpoint.tcp("127.0.0.1", 5432), () => Effect.void)
  )
)
