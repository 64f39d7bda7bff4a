/**
 * Drivers of promises as connectors for servers on this machine, as docs/reference/pool.md has them.
 */
import * as Connector from "effect-sluice/Connector"
import { Redis } from "ioredis"
import { createConnection } from "mysql2"
import * as Net from "node:net"
import { Client } from "pg"
import { createClient } from "redis"

const host = "127.0.0.1"

export const pg = Connector.fromPromise({
  create: (port: number) => new Client({ host, port, user: "sluice", database: "postgres" }),
  connect: (client) => client.connect(),
  close: (client) => client.end(),
  destroy: (client) => client.connection.stream.destroy(),
  closed: (client, onClosed) => client.once("error", onClosed).once("end", onClosed),
  check: (client) => client.query("select 1"),
  isReusable: (client) => client.getTransactionStatus() === "I"
})

export const mysql2 = Connector.fromPromise({
  create: (port: number) => {
    const stream = Net.connect(port, host)
    return Object.assign(createConnection({ stream, user: "root" }).promise(), { stream })
  },
  connect: (client) => client.connect(),
  close: (client) => client.end(),
  destroy: ({ stream }) => stream.destroy(),
  closed: (client, onClosed) => {
    client.once("error", onClosed)
    client.stream.once("end", onClosed).once("close", onClosed)
  },
  check: (client) => client.ping()
})

export const ioredis = Connector.fromPromise({
  create: (port: number) => new Redis({ host, port, lazyConnect: true, retryStrategy: null }),
  connect: (client) => client.connect(),
  close: (client) => client.quit(),
  destroy: (client) => {
    client.disconnect()
    client.stream?.destroy()
  },
  closed: (client, onClosed) => {
    client.once("connect", () => client.stream.once("end", onClosed))
    client.once("close", onClosed).once("end", onClosed)
  },
  check: (client) => client.ping()
})

export const redis = Connector.fromPromise({
  create: (port: number) =>
    createClient({ socket: { host, port, reconnectStrategy: false }, disableOfflineQueue: true }),
  connect: (client) => client.connect(),
  close: (client) => client.close(),
  destroy: (client) => client.once("connect", () => client.destroy()).destroy(),
  closed: (client, onClosed) => client.once("error", onClosed).once("end", onClosed),
  check: (client) => client.ping()
})
