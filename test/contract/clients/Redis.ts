import { Context, Effect, Layer } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Redis from "effect-sluice/Redis"
import * as Duration from "effect/Duration"
import { Redis as Client } from "effect/persistence/Redis"
import { type Adapter, failing, meanwhile } from "../Adapter.ts"
import * as Databases from "../servers/Databases.ts"

/** A list that stays empty. */
const empty = `sluice-contract-empty-${process.pid}`

export const adapter: Adapter = {
  name: "Redis",
  needs: ["Redis"],
  commands: ["redis-server"],
  server: Databases.redis,
  ownServer: Databases.ownRedis,
  open: ({ cap, label, port, ...times }) =>
    Effect.gen(function*() {
      const services = yield* Layer.build(
        Layer.fresh(Redis.layer({ host: "127.0.0.1", port, clientName: label, maxConnections: cap, ...times }))
      )
      const client = Context.get(services, Client)
      const { endpoint, exclusive, shared, subscriptions } = Context.get(services, Redis.Pool)
      const pools = [exclusive, shared, subscriptions]
      const block = (duration: Duration.Input) => client.send("BLPOP", empty, String(Duration.toSeconds(duration)))
      return {
        request: Effect.map(failing(client.send<number>("CLIENT", "ID")), Number),
        slow: (duration) => failing(block(duration)),
        // The leases of the others stand for as long as the client lives.
        stats: Effect.map(Effect.forEach(pools, ConnectionPool.stats), (all) => {
          const sum = (name: "leftBehind" | "opened" | "total" | "waiting") =>
            all.reduce((total, stats) => total + stats[name], 0)
          const [first = all[0]] = all
          if (first === undefined) throw new Error("there are three pools")
          const sums = { leftBehind: sum("leftBehind"), opened: sum("opened"), total: sum("total") }
          return { ...first, ...sums, waiting: sum("waiting") }
        }),
        drain: (deadline) =>
          Effect.forEach(pools, (pool) => ConnectionPool.drain(pool, deadline), {
            concurrency: "unbounded",
            discard: true
          }),
        lease: failing(ConnectionPool.get(exclusive, endpoint)),
        middles: {
          "a borrow": (body) => failing(Effect.scoped(Effect.andThen(client.reserve, body))),
          "a request": (body) => failing(meanwhile(block("300 millis"), body)),
          "a transaction": (body) =>
            failing(Effect.scoped(Effect.flatMap(client.reserve, ({ send }) => Effect.andThen(send("MULTI"), body)))),
          "a listener": (body) => failing(Effect.scoped(Effect.andThen(client.subscribe(empty), body)))
        }
      }
    }),
  // The connection that all commands share, and that of the subscriptions.
  besides: 2,
  isShared: true
}
