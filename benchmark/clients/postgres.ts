/**
 * What `select 1` costs with 10 sessions and 64 fibers at once: ours against the layer of `@effect/sql-pg`, with a session for each statement and
 * with shared ones, and beside them `pg.Pool` and postgres.js. It needs a PostgreSQL server on port 5432 of this machine, with the user
 * `postgres` and no password.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import type * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import { Pool } from "pg"
import connect from "postgres"
import * as Postgres from "../../src/Clients/Postgres.ts"
import * as ResourceMonitor from "../../src/Monitor/ResourceMonitor.ts"
import { interleaved, ratio, type Rounds, show } from "../measure.ts"
import { opened } from "../peers/fibers.ts"
import type { Table, Target } from "../report.ts"
import { type Client, ClientRounds } from "./latency.ts"

const borrowers = 64
const address = { host: "127.0.0.1", port: 5432, database: "postgres" } as const

/** Ours takes at most this many times as long, which is 0.95 of the throughput. */
const bound = 1 / 0.95
/** The longest of a hundred takes at most this many times as long. */
const tail = 1.1

type Ours = Client<Cause.UnknownError | SqlError>

const ofLayer = async (layer: Layer.Layer<SqlClient.SqlClient, SqlError>): Promise<Ours> => {
  const { close, pool: sql } = await opened(Effect.map(Layer.build(layer), Context.get(SqlClient.SqlClient)))
  return { request: () => sql`select 1`, close }
}

const options = (multiplex: boolean) => ({ ...address, username: "postgres", maxConnections: 10, multiplex })

const ours = (multiplex: boolean) =>
  ofLayer(Layer.provide(Postgres.layer(options(multiplex)), Layer.fresh(ResourceMonitor.layer)))

const theirs = (multiplex: boolean) => ofLayer(PgClient.layer(options(multiplex)))

const ofPg = (): Ours => {
  const pool = new Pool({ ...address, user: "postgres", max: 10 })
  return { request: () => Effect.tryPromise(() => pool.query("select 1")), close: () => pool.end() }
}

const ofPostgresJs = (): Ours => {
  const sql = connect({ ...address, username: "postgres", max: 10 })
  return { request: () => Effect.tryPromise(() => sql`select 1`), close: () => sql.end() }
}

const pairs = [
  ["effect-sluice", "PgClient"],
  ["effect-sluice, multiplex", "PgClient, multiplex"]
] as const

/** Statements per second of each, in turns within one process. */
export const postgres = async (rounds: Rounds, times: number): Promise<Table> => {
  const clients = new Map<string, Ours>([
    ["effect-sluice", await ours(false)],
    ["PgClient", await theirs(false)],
    ["effect-sluice, multiplex", await ours(true)],
    ["PgClient, multiplex", await theirs(true)],
    ["pg.Pool", ofPg()],
    ["postgres.js", ofPostgresJs()]
  ])
  const seen = new ClientRounds(borrowers, rounds)
  const of = await interleaved([...clients].map(([name, client]) => seen.contestant(name, client, times)), rounds)
  await Promise.all([...clients.values()].map(({ close }) => close()))
  return {
    title: `PostgreSQL: select 1, 10 sessions, ${borrowers} fibers at once`,
    columns: ["client", "ns per statement", "throughput to PgClient", "us of CPU", "p50 ms", "p99 ms"],
    rows: [...clients.keys()].map((name) => [
      name,
      show(of(name)),
      ratio(of("PgClient"), of(name)).toFixed(2),
      seen.cpu(name),
      seen.percentile(name, 0.5),
      seen.percentile(name, 0.99)
    ]),
    targets: pairs.flatMap(([own, other]): ReadonlyArray<Target> => [
      { what: `${own} to ${other}`, ratio: ratio(of(own), of(other)), atMost: bound },
      { what: `${own} to ${other}, p99`, ratio: seen.percentileRatio(own, other, 0.99), atMost: tail }
    ])
  }
}
