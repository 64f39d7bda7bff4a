/**
 * A TCP connection (plain or TLS, or a Unix socket) as a scoped Effect that is closed gracefully, exactly once.
 *
 * @since 0.1.0
 * @stability stable
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Scope from "effect/Scope"
import { isCleanExit } from "../internal/BorrowExit.ts"
import { type CallSite, siteOf } from "../internal/CallSite.ts"
import { closeOnFailure } from "../internal/CloseOnFailure.ts"
import { DialSite, TrackedByPool } from "../internal/DialContext.ts"
import { labelOf } from "../internal/SafeText.ts"
import * as Connector from "./Connector.ts"
import type { Endpoint } from "./Endpoint.ts"
import type { DialSettings } from "./internal/tcp/Dial.ts"
import { type Options, type ReuseOptions, reuseSettingsOf, settingsOf } from "./internal/tcp/DialOptions.ts"
import { acquireGuarded, type GuardedHandle } from "./internal/tcp/GuardedConnection.ts"
import * as ReadWrite from "./internal/tcp/ReadWrite.ts"
import { dialRecorded, dialReserved } from "./internal/tcp/RecordedDial.ts"
import { abort, type Ending, type TcpSocket } from "./internal/tcp/Socket.ts"
import type { TcpConnectionError } from "./TcpConnectionError.ts"

export { InvalidOption } from "../internal/InvalidOption.ts"
export type { Options } from "./internal/tcp/DialOptions.ts"
export type { Ending } from "./internal/tcp/Socket.ts"
export {
  ConnectionClosed,
  DialFailed,
  type DialPhase,
  DialTimeout,
  ReadFailed,
  ReadTimeout,
  TcpConnectionError,
  type TcpConnectionErrorReason,
  WriteFailed
} from "./TcpConnectionError.ts"

/**
 * An open connection. One fiber may read while another one writes, but no two fibers may read, or write, at the same time.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export interface TcpConnection {
  readonly endpoint: Endpoint
  /**
   * The next bytes from the peer, at least one. Waits until there are some; an interrupted read loses nothing. Fails with
   * `ConnectionClosed` at the end, with `ReadFailed` when the connection breaks, and with `ReadTimeout` after `readTimeout`.
   */
  readonly read: Effect.Effect<Uint8Array, TcpConnectionError>
  /**
   * As `read`, for a fiber that reads all the time, such as one that assigns answers to requests by their ids. It has no
   * `readTimeout`, and with `allowExitOnIdle` it does not keep the process alive.
   */
  readonly readInBackground: Effect.Effect<Uint8Array, TcpConnectionError>
  /**
   * Hands bytes, or the UTF-8 bytes of a text, to the kernel. Waits while the peer is slower than the writer. Fails with
   * `ConnectionClosed` after the end and with `WriteFailed` when the connection breaks.
   */
  readonly write: (data: Uint8Array | string) => Effect.Effect<void, TcpConnectionError>
  /** Whether bytes have arrived that were not read. */
  readonly hasUnread: () => boolean
  /** Whether something was written since the last read that returned bytes: an answer to it may still come. */
  readonly isUnanswered: () => boolean
  /**
   * Whether a read or write was ever interrupted while it waited, for example by a timeout or a lost race. Then an answer may
   * still come, and data may have been sent only in part.
   */
  readonly isAbandoned: () => boolean
  /**
   * Whether its address may still be used, so that it may be leased again: see `refreshAddresses` of {@link connector}. It is
   * `true` for connections without that option.
   */
  readonly isCurrent: () => boolean
  /** Completes as soon as the peer has ended its side, or the connection has ended for any other reason. */
  readonly dead: Effect.Effect<void>
  /**
   * Destroys the socket at once: data that was not sent yet is lost, and the peer's end is not awaited. It completes when the
   * descriptor is free. A read or write that waits, and each later one, fails with `ConnectionClosed`. It is for a peer that
   * breaks its protocol.
   */
  readonly abort: Effect.Effect<void>
  /** Completes when the connection is closed and its descriptor is free. The result says how the connection ended. */
  readonly closed: Effect.Effect<Ending>
}

type Hold = GuardedHandle<TcpSocket>["hold"]

/** The connection of a socket. `hold` keeps the handle reachable while a read or write waits. */
const fromSocket = (socket: TcpSocket, hold: Hold): TcpConnection => ({
  endpoint: socket.endpoint,
  read: hold(ReadWrite.read(socket)),
  readInBackground: hold(ReadWrite.readInBackground(socket)),
  write: (data) => hold(ReadWrite.write(socket, data)),
  hasUnread: () => socket.raw.readableLength > 0,
  isUnanswered: () => socket.unanswered,
  isAbandoned: () => socket.abandoned,
  isCurrent: socket.isCurrent,
  dead: Deferred.await(socket.dead),
  abort: hold(abort(socket)),
  closed: Deferred.await(socket.closed)
})

const fromHandle = (handle: GuardedHandle<TcpSocket>): TcpConnection =>
  fromSocket(handle.value, (effect) => handle.hold(effect))

const open = (
  endpoint: Endpoint,
  settings: DialSettings,
  site: CallSite | undefined
): Effect.Effect<TcpConnection, TcpConnectionError, Scope.Scope> =>
  Effect.gen(function*() {
    if (yield* TrackedByPool) {
      const socket = yield* closeOnFailure(dialReserved(endpoint, settings))
      return fromSocket(socket, (effect) => effect)
    }
    const asked = { label: labelOf(endpoint), site: site ?? (yield* DialSite) }
    return yield* acquireGuarded(asked, dialRecorded(endpoint, settings, asked), fromHandle)
  })

