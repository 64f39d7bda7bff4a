/**
 * Effect's `HttpClient` over a pool: caps for each origin and in all, the monitor's gate and ledger for every socket, one deadline for
 * the wait, and every connection closed with the scope.
 *
 * It needs `@effect/platform-node`, whose undici speaks HTTP.
 *
 * @since 0.1.0
 * @stability stable
 */
import type * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import type * as Undici from "@effect/platform-node/Undici"
import type * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { FiberSite } from "../internal/CallSite.ts"
import { fromConfig } from "../internal/ConfigFailure.ts"
import { InvalidOption } from "../internal/InvalidOption.ts"
import { aboveZero, checkOptions, type OptionCheck } from "../internal/Options.ts"
import { loadPeer } from "../internal/Peer.ts"
import { requesterIn } from "../internal/Requester.ts"
import { ResourceMonitor } from "../Monitor/Service.ts"
import * as ConnectionPool from "../Pool/ConnectionPool.ts"
import type { Endpoint } from "../Resource/Endpoint.ts"
import type * as TcpConnection from "../Resource/TcpConnection.ts"
import type * as RetryPolicy from "../Retry/RetryPolicy.ts"
import { makeConnector } from "./internal/http/Connector.ts"
import { makeDispatcher } from "./internal/http/Dispatcher.ts"
import type { Exchanges } from "./internal/http/Exchange.ts"
import type { HttpConnection } from "./internal/http/HttpConnection.ts"
import { loadUndici } from "./internal/http/LoadUndici.ts"
import { makeUnreadBodies } from "./internal/http/UnreadBodies.ts"
import { asOwnOptions } from "./internal/OwnOptions.ts"

export { InvalidOption } from "../internal/InvalidOption.ts"
export { RequestNotSent } from "./internal/http/HttpConnection.ts"
export { UnreadBody } from "./internal/http/UnreadBodies.ts"

/**
 * One HTTP/1.1 connection. Its `client` of undici takes one request at a time.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export type Connection = HttpConnection

/**
 * The options of a client. Every option has a default. The pool has the defaults of `ConnectionPool` for all else.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export interface Options {
  /** The name of the pool, as in `ConnectionPool`. @default none */
  readonly name?: string | undefined
  /** Most connections to one origin: a whole number of at least 1. A request holds one until its answer has ended. @default 20 */
  readonly maxPerOrigin?: number | undefined
  /** Most connections in all, at least `maxPerOrigin`. @default 200, or `maxPerOrigin` if that is more */
  readonly maxTotal?: number | undefined
  /** Bound on looking the name up, connecting and the TLS handshake together; above 0. @default 10 seconds */
  readonly connectTimeout?: Duration.Input | undefined
  /** Bound on the wait for a connection, including opening one; above 0. The answer is not limited. @default 30 seconds */
  readonly acquireTimeout?: Duration.Input | undefined
  /** Most requests that wait for a connection to one origin: a whole number of at least 0, or `Infinity`. @default Infinity */
  readonly maxWaiters?: number | undefined
  /**
   * How long an idle connection is kept if its server sends no `Keep-Alive: timeout`; above 0. If the server sends one, the
   * connection is closed 2 seconds before that time. @default 4 seconds
   */
  readonly keepAliveTimeout?: Duration.Input | undefined
  /** The longest that any connection is kept idle; above 0. @default 60 seconds */
  readonly idleTimeout?: Duration.Input | undefined
  /** A connection of this age gets no further request; above 0, `"Infinity"` for any age. @default 5 minutes */
  readonly maxLifetime?: Duration.Input | undefined
  /**
   * How long the body of an answer may be unread, until its first read; above 0, `"Infinity"` for no limit. After this time the
   * request is aborted, its connection is closed, and the monitor reports a leak. A later read of the body fails with {@link
   * UnreadBody}.
   * @default 10 seconds
   */
  readonly unreadBody?: Duration.Input | undefined
  /** Reports a request that holds its connection for longer; above 0, `"Infinity"` for never. @default "Infinity" */
  readonly leakThreshold?: Duration.Input | undefined
  /** Ends a request that holds its connection for longer: it fails with `LeaseExpired`; above 0. @default "Infinity" */
  readonly maxLease?: Duration.Input | undefined
  /** When and how often opening a connection is tried again. Requests are not repeated. @default RetryPolicy.tcpConnection */
  readonly retry?: RetryPolicy.RetryPolicy | undefined
  /** Whether a request to an origin that is down waits, or fails at once with `EndpointUnavailable`. @default "wait" */
  readonly whenUnavailable?: "wait" | "fail" | undefined
  /** How long closing an idle connection may take until the server ends it too; 0 or more. @default 2 seconds */
  readonly closeTimeout?: Duration.Input | undefined
  /** How long the end of the scope waits for answers that are under way; 0 or more. @default 5 seconds */
  readonly drainTimeout?: Duration.Input | undefined
  /** Node's options of TLS, for `https:`. The server's certificate is verified unless they say otherwise. @default none */
  readonly tls?: Exclude<TcpConnection.Options["tls"], boolean> | undefined
  /** Looks host names up, as in `TcpConnection`. @default Node's `dns.lookup` */
  readonly lookup?: TcpConnection.Options["lookup"]
  /** How often a host name is looked up again, as in `TcpConnection.connector`, or `false` for never. @default 30 seconds */
  readonly refreshAddresses?: TcpConnection.ConnectorOptions["refreshAddresses"]
  /** Where the connections of an origin go, such as a Unix socket. @default the host and port of the origin */
  readonly endpoint?: ((origin: URL) => Endpoint) | undefined
  /** Further options of undici's `Client`, such as `maxHeaderSize` and `maxResponseSize`. @default none */
  readonly client?:
    | Pick<Undici.Client.Options, "maxHeaderSize" | "maxResponseSize" | "strictContentLength" | "maxRequestsPerClient">
    | undefined
}

