/**
 * JSON-RPC 2.0 over TCP with one message per line, as MCP servers use it. One connection serves many requests at once.
 *
 * @since 0.1.0
 * @stability stable
 */
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { siteOf } from "../internal/CallSite.ts"
import { closeOnFailure } from "../internal/CloseOnFailure.ts"
import { DialSite } from "../internal/DialContext.ts"
import { aboveZero, checkOptions, type OptionCheck } from "../internal/Options.ts"
import { timeoutOrElse } from "../internal/Timeout.ts"
import type * as Connector from "./Connector.ts"
import type { Endpoint } from "./Endpoint.ts"
import { decodeInitialize, initializeParams, type McpOptions, type McpServer } from "./internal/jsonrpc/McpHandshake.ts"
import type { Notification } from "./internal/jsonrpc/NotificationInbox.ts"
import * as Session from "./internal/jsonrpc/Session.ts"
import { HandshakeFailed, JsonRpcError, RequestTimeout } from "./JsonRpcError.ts"
import * as TcpConnection from "./TcpConnection.ts"

export { InvalidOption } from "../internal/InvalidOption.ts"
export type { McpOptions, McpServer } from "./internal/jsonrpc/McpHandshake.ts"
export type { Notification } from "./internal/jsonrpc/NotificationInbox.ts"
export {
  ConnectionLost,
  HandshakeFailed,
  JsonRpcError,
  type JsonRpcErrorReason,
  LineTooLong,
  MalformedMessage,
  RemoteError,
  RequestTimeout,
  UnattributedError,
  UnsupportedVersion
} from "./JsonRpcError.ts"

/**
 * How to send one request.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export interface RequestOptions {
  /** How long sending and answering may take together; above 0. @default the client's `requestTimeout` */
  readonly timeout?: Duration.Input | undefined
  /**
   * How long the request may take in total if the server reports progress; above 0. @default the client's `maxRequestTimeout`
   */
  readonly maxTimeout?: Duration.Input | undefined
}

/**
 * An open connection to a JSON-RPC server. Any number of fibers may use it at once.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export interface JsonRpcClient {
  readonly endpoint: Endpoint
  /** As {@link request}. */
  readonly request: (
    method: string,
    params?: object,
    options?: RequestOptions
  ) => Effect.Effect<unknown, JsonRpcError>
  /** As {@link notify}. */
  readonly notify: (method: string, params?: object) => Effect.Effect<void, JsonRpcError>
  /** As {@link notifications}. */
  readonly notifications: Stream.Stream<Notification, JsonRpcError>
  /** How many notifications were dropped before they were read: see {@link notifications}. */
  readonly droppedNotifications: Effect.Effect<number>
  /** Requests that wait for their answer. */
  readonly pending: Effect.Effect<number>
  /** The server's answer in the MCP handshake; `undefined` without the `mcp` option. */
  readonly server: McpServer | undefined
  /**
   * Whether the connection can be used for another request. It is `false` after the connection has ended, and after a request
   * has timed out while no answer to any request came. A late answer makes it `true` again. {@link connector} passes it to a
   * pool.
   */
  readonly isReusable: () => boolean
  /** Completes as soon as the connection can no longer be used, whichever side ended it. */
  readonly dead: Effect.Effect<void>
  /** Completes when the connection is closed and its descriptor is free. The result says how the connection ended. */
  readonly closed: Effect.Effect<TcpConnection.Ending>
}

/**
 * The options of a client, in addition to those of a TCP connection.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export interface Options extends Omit<TcpConnection.Options, "readTimeout"> {
  /**
   * How long a request without its own `timeout`, a notification, and the MCP handshake may take; above 0. @default 30 seconds
   */
  readonly requestTimeout?: Duration.Input | undefined
  /**
   * With `mcp`: each `notifications/progress` of the server for a request restarts that request's timeout, up to this total.
   * Requests then have a `progressToken`, unless their params are an array. Above 0; a maximum below the timeout has no effect.
   * @default progress does not extend the timeout
   */
  readonly maxRequestTimeout?: Duration.Input | undefined
  /** The longest line that a peer may send, in bytes; a longer one closes the connection. At least 1. @default 1 MiB */
  readonly maxLineBytes?: number | undefined
  /**
   * How many notifications are kept until they are read, as long as their lines have at most 4 x `maxLineBytes` characters in
   * total (one or two bytes of memory each). Then the oldest are dropped. At least 1. @default 1024
   */
  readonly notificationBuffer?: number | undefined
  /** Perform the MCP handshake when the connection opens, and answer the server's `ping`. @default no handshake */
  readonly mcp?: McpOptions | undefined
}

