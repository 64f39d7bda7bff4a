/**
 * mysql2, against MariaDB and against peers that speak its protocol.
 */
import * as Mysql from "mysql2/promise"
import type * as Net from "node:net"
import { call, type Case, dial } from "./Peers.ts"
import * as Peers from "./Peers.ts"

export const need: Peers.Need = { name: "MariaDB", port: 3306 }

const connect = async (port: number | Promise<number>, options: Mysql.ConnectionOptions = {}) => {
  const made = await Mysql.createConnection({ host: "127.0.0.1", port: await port, user: "root", ...options })
  made.on("error", () => {})
  return made
}

const connecting = (port: number | Promise<number>, options?: Mysql.ConnectionOptions): Promise<unknown> =>
  Peers.errorOf(connect(port, options))

const using = async (
  f: (connection: Mysql.Connection) => Promise<unknown>,
  port: number | Promise<number> = need.port
): Promise<unknown> => {
  const made = await connect(port)
  return Peers.closing(Peers.errorOf(f(made)), () => made.destroy())
}

const statement = (sql: string) => () => using((connection) => connection.query(sql))

/** Two connections and a database of their own, with a table of two rows. */
const two = async (f: (one: Mysql.Connection, other: Mysql.Connection, table: string) => Promise<unknown>) => {
  const database = `sluice_${process.pid}_${Math.random().toString(36).slice(2)}`
  const [one, other] = [await connect(need.port), await connect(need.port)]
  const table = `${database}.t`
  await one.query(`create database ${database}`)
  await one.query(`create table ${table} (i int primary key, v int) engine=innodb`)
  await one.query(`insert into ${table} values (1, 1), (2, 2)`)
  return Peers.closing(Peers.errorOf(f(one, other, table)), async () => {
    other.destroy()
    await one.query("rollback")
    await one.query(`drop database ${database}`)
    await one.end()
  })
}

const duplicate = () => two((one, _, table) => one.query(`insert into ${table} values (1, 1)`))

const locked = () =>
  two(async (one, other, table) => {
    await one.query("begin")
    await one.query(`update ${table} set v = 3 where i = 1`)
    await other.query(`select v from ${table} where i = 1 for update nowait`)
  })

const deadlock = () =>
  two(async (one, other, table) => {
    const update = (connection: Mysql.Connection, row: number) =>
      connection.query(`update ${table} set v = 5 where i = ${row}`)
    await Promise.all([one.query("begin"), other.query("begin")])
    await Promise.all([update(one, 1), update(other, 2)])
    const ends = await Promise.allSettled([update(one, 2), update(other, 1)])
    for (const end of ends) if (end.status === "rejected") throw end.reason
  })

const killed = () =>
  two(async (one, other) => {
    const running = other.query("select sleep(5)")
    running.catch(() => {})
    await one.query(`kill ${other.threadId}`)
    await running
  })

/** A query that waits for a lock, and what ends it. */
const waiting = (prefix: string, end?: (one: Mysql.Connection, other: Mysql.Connection) => Promise<unknown>) => () =>
  two(async (one, other, table) => {
    await one.query("begin")
    await one.query(`update ${table} set v = 3 where i = 1`)
    const running = other.query(`${prefix} select v from ${table} where i = 1 for update`)
    running.catch(() => {})
    await end?.(one, other)
    await running
  })

const killedQuery = waiting("", async (one, other) => {
  const running = `select 1 from information_schema.processlist where id = ${other.threadId} and info is not null`
  while ((await one.query<Array<Mysql.RowDataPacket>>(running))[0].length === 0) await Peers.sleep(5)
  await one.query(`kill query ${other.threadId}`)
})

const packet = (sequence: number, body: Buffer): Buffer => {
  const head = Buffer.alloc(4)
  head.writeUIntLE(body.length, 0, 3)
  head.writeUInt8(sequence, 3)
  return Buffer.concat([head, body])
}

const error = (errno: number, text: string, sequence = 0): Buffer => {
  const head = Buffer.from([0xff, errno & 0xff, errno >> 8])
  return packet(sequence, Buffer.concat([head, Buffer.from(`#HY000${text}`)]))
}

/** The greeting of a server that accepts any user: MySQL 8.4 without TLS. */
const greeting = packet(
  0,
  Buffer.concat([
    Buffer.from("\u000a8.4.0\0"),
    Buffer.from([1, 0, 0, 0]),
    Buffer.from("12345678\0"),
    Buffer.from([0x01, 0xa2, 0x21, 0x02, 0x00, 0x08, 0x00, 21]),
    Buffer.alloc(10),
    Buffer.from("123456789012\0mysql_native_password\0")
  ])
)
const welcome = packet(2, Buffer.from([0, 0, 0, 2, 0, 0, 0]))

const refusal = (errno: number, text: string) => () =>
  connecting(Peers.peer((socket) => void socket.end(error(errno, text))))

/** A query to a server that accepts the login and then does this. */
const cut = (then: (socket: Net.Socket) => void, timeout = 60_000) => () => {
  const port = Peers.peer((socket) => {
    socket.write(greeting)
    socket.once("data", () => {
      socket.write(welcome)
      socket.once("data", () => then(socket))
    })
  })
  return using((connection) => connection.query({ sql: "select 1", timeout }), port)
}

