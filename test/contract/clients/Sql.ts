/**
 * What clients of `effect/sql` have in common.
 */
import { Effect, Stream } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import type * as Duration from "effect/Duration"
import type { SqlClient } from "effect/sql/SqlClient"
import { failing, meanwhile, type Opened, type Within } from "../Adapter.ts"

export interface Sql<K, A> {
  readonly client: SqlClient
  readonly pool: ConnectionPool.ConnectionPool<K, A>
  readonly key: K
  /** A statement for the number of its session, as `id`. */
  readonly session: string
  readonly sleep: (duration: Duration.Input) => string
  /** A statement with very many rows. */
  readonly many: string
  readonly middles?: Readonly<Record<string, Within>>
}

export const opened = <K, A>({ client, key, many, middles, pool, session, sleep }: Sql<K, A>): Opened => ({
  request: Effect.map(failing(client.unsafe<{ id: number }>(session)), ([row]) => Number(row?.id)),
  slow: (duration) => failing(client.unsafe(sleep(duration))),
  stats: ConnectionPool.stats(pool),
  drain: (deadline) => ConnectionPool.drain(pool, deadline),
  lease: failing(ConnectionPool.get(pool, key)),
  middles: {
    "a borrow": (body) => failing(Effect.scoped(Effect.andThen(client.reserve, body))),
    "a request": (body) => failing(meanwhile(client.unsafe(sleep("300 millis")), body)),
    "a transaction": (body) => failing(client.withTransaction(Effect.andThen(client`select 1`, body))),
    "a savepoint": (body) =>
      failing(client.withTransaction(client.withTransaction(Effect.andThen(client`select 1`, body)))),
    "a stream": (body) => failing(Stream.runForEachArray(Stream.take(client.unsafe(many).stream, 1000), () => body)),
    ...middles
  }
})