interface Settings extends Session.SessionSettings {
  readonly tcp: Connector.Connector<Endpoint, TcpConnection.TcpConnection, TcpConnection.TcpConnectionError>
  readonly limits: Session.TimeLimits
  readonly mcp: McpOptions | undefined
}

const check: OptionCheck = checkOptions("JsonRpcClient")

const checkTimeout = (option: string, value: Duration.Input): Duration.Duration =>
  check.duration(option, value, aboveZero)

const checkMcp = (mcp: McpOptions): void => {
  const { clientName, clientVersion } = mcp
  check.require(clientName !== "", "mcp.clientName", clientName, "have at least one character")
  check.require(clientVersion !== "", "mcp.clientVersion", clientVersion, "have at least one character")
}

const settingsOf = (options: Options): Settings => {
  if (options.mcp !== undefined) checkMcp(options.mcp)
  return {
    tcp: TcpConnection.connector(options),
    limits: {
      timeout: checkTimeout("requestTimeout", options.requestTimeout ?? "30 seconds"),
      maxTimeout: options.maxRequestTimeout === undefined
        ? undefined
        : checkTimeout("maxRequestTimeout", options.maxRequestTimeout)
    },
    maxLineBytes: check.whole("maxLineBytes", options.maxLineBytes ?? 1_048_576, { min: 1 }),
    notificationBuffer: check.whole("notificationBuffer", options.notificationBuffer ?? 1024, { min: 1 }),
    isMcp: options.mcp !== undefined,
    mcp: options.mcp
  }
}

const limitsOf = (options: RequestOptions, { maxTimeout, timeout }: Session.TimeLimits): Session.TimeLimits => ({
  timeout: options.timeout === undefined ? timeout : checkTimeout("timeout", options.timeout),
  maxTimeout: options.maxTimeout === undefined ? maxTimeout : checkTimeout("maxTimeout", options.maxTimeout)
})

const fromSession = (session: Session.Session, settings: Settings, server: McpServer | undefined): JsonRpcClient => ({
  endpoint: session.connection.endpoint,
  request: (method, params, options) => {
    const limits = options === undefined ? settings.limits : limitsOf(options, settings.limits)
    return Session.request(session, method, params, limits)
  },
  notify: (method, params) => Session.notify(session, method, params, settings.limits.timeout),
  notifications: Stream.fromEffectRepeat(session.inbox.take),
  droppedNotifications: Effect.sync(() => session.inbox.dropped),
  pending: Effect.sync(() => session.pending.size),
  server,
  isReusable: () => Session.isReusable(session),
  dead: Deferred.await(session.dead),
  closed: session.connection.closed
})

const handshakeFailed = (error: JsonRpcError): JsonRpcError =>
  error.reason._tag === "HandshakeFailed"
    ? error
    : new JsonRpcError({ reason: new HandshakeFailed({ cause: error.reason }) })

const handshake = (
  session: Session.Session,
  mcp: McpOptions,
  timeout: Duration.Duration
): Effect.Effect<McpServer, JsonRpcError> =>
  Effect.gen(function*() {
    const answer = yield* Session.request(session, "initialize", initializeParams(mcp), {
      timeout,
      maxTimeout: undefined
    })
    const server = yield* Effect.mapError(
      Effect.fromResult(decodeInitialize(mcp, answer)),
      (reason) => new JsonRpcError({ reason })
    )
    yield* Session.notify(session, "notifications/initialized", undefined, timeout)
    return server
  })

/** The handshake of MCP. Its messages together take at most `requestTimeout`. */
const initialize = (
  session: Session.Session,
  mcp: McpOptions,
  timeout: Duration.Duration
): Effect.Effect<McpServer, JsonRpcError> =>
  timeoutOrElse(handshake(session, mcp, timeout), {
    duration: timeout,
    orElse: () =>
      Effect.fail(
        new JsonRpcError({ reason: new RequestTimeout({ method: "initialize", after: timeout, phase: "answer" }) })
      )
  }).pipe(Effect.mapError(handshakeFailed))

