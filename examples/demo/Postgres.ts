/**
 * The database of a user behind the proxies of the demo: its address, and whether it can be used.
 */
import * as Endpoint from "effect-sluice/Endpoint"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import Pg from "pg"
import { safeText } from "../../src/internal/SafeText.ts"
import { type Database, tls } from "./contenders/Contender.ts"
import type { Upstream } from "./Run.ts"

/** The database cannot be used. The message has no password. */
export class PostgresUnusable extends Data.TaggedError("PostgresUnusable")<{
  readonly where: string
  readonly problem: string
}> {
  override get message(): string {
    return safeText(`sluice demo: ${this.where} cannot be used: ${this.problem}`, 400)
  }
}

/** Modes of TLS in which the name of the server is checked, which the proxy before it hides. */
const checksName = new Set(["verify-ca", "verify-full"])
const withTls = new Set(["require", "prefer", "no-verify"])

const databaseOf = (url: URL): Database => {
  const user = decodeURIComponent(url.username) || "postgres"
  return {
    user,
    // Other users of the machine see the arguments of a process, and not its environment.
    password: url.password === "" ? process.env["PGPASSWORD"] : decodeURIComponent(url.password),
    name: decodeURIComponent(url.pathname.slice(1)) || user,
    ssl: withTls.has(url.searchParams.get("sslmode") ?? "")
  }
}

const unusable = (where: string, problem: string) => Effect.fail(new PostgresUnusable({ where, problem }))

/** The database of a URL. */
export const parse = (text: string): Effect.Effect<Upstream, PostgresUnusable> => {
  const url = URL.parse(text)
  const endpoint = Endpoint.fromUrlResult(text)
  if (url === null || !/^postgres(ql)?:$/.test(url.protocol) || Result.isFailure(endpoint)) {
    return unusable(
      "the database of --postgres",
      "its URL does not begin with postgres://, or its host or port is not valid"
    )
  }
  const where = String(endpoint.success)
  const mode = url.searchParams.get("sslmode") ?? ""
  if (checksName.has(mode)) return unusable(where, `the demo connects through a proxy, so that sslmode=${mode} fails`)
  return Effect.try({
    try: () => ({ endpoint: endpoint.success, database: databaseOf(url) }),
    catch: () => new PostgresUnusable({ where, problem: "its user, password or name is not encoded as in a URL" })
  })
}

/** How long the database may take to answer before the run. */
const patience = 5000

/** What the database has said of itself. */
interface Room {
  readonly most: number
  readonly used: number
}

const clientOf = ({ database, endpoint }: Upstream): Pg.Client =>
  new Pg.Client({
    ...(endpoint._tag === "UnixEndpoint"
      // pg takes the folder, and adds the name of the socket itself.
      ? { host: endpoint.path.replace(/\/\.s\.PGSQL\.\d+$/, "") }
      : { host: endpoint.host, port: endpoint.port }),
    user: database.user,
    password: database.password,
    database: database.name,
    ssl: database.ssl ? tls : false,
    connectionTimeoutMillis: patience,
    query_timeout: patience
  })

const statement =
  "select current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int " +
  "as most, (select count(*)::int from pg_stat_activity where backend_type = 'client backend') as used"

const ask = (upstream: Upstream): Effect.Effect<Room | undefined, PostgresUnusable> => {
  const where = String(upstream.endpoint)
  return Effect.acquireUseRelease(
    Effect.sync(() => clientOf(upstream).on("error", () => {})),
    (client) =>
      Effect.tryPromise({
        try: async () => {
          await client.connect()
          return (await client.query<Room>(statement)).rows[0]
        },
        catch: (cause) => new PostgresUnusable({ where, problem: reasonOf(cause) })
      }),
    (client) => Effect.promise(() => client.end().catch(() => {}))
  )
}

const reasonOf = (cause: unknown): string =>
  cause instanceof AggregateError && "code" in cause
    ? String(cause.code)
    : cause instanceof Error
    ? cause.message
    : String(cause)

/** Fails unless the database answers, and has room for so many connections. */
export const check = (upstream: Upstream, needed: number): Effect.Effect<void, PostgresUnusable> =>
  Effect.flatMap(ask(upstream), (room) => {
    const free = room === undefined ? 0 : room.most - room.used
    return free >= needed
      ? Effect.void
      : unusable(String(upstream.endpoint), `it has room for ${free} connections, and the demo needs ${needed}`)
  })
