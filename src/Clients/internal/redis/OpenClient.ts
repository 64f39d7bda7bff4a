/**
 * Opens, checks and closes clients of node-redis.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type { RedisClientOptions } from "redis"
import { loadPeer } from "../../../internal/Peer.ts"
import * as Connector from "../../../Resource/Connector.ts"
import type { Endpoint } from "../../../Resource/Endpoint.ts"
import { evaluate } from "../Password.ts"
import { type Client, Session, sessionOf } from "./Session.ts"
import type { Dial } from "./Settings.ts"

type Redis = typeof import("redis")

/** The driver, or the advice to install it. */
export const loadRedis: Effect.Effect<Redis> = loadPeer(
  { entry: "Redis", package: "redis", version: 6 },
  () => import("redis")
)

/** The functions of a client: one for each command, or only those that take any command, such as `sendCommand`. */
export type Functions = "Commands" | "Plain"

/**
 * Which functions the clients have that are made in this context. The first client with a function for each command takes 0.2 seconds of
 * processor time, because node-redis adds the functions one by one to a class. A function that starts with little processor time
 * waits for that.
 */
export const ClientFunctions = Context.Reference<Functions>("effect-sluice/Redis/ClientFunctions", {
  defaultValue: () => "Commands"
})

/** One dial: its endpoint, and the password that was evaluated for it. */
interface Attempt {
  readonly redis: Redis
  readonly functions: Functions
  readonly endpoint: Endpoint
  readonly password: string | undefined
}

const addressOf = (endpoint: Endpoint) =>
  endpoint._tag === "TcpEndpoint" ? { host: endpoint.host, port: endpoint.port } : { path: endpoint.path }

/**
 * The client's own limits and reconnection are off: the pool has a limit for connecting, opens again with its own delay and through
 * the gate, and a command of a dead client must fail instead of waiting in it.
 */
const clientOptionsOf = <E, R>(
  { clientName, clientOptions, database, tls, username }: Dial<E, R>,
  { endpoint, password }: Attempt,
  signal: AbortSignal
): RedisClientOptions => ({
  ...clientOptions,
  // Otherwise each command gets a timer, which limits only the time until the command is written.
  commandOptions: { timeout: undefined, ...clientOptions.commandOptions },
  ...(username === undefined ? {} : { username }),
  ...(password === undefined ? {} : { password }),
  ...(clientName === undefined ? {} : { name: clientName }),
  database,
  disableOfflineQueue: true,
  // On a maintenance notice, the client would move to another server by itself.
  maintNotifications: "disabled",
  socket: {
    ...addressOf(endpoint),
    ...(tls && { ...tls, tls: true }),
    signal,
    connectTimeout: 0,
    reconnectStrategy: false
  }
} as RedisClientOptions)

const create = <E, R>(dial: Dial<E, R>, attempt: Attempt): Client => {
  const connecting = new AbortController()
  const { createClient, RedisClient } = attempt.redis
  const options = clientOptionsOf(dial, attempt, connecting.signal)
  // Without the functions of the commands, which only users of the pools call.
  const client = (attempt.functions === "Plain" ? new RedisClient(options) : createClient(options)) as Client
  new Session(client, String(attempt.endpoint), connecting)
  return client
}

/** Who uses a connection: many at once, or one after another. */
export type Usage = "Shared" | "Exclusive"

/** A connector of clients. */
export const connectorOf = <E, R>(
  dial: Dial<E, R>,
  usage: Usage
): Connector.Connector<Endpoint, Client, Connector.ClientError | E, R> => {
  const isShared = usage === "Shared"
  const clients = Connector.fromPromise<Attempt, Client>({
    create: (attempt) => create(dial, attempt),
    connect: (client) => client.connect(),
    destroy: (client) => sessionOf(client).destroy(),
    // A graceful close waits for the commands in flight, and a blocking command may never end.
    close: isShared ? (client) => client.close() : undefined,
    closed: (client, onClosed) => client.once("error", onClosed).once("end", onClosed),
    check: (client) => client.sendCommand(["PING"]),
    isReusable: (client) => {
      const session = sessionOf(client)
      return session.isReusable && (isShared || session.pending === 0)
    },
    reuseAfterInterruption: isShared
  })
  return {
    ...clients,
    open: (endpoint) =>
      Effect.flatMap(
        Effect.all([loadRedis, evaluate(dial.password), ClientFunctions]),
        ([redis, password, functions]) => clients.open({ redis, functions, endpoint, password })
      )
  }
}
