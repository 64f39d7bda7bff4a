/**
 * A tuned `pg.Pool`, with `p-retry` around it.
 */
import Pg from "pg"
import { type Contender, type Setting, tls } from "./Contender.ts"
import type { Limits } from "./Limits.ts"
import * as Retries from "./Retries.ts"

const configuration = ({ connections, connectTimeout, requestTimeout }: Limits) =>
  ({
    max: connections,
    min: 0,
    // Of the dial, and of the wait for a connection too; p-retry waits again.
    connectionTimeoutMillis: connectTimeout,
    idleTimeoutMillis: 60_000,
    // A client whose query has timed out is destroyed.
    query_timeout: requestTimeout,
    keepAlive: true
  }) satisfies Pg.PoolConfig

export const optionsOf = (limits: Limits): Readonly<Record<string, string>> => ({
  ...Object.fromEntries(Object.entries(configuration(limits)).map(([name, value]) => [name, String(value)])),
  statement: "select 1",
  ...Retries.textOf(limits)
})

export const open = ({ database, host, limits, port }: Setting): Promise<Contender> => {
  const pool = new Pg.Pool({
    ...configuration(limits),
    host,
    port,
    application_name: "sluice-demo",
    ...(database === undefined ? {} : {
      user: database.user,
      password: database.password,
      database: database.name,
      ssl: database.ssl ? tls : false
    })
  })
  // An idle client that dies emits this, which would end the process without a listener.
  pool.on("error", () => {})
  return Promise.resolve({
    answer: (gone) => Retries.retrying(limits, gone, () => pool.query("select 1")),
    close: () => pool.end()
  })
}