/**
 * The pool of a {@link layer}, for `ConnectionPool.stats`, `evict`, `drain` and the like. Its keys are origins, such as
 * `https://example.com`.
 *
 * @category services
 * @since 0.1.0
 * @stability stable
 */
export class Pool extends Context.Service<Pool, ConnectionPool.ConnectionPool<string, Connection>>()(
  "effect-sluice/Http/Pool"
) {}

/**
 * A client and its parts.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export interface Http {
  readonly client: HttpClient.HttpClient
  /** For functions that take a dispatcher of undici. */
  readonly dispatcher: Undici.Dispatcher
  readonly pool: ConnectionPool.ConnectionPool<string, Connection>
}

/** The package that this entry point needs. undici is loaded with the first client. */
const peer = loadPeer(
  { entry: "Http", package: "@effect/platform-node", version: 4 },
  () => Promise.all([import("@effect/platform-node/NodeHttpClient"), loadUndici()])
)

/** The caps under the names of this module, which is what an error has to say. */
const capsOf = ({ require, whole }: OptionCheck, { maxPerOrigin, maxTotal }: Options) => {
  if (maxTotal !== undefined) whole("maxTotal", maxTotal, { min: 1 })
  const maxPerEndpoint = whole("maxPerOrigin", maxPerOrigin ?? Math.min(20, maxTotal ?? 20), { min: 1 })
  const total = maxTotal ?? Math.max(200, maxPerEndpoint)
  require(maxPerEndpoint <= total, "maxPerOrigin", maxPerEndpoint, `be at most maxTotal, which is ${total}`)
  return { maxPerEndpoint, maxTotal: total }
}

const limitsOf = (options: Options) => {
  const check = checkOptions("Http")
  const limit = { ...aboveZero, infinite: true }
  return {
    caps: capsOf(check, options),
    unreadBody: check.duration("unreadBody", options.unreadBody ?? "10 seconds", limit),
    keepAliveTimeout: check.duration("keepAliveTimeout", options.keepAliveTimeout ?? "4 seconds", aboveZero),
    drainTimeout: check.duration("drainTimeout", options.drainTimeout ?? "5 seconds", { min: 0 })
  }
}

const poolOf = (undici: typeof Undici, options: Options, { caps, keepAliveTimeout }: ReturnType<typeof limitsOf>) =>
  ConnectionPool.make({
    ...options,
    // This module's option `endpoint` is a function of the origin, and not the pool's option of that name.
    endpoint: undefined,
    ...caps,
    connector: makeConnector(undici, options, Duration.toMillis(keepAliveTimeout))
  })

/** Reports a body that was not read, with the span of its request. */
const reportUnread = (monitor: ResourceMonitor["Service"]): Exchanges["reportUnread"] => (origin, age, context) =>
  void Effect.runForkWith(context)(monitor.reportLeak({
    _tag: "Held",
    kind: "Lease",
    label: `${origin} (a body that was not read)`,
    site: new FiberSite(context).text,
    span: requesterIn(context),
    age
  }))

