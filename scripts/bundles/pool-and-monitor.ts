// A whole function: a pool, and the monitor whose gate it passes.
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Connector from "effect-sluice/Connector"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import * as Effect from "effect/Effect"

const connector = Connector.make({ open: (name: string) => Effect.succeed(name) })

export const program = Effect.scoped(
  Effect.flatMap(ConnectionPool.make({ connector }), (pool) => ConnectionPool.use(pool, "db", Effect.succeed))
).pipe(Effect.provide(ResourceMonitor.layer))
