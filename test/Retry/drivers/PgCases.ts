/**
 * pg and pg-pool, against PostgreSQL and against peers that speak its protocol.
 */
import type * as Net from "node:net"
import * as Pg from "pg"
import { call, type Case, dial } from "./Peers.ts"
import * as Peers from "./Peers.ts"

export const need: Peers.Need = { name: "PostgreSQL", port: 5432 }

const client = async (port: number | Promise<number>, options: Pg.ClientConfig = {}): Promise<Pg.Client> => {
  const made = new Pg.Client({
    host: "127.0.0.1",
    port: await port,
    user: "postgres",
    database: "postgres",
    ...options
  })
  // A client whose connection ends tells it as an event as well, and without a listener that ends the process.
  made.on("error", () => {})
  return made
}

const connecting = async (port: number | Promise<number>, options?: Pg.ClientConfig): Promise<unknown> => {
  const made = await client(port, options)
  return Peers.closing(Peers.errorOf(made.connect()), () => made.end())
}

/** The error of a query on a connection of its own. */
const using = async (
  f: (client: Pg.Client) => Promise<unknown>,
  options?: Pg.ClientConfig,
  port: number | Promise<number> = need.port
): Promise<unknown> => {
  const made = await client(port, options)
  await made.connect()
  return Peers.closing(Peers.errorOf(f(made)), () => made.end())
}

const statement = (sql: string, values?: Array<unknown>) => () => using((client) => client.query(sql, values))

/** Two connections and a table of their own. */
const two = async (f: (one: Pg.Client, other: Pg.Client, table: string) => Promise<unknown>): Promise<unknown> => {
  const table = `sluice_${process.pid}_${Math.random().toString(36).slice(2)}`
  const [one, other] = [await client(need.port), await client(need.port)]
  await Promise.all([one.connect(), other.connect()])
  await one.query(`create unlogged table ${table} as select i, 0 as v from generate_series(1, 2) i`)
  return Peers.closing(Peers.errorOf(f(one, other, table)), async () => {
    await Promise.allSettled([one.query("rollback"), other.query("rollback")])
    await one.query(`drop table ${table}`)
    await Promise.all([one.end(), other.end()])
  })
}

const serializationFailure = () =>
  two(async (one, other, table) => {
    for (const client of [one, other]) {
      await client.query(`begin isolation level serializable; select sum(v) from ${table}`)
    }
    await one.query(`update ${table} set v = 8 where i = 1`)
    await other.query(`update ${table} set v = 9 where i = 2`)
    await one.query("commit")
    await other.query("commit")
  })

const deadlock = () =>
  two(async (one, other, table) => {
    const update = (client: Pg.Client, row: number) => client.query(`update ${table} set v = 1 where i = ${row}`)
    await Promise.all([one.query("begin; set deadlock_timeout = 30"), other.query("begin; set deadlock_timeout = 30")])
    await Promise.all([update(one, 1), update(other, 2)])
    const ends = await Promise.allSettled([update(one, 2), update(other, 1)])
    for (const end of ends) if (end.status === "rejected") throw end.reason
  })

const locked = () =>
  two(async (one, other, table) => {
    await one.query(`begin; update ${table} set v = 1 where i = 1`)
    await other.query(`select v from ${table} where i = 1 for update nowait`)
  })

const terminated = () =>
  two(async (one, other) => {
    const { rows } = await other.query<{ pid: number }>("select pg_backend_pid() as pid")
    const running = other.query("select pg_sleep(5)")
    running.catch(() => {})
    await one.query("select pg_terminate_backend($1)", [rows[0]?.pid])
    await running
  })

/** The error that a client emits while it is idle. */
const idle = (sql: string) => async () => {
  const made = await client(need.port)
  const told = new Promise((_, reject) => made.on("error", reject))
  await made.connect()
  await made.query(sql)
  return Peers.closing(Peers.errorOf(told), () => made.end())
}