const open = (
  endpoint: Endpoint,
  settings: Settings
): Effect.Effect<JsonRpcClient, JsonRpcError | TcpConnection.TcpConnectionError, Scope.Scope> =>
  closeOnFailure(Effect.gen(function*() {
    const connectionScope = yield* Scope.fork(yield* Effect.scope)
    const connection = yield* Scope.provide(settings.tcp.open(endpoint), connectionScope)
    const session = yield* Session.serve(connection, connectionScope, settings)
    const server = settings.mcp === undefined
      ? undefined
      : yield* initialize(session, settings.mcp, settings.limits.timeout)
    return fromSession(session, settings, server)
  }))

/**
 * Opens a client whose connection is closed when the scope ends. Requests that are under way then fail with
 * `ConnectionLost`.
 *
 * **Details**
 *
 * - It fails with `TcpConnectionError` when there is no connection, and with `JsonRpcError` and the reason `HandshakeFailed` when the
 *   server refuses the MCP handshake, answers it invalidly, or stays silent.
 * - If the peer breaks the protocol, the connection is destroyed at once, and all pending requests fail: with `LineTooLong` for a line
 *   longer than `maxLineBytes`, with `UnattributedError` for an error that belongs to no request, and otherwise with `MalformedMessage` (no
 *   message, a batch, or an answer to a request that was not sent).
 * - Requests of the server are answered with error -32601 (method not found). With `mcp`, its `ping` is answered.
 *
 * **Gotchas**
 *
 * Invalid options throw `InvalidOption` when `connect` is called, before there is an Effect.
 *
 * **Example** (Two requests at once, answered in the opposite order)
 *
 * ```ts
 * import { Effect } from "effect"
 * import * as Endpoint from "effect-sluice/Endpoint"
 * import * as JsonRpcClient from "effect-sluice/JsonRpcClient"
 * import { createServer } from "node:net"
 *
 * const server = createServer((socket) => {
 *   const answers: Array<string> = []
 *   socket.on("data", (data) => {
 *     for (const line of data.toString().trim().split("\n")) {
 *       const { id, method } = JSON.parse(line)
 *       answers.unshift(`{"jsonrpc":"2.0","id":${id},"result":"did ${method}"}\n`)
 *     }
 *     if (answers.length === 2) socket.write(answers.join(""))
 *   })
 * }).listen(0, "127.0.0.1")
 * await new Promise((resolve) => server.once("listening", resolve))
 * const { port } = server.address() as { port: number }
 *
 * const program = Effect.gen(function*() {
 *   const client = yield* JsonRpcClient.connect(Endpoint.tcp("127.0.0.1", port), { requestTimeout: "5 seconds" })
 *   return yield* Effect.all([client.request("first"), client.request("second")], { concurrency: 2 })
 * }).pipe(Effect.scoped, Effect.ensuring(Effect.sync(() => server.close())))
 *
 * await Effect.runPromise(program) // => ["did first", "did second"]
 * ```
 *
 * @category constructors
 * @since 0.1.0
 * @stability stable
 */
export const connect = (
  endpoint: Endpoint,
  options: Options = {}
): Effect.Effect<JsonRpcClient, JsonRpcError | TcpConnection.TcpConnectionError, Scope.Scope> =>
  Effect.provideService(open(endpoint, settingsOf(options)), DialSite, siteOf(connect))

/** Any answer counts, also an error such as "method not found": a peer that answers is alive. */
const ping = (client: JsonRpcClient): Effect.Effect<void, JsonRpcError> =>
  client.request("ping").pipe(
    Effect.asVoid,
    Effect.catchIf((error) => error.reason._tag === "RemoteError", () => Effect.void)
  )