const answer = (errno: number, text: string) => cut((socket) => socket.end(error(errno, text, 1)))

/** The error of the second query, after the first one has lost the connection. */
const afterwards = () => {
  const port = Peers.peer((socket) => {
    socket.write(greeting)
    socket.once("data", () => {
      socket.write(welcome)
      socket.once("data", () => socket.end())
    })
  })
  return using(async (connection) => {
    await connection.query("select 1").catch(() => {})
    await connection.query("select 2")
  }, port)
}

const pool = async (options: Mysql.PoolOptions, f: (pool: Mysql.Pool) => Promise<unknown>): Promise<unknown> => {
  const made = Mysql.createPool({ host: "127.0.0.1", port: need.port, user: "root", connectionLimit: 1, ...options })
  return Peers.closing(Peers.errorOf(f(made)), () => made.end())
}

const exhausted = (options: Mysql.PoolOptions) => () =>
  pool(options, async (pool) => {
    const held = await pool.getConnection()
    const waiting = pool.getConnection()
    waiting.then((connection) => connection.release(), () => {})
    await Peers.closing(options.queueLimit === 1 ? pool.getConnection() : waiting, () => held.release())
  })

/** What needs no server. */
export const cases: ReadonlyArray<Case> = [
  dial.Transient("a closed port", () => connecting(Peers.refusing)),
  dial.Transient("a name that is not known", () => connecting(1, { host: "no-such-host.invalid" })),
  dial.Transient("silence, connectTimeout", () => connecting(Peers.silent, { connectTimeout: 30 })),
  dial.Transient("an end at once", () => connecting(Peers.ending)),
  dial.Transient("an end after the greeting", () => connecting(Peers.peer((socket) => void socket.end(greeting)))),
  dial.Transient("a reset", () =>
    connecting(
      Peers.peer((socket) => void socket.write(greeting, () => socket.once("data", () => socket.resetAndDestroy())))
    )),
  dial.Fatal(
    "TLS of a server without it",
    () => connecting(Peers.peer((socket) => void socket.write(greeting)), { ssl: { rejectUnauthorized: false } })
  ),
  dial.RemoteSaturated("1040, too many connections", refusal(1040, "Too many connections")),
  dial.Fatal("1129, the host is blocked", refusal(1129, "Host is blocked")),
  dial.Fatal("1130, the host is not allowed", refusal(1130, "Host is not allowed")),
  dial.RemoteSaturated("1135, no thread left", refusal(1135, "Can't create a new thread")),
  dial.Transient("1053, shutting down", refusal(1053, "Server shutdown in progress")),
  call.Ambiguous("an end under a query", cut((socket) => socket.end())),
  call.Ambiguous("a reset under a query", cut((socket) => socket.resetAndDestroy())),
  call.Ambiguous("silence under a query, timeout", cut(() => {}, 30)),
  call.Ambiguous("1184, an aborted connection", answer(1184, "Aborted connection 7 to db")),
  call.Ambiguous("1927, a connection that was killed", answer(1927, "Connection was killed")),
  call.Ambiguous("4031, idle for too long", answer(4031, "The client was disconnected by the server")),
  call.RemoteSaturated("1226, a resource of the user", answer(1226, "User has exceeded a resource")),
  call.Redirect("1290, read only", answer(1290, "The server is running with --read-only")),
  call.Redirect("1792, a transaction that may only read", answer(1792, "Cannot execute in a READ ONLY")),
  call.Transient("3572, locked", answer(3572, "Statement aborted because lock(s) could not be acquired")),
  call.Unsent("a query after the connection was lost", afterwards)
]

/** What only MariaDB itself can say. */
export const real: ReadonlyArray<Case> = [
  dial.Fatal("1045, a user that is not known", () => connecting(need.port, { user: "no_such_user", password: "x" })),
  dial.Fatal("1049, no such database", () => connecting(need.port, { database: "nowhere" })),
  call.Fatal("1146, no such table", statement("select * from mysql.nothing_here")),
  call.Fatal("1064, syntax", statement("selec 1")),
  call.Fatal("1054, no such column", statement("select nothing_here")),
  call.Fatal("1062, a key that is there already", duplicate),
  call.Transient("1205, locked", locked),
  call.Transient("1213, deadlock", deadlock),
  call.Fatal("1969, max_statement_time", waiting("set statement max_statement_time = 0.02 for")),
  call.Fatal("1317, a query that was killed", killedQuery),
  call.Ambiguous("a connection that was killed", killed),
  call.Unsent("a query after end", () =>
    using(async (connection) => {
      await connection.end()
      await connection.query("select 1")
    })),
  call.Unsent("the pool, all in use", exhausted({ waitForConnections: false })),
  call.Unsent("the pool, its queue full", exhausted({ queueLimit: 1 })),
  call.Fatal("the pool, after end", () =>
    pool({}, async (pool) => {
      await pool.end()
      await pool.query("select 1")
    }))
]