const message = (type: string, body: string | Buffer): Buffer => {
  const bytes = Buffer.from(body)
  const head = Buffer.alloc(5)
  head.write(type)
  head.writeInt32BE(bytes.length + 4, 1)
  return Buffer.concat([head, bytes])
}

const error = (code: string, text: string): Buffer => message("E", `SFATAL\0VFATAL\0C${code}\0M${text}\0\0`)

const hello = Buffer.concat([message("R", Buffer.alloc(4)), message("Z", "I")])
const wantsPassword = message("R", Buffer.concat([Buffer.from([0, 0, 0, 10]), Buffer.from("SCRAM-SHA-256\0\0")]))
const scramFirst = message("R", Buffer.concat([Buffer.from([0, 0, 0, 11]), Buffer.from("r=x,s=eA==,i=1")]))

/** A peer that answers message by message, and the last of its answers to all that follow. */
const answering = (...answers: ReadonlyArray<Buffer | string | ((socket: Net.Socket) => void)>) => {
  const port = Peers.peer((socket) => {
    let next = 0
    socket.on("data", () => {
      const answer = answers[Math.min(next++, answers.length - 1)]
      if (typeof answer === "function") answer(socket)
      else if (answer !== undefined) socket.write(answer)
    })
  })
  return port
}

const refusal = (code: string, text: string) => () => connecting(answering(error(code, text)))
const answer = (code: string, text: string) => () =>
  using((client) => client.query("select 1"), {}, answering(hello, error(code, text)))
const cut = (how: (socket: Net.Socket) => void) => () =>
  using((client) => client.query("select 1"), {}, answering(hello, how))

/** The error of the second query, after the first one has lost the connection. */
const afterwards = () =>
  using(
    async (client) => {
      await client.query("select 1").catch(() => {})
      await client.query("select 2")
    },
    {},
    answering(hello, (socket) => socket.resetAndDestroy())
  )

const pool = async (options: Pg.PoolConfig, f: (pool: Pg.Pool) => Promise<unknown>): Promise<unknown> => {
  const made = new Pg.Pool({ host: "127.0.0.1", user: "postgres", database: "postgres", ...options })
  made.on("error", () => {})
  return Peers.closing(Peers.errorOf(f(made)), () => made.ended || made.end())
}

const exhausted = () =>
  pool({ port: need.port, max: 1, connectionTimeoutMillis: 200 }, async (pool) => {
    const held = await pool.connect()
    await Peers.closing(pool.connect(), () => held.release())
  })

const reused = async () => {
  const made = await client(need.port)
  await made.connect()
  return Peers.closing(Peers.errorOf(made.connect()), () => made.end())
}

const noSsl = { ssl: { rejectUnauthorized: false } } as const