/**
 * A connector of JSON-RPC clients for a pool. Throws `InvalidOption` on invalid options.
 *
 * **Details**
 *
 * - With `mcp`, an idle connection is checked with MCP's `ping`. JSON-RPC itself has no such method, so without `mcp` idle connections are
 *   not checked, and only their end is noticed.
 * - If a request has timed out, and no answer to any request has come since it was sent, its connection is not leased again. The connection
 *   is closed, without waiting for the peer, when its last borrower has returned it. Notifications and requests of the server are no
 *   answers. With `mcp`, the client pings a silent server before the timeout, and any answer keeps the connection.
 * - A request that was interrupted, for example by `Effect.timeout`, counts as timed out if no answer has come for long enough. That is
 *   twice the longest time that an answer has taken on this connection, but at least 50 ms and at most 1 second or half of the request's
 *   timeout. With `mcp` it is twice as long, because a ping is sent in the meantime.
 *
 * @see {@link connect} for what opening and closing mean
 * @category constructors
 * @since 0.1.0
 * @stability stable
 */
export const connector = (
  options: Options = {}
): Connector.Connector<Endpoint, JsonRpcClient, JsonRpcError | TcpConnection.TcpConnectionError> => {
  const settings = settingsOf(options)
  return {
    open: (endpoint) => open(endpoint, settings),
    check: settings.mcp === undefined ? undefined : ping,
    closed: (client) => client.dead,
    isReusable: (client) => client.isReusable()
  }
}

const isDataFirst = (args: IArguments): boolean => typeof args[0] !== "string"

/**
 * Sends a request and waits for its result, while other requests on the same connection come and go.
 *
 * **Details**
 *
 * - `params` is an object or an array that `JSON.stringify` accepts; anything else is a defect. The result is the server's JSON, unchecked:
 *   decode it, for example with a `Schema`.
 * - It fails with `JsonRpcError` and the reason `RemoteError` (the server's error), `RequestTimeout`, `ConnectionLost`, or the
 *   `MalformedMessage` or `LineTooLong` that ended the connection.
 * - After an interruption, a late answer is discarded. With `mcp`, the server gets `notifications/cancelled`, as after a timeout, if the
 *   request was sent and is not `initialize`.
 * - The timeout covers the time from the call to the answer. With `mcp` and a `maxTimeout`, it restarts with each progress report of the
 *   server. A `timeout` or `maxTimeout` that is no duration above 0 throws `InvalidOption`.
 *
 * @see {@link connect} for an example
 * @category combinators
 * @since 0.1.0
 * @stability stable
 */
export const request: {
  (
    method: string,
    params?: object,
    options?: RequestOptions
  ): (client: JsonRpcClient) => Effect.Effect<unknown, JsonRpcError>
  (
    client: JsonRpcClient,
    method: string,
    params?: object,
    options?: RequestOptions
  ): Effect.Effect<unknown, JsonRpcError>
} = dual(
  isDataFirst,
  (
    client: JsonRpcClient,
    method: string,
    params?: object,
    options?: RequestOptions
  ): Effect.Effect<unknown, JsonRpcError> => client.request(method, params, options)
)

/**
 * Sends a message that has no answer, and waits until the kernel has taken it.
 *
 * It fails with `JsonRpcError` and the reason `RequestTimeout` (the peer does not read) or `ConnectionLost`.
 *
 * @category combinators
 * @since 0.1.0
 * @stability stable
 */
export const notify: {
  (method: string, params?: object): (client: JsonRpcClient) => Effect.Effect<void, JsonRpcError>
  (client: JsonRpcClient, method: string, params?: object): Effect.Effect<void, JsonRpcError>
} = dual(
  isDataFirst,
  (client: JsonRpcClient, method: string, params?: object): Effect.Effect<void, JsonRpcError> =>
    client.notify(method, params)
)

/**
 * The messages of the server that need no answer, beginning with the oldest one that is still kept.
 *
 * **Details**
 *
 * The last `notificationBuffer` of them are kept until they are read, as long as their lines have at most 4 x `maxLineBytes`
 * characters in total. Older ones are dropped and counted in `droppedNotifications`. So notifications that are not read take at
 * most 8 x `maxLineBytes` bytes of memory, and do not delay answers. The stream ends when the scope closes the connection, and
 * fails with the reason when the connection ends in any other way.
 *
 * **Gotchas**
 *
 * Each message goes to one reader only: two streams of one client each get a part of the messages.
 *
 * @category combinators
 * @since 0.1.0
 * @stability stable
 */
export const notifications = (client: JsonRpcClient): Stream.Stream<Notification, JsonRpcError> => client.notifications