/**
 * Opens a connection that is closed when the scope ends: data that was written is sent, our side is ended, the peer's end is
 * awaited for at most `closeTimeout`, and then the socket is destroyed.
 *
 * **Details**
 *
 * - A dial that times out or is interrupted is destroyed at once, so no connection is left that was established too late.
 * - The addresses of a host name are tried as in RFC 8305 (Happy Eyeballs): IPv4 and IPv6 in turns, each address 250 milliseconds after the
 *   one before, or as soon as that has failed. The first that connects is used.
 * - It fails with `TcpConnectionError` and the reason `DialTimeout` or `DialFailed`, which has the errors of all addresses.
 * - With a `ResourceMonitor` in its context, the dial reserves a descriptor at the monitor's gate, without waiting. If there is no room, it
 *   fails with `DialFailed`, whose cause is `ResourceExhausted`. The connection is recorded in the monitor's ledger.
 * - If a dial fails while no descriptor is free, the cause of the `DialFailed` is a `ResourceExhausted`, whose cause is Node's error. For
 *   example, a name may seem not to exist only because it could not be looked up.
 * - An attempt of `RetryPolicy.retry`, and so each dial of a pool, has already reserved a descriptor for one connection. Only a further
 *   connection of the same attempt makes a reservation of its own.
 * - The reservation ends as soon as the socket exists. To try a second address at the same time, the dial needs a second reservation;
 *   without one, the addresses are tried one after the other.
 *
 * **Gotchas**
 *
 * Invalid options throw `InvalidOption` when `connect` is called, before there is an Effect.
 *
 * **Example** (One line from a server)
 *
 * ```ts
 * import { Effect } from "effect"
 * import * as Endpoint from "effect-sluice/Endpoint"
 * import * as TcpConnection from "effect-sluice/TcpConnection"
 * import { createServer } from "node:net"
 *
 * const server = createServer((socket) => socket.end("welcome\n")).listen(0, "127.0.0.1")
 * await new Promise((resolve) => server.once("listening", resolve))
 * const { port } = server.address() as { port: number }
 *
 * const program = Effect.gen(function*() {
 *   const connection = yield* TcpConnection.connect(Endpoint.tcp("127.0.0.1", port), { connectTimeout: "1 second" })
 *   return new TextDecoder().decode(yield* connection.read)
 * }).pipe(Effect.scoped, Effect.ensuring(Effect.sync(() => server.close())))
 *
 * await Effect.runPromise(program) // => "welcome\n"
 * ```
 *
 * @category constructors
 * @since 0.1.0
 * @stability stable
 */
export const connect = (
  endpoint: Endpoint,
  options: Options = {}
): Effect.Effect<TcpConnection, TcpConnectionError, Scope.Scope> => open(endpoint, settingsOf(options), siteOf(connect))

/**
 * How a pool's connections are opened, and when they are leased again.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export interface ConnectorOptions extends ReuseOptions {
  /**
   * Whether the peer answers what is written to it. With `false`, a connection is leased again even after a write without a
   * read, and after a borrow that failed. @default true
   */
  readonly answers?: boolean | undefined
}

/** Whether the connection can be used like a new one. `exit` is that of the borrow that has just ended. */
const isReusable = (
  connection: TcpConnection,
  exit: Exit.Exit<unknown, unknown> | undefined,
  answers: boolean
): boolean => {
  if (connection.hasUnread() || connection.isAbandoned() || !connection.isCurrent()) return false
  if (!answers) return exit === undefined || isCleanExit(exit)
  return !connection.isUnanswered() && (exit === undefined || Exit.isSuccess(exit))
}

/**
 * A connector of TCP connections for a pool. Throws `InvalidOption` on invalid options.
 *
 * **Details**
 *
 * Bytes carry no ids: the next borrower would read the answer to an earlier one. So a connection is closed, and not leased
 * again, when
 *
 * - its borrow failed, died or was interrupted,
 * - a read or write was interrupted while it waited, also inside a borrow that succeeded (a timeout, a lost race),
 * - something was written and no read has returned bytes since,
 * - there are bytes that were not read.
 *
 * When the addresses of a name change, its connections to addresses that are gone are replaced, each when it would be leased next. A look-up
 * every 30 seconds notices that (`refreshAddresses`).
 *
 * If the peer never answers, such as with a log or metrics server, the first of them (as far as failures go) and the third
 * would close working connections: `answers: false` switches them off.
 *
 * **Gotchas**
 *
 * The connection does not know where an answer ends. A borrower that reads a part of its answer, and then ends with success,
 * leaves the rest to the next one, unless it has arrived by then.
 *
 * @see {@link connect} for what opening and closing mean
 * @category constructors
 * @since 0.1.0
 * @stability stable
 */
export const connector = (
  options: ConnectorOptions = {}
): Connector.Connector<Endpoint, TcpConnection, TcpConnectionError> => {
  const settings = reuseSettingsOf(options)
  const answers = options.answers ?? true
  return Connector.make({
    open: (endpoint: Endpoint) => open(endpoint, settings, undefined),
    closed: (connection) => connection.dead,
    isReusable: (connection, exit) => isReusable(connection, exit, answers)
  })
}
