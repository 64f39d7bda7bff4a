import { Effect } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Endpoint from "effect-sluice/Endpoint"
import * as IoRedis from "effect-sluice/IoRedis"
import * as Duration from "effect/Duration"
import type { Redis } from "ioredis"
import { type Adapter, failing, meanwhile, promised } from "../Adapter.ts"
import * as Databases from "../servers/Databases.ts"

/** A list that stays empty. */
const empty = `sluice-contract-empty-${process.pid}`

const block = (client: Redis, duration: Duration.Input) =>
  promised(() => client.blpop(empty, Duration.toSeconds(duration)))

export const adapter: Adapter = {
  name: "IoRedis",
  needs: ["Redis"],
  commands: ["redis-server"],
  server: Databases.redis,
  ownServer: Databases.ownRedis,
  open: ({ cap, label, port, ...times }) =>
    Effect.gen(function*() {
      const connector = IoRedis.connector({ connectionName: label })
      const pool = yield* ConnectionPool.make({ connector, maxPerEndpoint: cap, maxTotal: cap, ...times })
      const endpoint = Endpoint.tcp("127.0.0.1", port)
      const use = <A, E>(f: (client: Redis) => Effect.Effect<A, E>) => failing(ConnectionPool.use(pool, endpoint, f))
      return {
        request: use((client) => Effect.map(promised(() => client.client("ID")), Number)),
        slow: (duration) => use((client) => block(client, duration)),
        stats: ConnectionPool.stats(pool),
        drain: (deadline) => ConnectionPool.drain(pool, deadline),
        lease: failing(ConnectionPool.get(pool, endpoint)),
        middles: {
          "a borrow": (body) => use(() => body),
          "a request": (body) => use((client) => meanwhile(block(client, "300 millis"), body)),
          "a listener": (body) => use((client) => Effect.andThen(promised(() => client.subscribe(empty)), body))
        }
      }
    })
}
