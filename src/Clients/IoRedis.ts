/**
 * Connections of `ioredis` for a pool. It needs the package `ioredis`, version 6.
 *
 * **Example** (A pool of clients of ioredis)
 *
 * ```ts no-run
 * import { Cause, Effect } from "effect"
 * import * as ConnectionPool from "effect-sluice/ConnectionPool"
 * import * as Endpoint from "effect-sluice/Endpoint"
 * import * as IoRedis from "effect-sluice/IoRedis"
 * import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
 *
 * const endpoint = Endpoint.tcp("127.0.0.1", 6379)
 *
 * const program = Effect.gen(function*() {
 *   const pool = yield* ConnectionPool.make({ connector: IoRedis.connector({ db: 1 }), maxPerEndpoint: 5 })
 *   return yield* ConnectionPool.use(pool, endpoint, (client) => Effect.tryPromise({ try: () => client.incr("visits"), catch: (cause) => new Cause.UnknownError(cause, String(cause)) }))
 * }).pipe(Effect.scoped, Effect.provide(ResourceMonitor.layer))
 *
 * await Effect.runPromise(program)
 * ```
 *
 * @since 0.1.0
 * @stability stable
 */
import * as Effect from "effect/Effect"
import type { Redis, RedisOptions } from "ioredis"
import { loadPeer } from "../internal/Peer.ts"
import * as Connector from "../Resource/Connector.ts"
import type { Endpoint } from "../Resource/Endpoint.ts"
import { follow, isUnchanged } from "./internal/ioredis/SentCommands.ts"
import { evaluate, type Password } from "./internal/Password.ts"

/**
 * The `RedisOptions` of ioredis, without those that the pool decides: the address, the time limit, and the repetition of a connect.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export interface Options<E = never, R = never> extends
  Omit<
    RedisOptions,
    | "autoResendUnfulfilledCommands"
    | "autoResubscribe"
    | "connectTimeout"
    | "Connector"
    | "enableOfflineQueue"
    | "host"
    | "lazyConnect"
    | "monitor"
    | "password"
    | "path"
    | "port"
    | "reconnectOnError"
    | "replyMapping"
    | "retryStrategy"
    | "sentinels"
  >
{
  /** The password: a text, a `Redacted`, or an effect that is run for each connection. @default none */
  readonly password?: Password<E, R> | undefined
}

/** One dial: the driver, and all its options. */
interface Dial {
  readonly Redis: typeof Redis
  readonly options: Omit<RedisOptions, "replyMapping">
}

const clients = Connector.fromPromise({
  create: ({ options, Redis }: Dial): Redis => new Redis(options),
  connect: (client) => client.connect().then(() => follow(client)),
  close: (client) => client.quit(),
  destroy: (client) => {
    client.disconnect()
    client.stream?.destroy()
  },
  closed: (client, onClosed) => {
    // ioredis emits `close` one turn after its socket has read the end.
    client.once("connect", () => client.stream.once("end", onClosed))
    client.once("close", onClosed).once("end", onClosed)
  },
  check: (client) => client.ping(),
  // With the protocol RESP3, `mode` does not show subscriptions.
  isReusable: (client) => client.status === "ready" && !client.condition?.subscriber && isUnchanged(client)
})

const driver = loadPeer({ entry: "IoRedis", package: "ioredis", version: 6 }, () => import("ioredis"))

const addressOf = (endpoint: Endpoint): RedisOptions =>
  endpoint._tag === "TcpEndpoint" ? { host: endpoint.host, port: endpoint.port } : { path: endpoint.path }

/**
 * Switches off the client's own queue, reconnection and repetition: the pool opens connections, and commands of a dead client fail.
 */
const ours = {
  lazyConnect: true,
  retryStrategy: null,
  reconnectOnError: null,
  connectTimeout: 0,
  autoResubscribe: false,
  autoResendUnfulfilledCommands: false,
  enableOfflineQueue: false
} as const

/**
 * A connector of ioredis: its keys are endpoints, its connections connected clients.
 *
 * **Details**
 *
 * - A client whose socket has ended is closed instead of being leased.
 * - A client is not leased again if it is subscribed, if a borrower has left a `MULTI` or `WATCH` open or has sent `SELECT` or another
 *   command that changes the connection, or if its borrow was interrupted or died.
 * - `check` is `PING`.
 * - `open` and `check` fail with `ClientError`, whose `cause` is what ioredis has thrown. It dies where `ioredis` is not installed, and
 *   says which package to install.
 *
 * **Gotchas**
 *
 * A connection is closed by `QUIT`, which waits for the commands in flight for at most `closeTimeout`.
 *
 * @category constructors
 * @since 0.1.0
 * @stability stable
 */
export const connector = <E = never, R = never>(
  options: Options<E, R> = {}
): Connector.Connector<Endpoint, Redis, Connector.ClientError | E, R> => {
  const { password, ...login } = options
  const open = (endpoint: Endpoint) =>
    Effect.gen(function*() {
      const { Redis } = yield* driver
      const evaluated = yield* evaluate(password)
      const secret = evaluated === undefined ? {} : { password: evaluated }
      return yield* clients.open({ Redis, options: { ...login, ...secret, ...addressOf(endpoint), ...ours } })
    })
  return Connector.make({ ...clients, open })
}
