/**
 * Connections of `pg` (node-postgres) for a pool. It needs the package `pg`, version 8.
 *
 * **Example** (A pool of clients of `pg`)
 *
 * ```ts no-run
 * import { Cause, Effect } from "effect"
 * import * as ConnectionPool from "effect-sluice/ConnectionPool"
 * import * as Endpoint from "effect-sluice/Endpoint"
 * import * as NodePostgres from "effect-sluice/NodePostgres"
 * import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
 *
 * const endpoint = Endpoint.tcp("127.0.0.1", 5432)
 *
 * const program = Effect.gen(function*() {
 *   const pool = yield* ConnectionPool.make({
 *     connector: NodePostgres.connector({ user: "app", database: "orders" }),
 *     maxPerEndpoint: 10,
 *     maxTotal: 10
 *   })
 *   return yield* ConnectionPool.use(
 *     pool,
 *     endpoint,
 *     (client) => Effect.tryPromise({ try: () => client.query("select count(*) from orders"), catch: (cause) => new Cause.UnknownError(cause, String(cause)) })
 *   )
 * }).pipe(Effect.scoped, Effect.provide(ResourceMonitor.layer))
 *
 * await Effect.runPromise(program)
 * ```
 *
 * @since 0.1.0
 * @stability stable
 */
import * as Effect from "effect/Effect"
import type { Client, ClientConfig } from "pg"
import { loadPeer } from "../internal/Peer.ts"
import { CurrentPermit } from "../Pool/ConnectionBudget.ts"
import * as Connector from "../Resource/Connector.ts"
import type { Endpoint } from "../Resource/Endpoint.ts"
import { withToken } from "./internal/ApplicationName.ts"
import { evaluate, type Password } from "./internal/Password.ts"
import { addressOf } from "./internal/PgAddress.ts"
import { follow, isIdle } from "./internal/PgSession.ts"

/**
 * The `ClientConfig` of `pg`, without what the pool decides: where to connect, and for how long to try.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export interface Options<E = never, R = never>
  extends Omit<ClientConfig, "connectionTimeoutMillis" | "host" | "password" | "port" | "stream">
{
  /**
   * The password: a text, a `Redacted`, or an effect that is run for each connection, such as one that asks for a token that expires. A
   * function is called by `pg` itself, for each connection whose server asks for a password. @default none
   */
  readonly password?: Password<E, R> | (() => string | Promise<string>) | undefined
}

type Pg = typeof import("pg")

/** The parameters that are not in the types of `pg`. */
interface NameParameters {
  readonly application_name?: string | undefined
  readonly fallback_application_name?: string | undefined
}

interface Dial {
  readonly Client: Pg["Client"]
  readonly config: ClientConfig
  readonly endpoint: Endpoint
  /** Of the permit of a budget. */
  readonly token: string | undefined
}

/** `pg` reads the name from the options, the connection string or `PGAPPNAME`, so the token is added to what it has read. */
const named = (client: Client, token: string | undefined): Client => {
  const { connectionParameters } = client as unknown as { readonly connectionParameters: NameParameters }
  if (token === undefined) return client
  const { application_name, fallback_application_name } = connectionParameters
  Object.assign(connectionParameters, {
    application_name: withToken(application_name || fallback_application_name || undefined, token)
  })
  return client
}

const clients = Connector.fromPromise({
  create: ({ Client, config, endpoint, token }: Dial) =>
    // A connection string has an address too, so the one of the endpoint is set afterwards.
    follow(named(Object.assign(new Client(config), addressOf(endpoint)), token)),
  connect: (client) => client.connect(),
  close: (client) => client.end(),
  // `end` waits for the server.
  destroy: (client) => client.connection.stream.destroy(),
  // When the server ends the session, `error` comes first.
  closed: (client, onClosed) => client.once("error", onClosed).once("end", onClosed),
  check: (client) => client.query("select 1"),
  isReusable: isIdle
})

const driver = loadPeer({ entry: "NodePostgres", package: "pg", version: 8 }, () => import("pg"))

/**
 * A connector of `pg`: its keys are endpoints, its connections connected clients.
 *
 * **Details**
 *
 * - A client whose server has ended the session, or whose socket has ended, is closed before it is leased.
 * - The socket of a client is closed at the end of a borrow if a transaction is open, if a query has no answer yet, or if the borrow was
 *   interrupted or died. Otherwise the client is leased again.
 * - `check` is `select 1`.
 * - The host and the port are those of the endpoint, also where the options have a `connectionString`. A Unix socket is one whose path ends
 *   with `.s.PGSQL.` and the port.
 * - `open` and `check` fail with `ClientError`, whose `cause` is what `pg` has thrown. It dies where `pg` is not installed, and says which
 *   package to install.
 *
 * **Gotchas**
 *
 * - PostgreSQL goes on with the query of a client whose socket has closed. `statement_timeout`, or `options: "-c
 *   client_connection_check_interval=1s"`, bounds that.
 * - `SET`, `LISTEN`, temporary tables and advisory locks stay in a session. Undo them in the borrow, or in the pool's hook `afterReturn`.
 *
 * @category constructors
 * @since 0.1.0
 * @stability stable
 */
export const connector = <E = never, R = never>(
  options: Options<E, R> = {}
): Connector.Connector<Endpoint, Client, Connector.ClientError | E, R> => {
  const { password, ...config } = options
  const open = (endpoint: Endpoint) =>
    Effect.gen(function*() {
      const { Client } = yield* driver
      const token = (yield* CurrentPermit)?.token
      if (typeof password === "function") {
        return yield* clients.open({ Client, config: { ...config, password }, endpoint, token })
      }
      const evaluated = yield* evaluate(password)
      const login = evaluated === undefined ? config : { ...config, password: evaluated }
      return yield* clients.open({ Client, config: login, endpoint, token })
    })
  return Connector.make({ ...clients, open })
}