/** Makes a client and its parts, with the package that was loaded. */
const build = Effect.fnUntraced(function*(options: Options) {
  const [node, undici] = yield* peer
  const limits = yield* Effect.sync(() => limitsOf(options))
  const unread = yield* makeUnreadBodies(limits.unreadBody)
  const pool = yield* poolOf(undici, options, limits)
  const dispatcher = makeDispatcher(undici, {
    pool,
    unread,
    aborted: () => new undici.errors.RequestAbortedError(),
    reportUnread: reportUnread(yield* ResourceMonitor),
    context: yield* Effect.context<never>(),
    drainTimeout: Duration.toMillis(limits.drainTimeout)
  })
  const services = Context.make(node.Dispatcher, dispatcher)
  // Without `fresh`, the layer is memoized, and a second client would be the first one.
  const client = yield* Layer.build(Layer.fresh(node.layerUndiciNoDispatcher)).pipe(Effect.provideContext(services))
  return Context.merge(services, Context.add(client, Pool, pool))
}, asOwnOptions("Http"))

/**
 * Makes an `HttpClient` whose connections live until the scope ends. At that end, requests under way may end within `drainTimeout`.
 * After that all connections are closed.
 *
 * @see {@link layer}
 * @category constructors
 * @since 0.1.0
 * @stability stable
 */
export const make = (options: Options = {}): Effect.Effect<Http, never, ResourceMonitor | Scope.Scope> =>
  Effect.flatMap(build(options), (context) =>
    Effect.map(peer, ([node]) => ({
      client: Context.get(context, HttpClient.HttpClient),
      dispatcher: Context.get(context, node.Dispatcher),
      pool: Context.get(context, Pool)
    })))

/**
 * Provides Effect's `HttpClient`, in the place of `NodeHttpClient.layerUndici`.
 *
 * **Details**
 *
 * - A request leases a connection of its origin before it is sent, and returns it when its answer was read. It uses an idle connection if
 *   there is one. Otherwise it waits for at most `acquireTimeout`.
 * - Requests fail with `HttpClientError`, as with `NodeHttpClient`. The cause of its `TransportError` is undici's error, or a `PoolError`
 *   if there was no connection.
 * - If a request is interrupted, or its body is not read to the end, its connection is closed.
 * - The layer also provides undici's dispatcher, and {@link Pool}.
 * - Invalid options are a defect, `InvalidOption`.
 *
 * **Gotchas**
 *
 * The client speaks only HTTP/1.1, and supports no proxies. The body of each answer has to be read, or its scope has to end
 * (`HttpClient.withScope`). Until then an answer may hold its connection, at most for `unreadBody`.
 *
 * **Example** (Two requests on one connection)
 *
 * ```ts
 * import { Effect, Layer } from "effect"
 * import * as HttpClient from "effect/http/HttpClient"
 * import * as ConnectionPool from "effect-sluice/ConnectionPool"
 * import * as Http from "effect-sluice/Http"
 * import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
 * import { createServer } from "node:http"
 *
 * const server = createServer((_, response) => response.end("welcome")).listen(0, "127.0.0.1")
 * await new Promise((resolve) => server.once("listening", resolve))
 * const { port } = server.address() as { port: number }
 *
 * const program = Effect.gen(function*() {
 *   const greet = Effect.flatMap(HttpClient.get(`http://127.0.0.1:${port}/`), (response) => response.text)
 *   yield* greet
 *   const text = yield* greet
 *   const { total } = yield* ConnectionPool.stats(yield* Http.Pool)
 *   return { text, total }
 * }).pipe(
 *   Effect.provide(Http.layer({ maxPerOrigin: 5 }).pipe(Layer.provide(ResourceMonitor.layer))),
 *   Effect.ensuring(Effect.sync(() => server.close()))
 * )
 *
 * await Effect.runPromise(program) // => { text: "welcome", total: 1 }
 * ```
 *
 * @category layers
 * @since 0.1.0
 * @stability stable
 */
export const layer = (
  options: Options = {}
): Layer.Layer<HttpClient.HttpClient | NodeHttpClient.Dispatcher | Pool, never, ResourceMonitor> =>
  Layer.effectContext(build(options))

/**
 * As {@link layer}, with options from `Config`. Invalid ones fail with `ConfigError`.
 *
 * @category layers
 * @since 0.1.0
 * @stability stable
 */
export const layerConfig = (
  options: Config.Wrap<Options>
): Layer.Layer<HttpClient.HttpClient | NodeHttpClient.Dispatcher | Pool, Config.ConfigError, ResourceMonitor> =>
  Layer.effectContext(
    fromConfig(
      options,
      (options: Options) =>
        Effect.catchDefect(
          build(options),
          (defect) => defect instanceof InvalidOption ? Effect.fail(defect) : Effect.die(defect)
        )
    )
  )