/** What needs no server. */
export const cases: ReadonlyArray<Case> = [
  dial.Transient("a closed port", () => connecting(Peers.refusing)),
  dial.Transient("a Unix socket that is not there", () => connecting(1, { host: "/no/such/directory" })),
  dial.Transient("a name that is not known", () => connecting(1, { host: "no-such-host.invalid" })),
  dial.Transient("silence, connectionTimeoutMillis", () => connecting(Peers.silent, { connectionTimeoutMillis: 30 })),
  dial.Transient("an end at once", () => connecting(Peers.ending)),
  dial.Transient("an end after the first message", () => connecting(Peers.endingLater)),
  dial.Transient("a reset", () => connecting(Peers.resetting)),
  dial.Transient("an end in the TLS handshake", () => connecting(answering("S", (socket) => socket.end()), noSsl)),
  dial.Fatal("TLS of a server without it", () => connecting(answering("N"), noSsl)),
  dial.Fatal("a server that wants a password, and none given", () => connecting(answering(wantsPassword, scramFirst))),
  dial.Fatal(
    "a password that is no text",
    () => connecting(answering(message("R", Buffer.from([0, 0, 0, 3]))), { password: () => Number("1") as never })
  ),
  dial.Fatal("an address that is no URL", () => Peers.thrownBy(() => new Pg.Client("postgres://h:port/db"))),
  dial.Fatal("28P01, a wrong password", refusal("28P01", "password authentication failed")),
  dial.RemoteSaturated("53300, too many clients", refusal("53300", "sorry, too many clients already")),
  dial.Transient("57P03, starting up", refusal("57P03", "the database system is starting up")),
  dial.Transient("57P01, shutting down", refusal("57P01", "terminating connection")),
  dial.RemoteSaturated("pgbouncer, full", refusal("08P01", "no more connections allowed (max_client_conn)")),
  dial.Transient(
    "pgbouncer, a server that is down",
    refusal(
      "08P01",
      "server login has been failing, cached error: connect failed (server_login_retry)"
    )
  ),
  dial.Fatal("pgbouncer, no such database", refusal("08P01", "no such database: nowhere")),
  dial.RemoteSaturated("Neon, full", refusal("XX000", "Too many connections attempts")),
  dial.Transient(
    "pg-pool, silence",
    async () => pool({ port: await Peers.silent, connectionTimeoutMillis: 30 }, (pool) => pool.connect())
  ),
  call.Ambiguous("an end under a query", cut((socket) => socket.end())),
  call.Ambiguous("a reset under a query", cut((socket) => socket.resetAndDestroy())),
  call.Ambiguous(
    "silence under a query, query_timeout",
    () => using((client) => client.query("select 1"), { query_timeout: 30 }, answering(hello, () => {}))
  ),
  call.Unsent("a query after the connection was lost", afterwards),
  call.RemoteSaturated("pgbouncer, query_wait_timeout", answer("08P01", "query_wait_timeout")),
  call.Ambiguous("pgbouncer, a server that died", answer("08P01", "server conn crashed?")),
  call.Ambiguous("25P03, idle in a transaction", answer("25P03", "terminating connection")),
  call.RemoteSaturated("53100, disk full", answer("53100", "could not extend file"))
]

/** What only PostgreSQL itself can say. */
export const real: ReadonlyArray<Case> = [
  dial.Fatal("28000, no such role", () => connecting(need.port, { user: "no_such_role" })),
  dial.Fatal("3D000, no such database", () => connecting(need.port, { database: "nowhere" })),
  dial.Fatal("connecting twice", reused),
  call.Fatal("42P01, no such table", statement("select * from nothing_here")),
  call.Fatal("42601, syntax", statement("selec 1")),
  call.Fatal("22P02, text that is no number", statement("select $1::int", ["one"])),
  call.Fatal("22012, division by zero", statement("select 1 / 0")),
  call.Fatal(
    "23505, a key that is there already",
    statement(
      "create temp table t (i int primary key); insert into t values (1); insert into t values (1)"
    )
  ),
  call.Fatal("08P01, too many parameters", statement("select $1::int", [1, 2])),
  call.Transient("40001, serialization", serializationFailure),
  call.Transient("40P01, deadlock", deadlock),
  call.Transient("55P03, locked", locked),
  call.Fatal("57014, statement_timeout", statement("set statement_timeout = 20; select pg_sleep(5)")),
  call.Redirect(
    "25006, read only",
    statement(
      "create temp table t (); begin read only; create table sluice_never (i int)"
    )
  ),
  call.Fatal("25P02, a transaction that has failed", () =>
    using(async (client) => {
      await client.query("begin; select 1 / 0").catch(() => {})
      await client.query("select 1")
    })),
  call.Ambiguous("57P01, terminated by an operator", terminated),
  call.Ambiguous("57P05, idle for too long", idle("set idle_session_timeout = 20")),
  call.Fatal("a query after end", () =>
    using(async (client) => {
      await client.end()
      await client.query("select 1")
    })),
  call.Unsent("pg-pool, all in use", exhausted),
  call.Fatal("pg-pool, after end", () =>
    pool({ port: need.port }, async (pool) => {
      await pool.end()
      await pool.query("select 1")
    }))
]
