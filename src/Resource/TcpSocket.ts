/**
 * One raw socket from its dial to its end: opens it, watches it die, and closes it gracefully within a deadline.
 *
 * @since 0.1.0
 */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Scope from "effect/Scope"
import * as Net from "node:net"
import type * as Tls from "node:tls"
import { CloseTimeout } from "../internal/CloseTimeout.ts"
import { type Claim, CurrentClaim } from "../Monitor/Claim.ts"
import type { Endpoint } from "./Endpoint.ts"
import { DialFailed, DialTimeout, TcpConnectionError } from "./TcpConnectionError.ts"

/**
 * How a connection ended.
 *
 * - `Graceful`: both sides sent their end (FIN).
 * - `Reset`: the connection broke with an error, whose code is in `code` (`ECONNRESET` when the peer reset it).
 * - `Forced`: we destroyed the socket, because the peer did not end its side within `closeTimeout` or by `abort`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Ending {
  readonly how: "Graceful" | "Reset" | "Forced"
  /** Node's code of the error that broke the connection. */
  readonly code: string | undefined
  readonly bytesRead: number
  readonly bytesWritten: number
}

/** What a dial needs to know, all of it decided. */
export interface DialSettings {
  readonly connectTimeout: Duration.Duration
  /** `undefined`: what the pool says, or the default. */
  readonly closeTimeout: Duration.Duration | undefined
  readonly noDelay: boolean
  readonly keepAlive: Duration.Duration | undefined
  readonly tls: Tls.ConnectionOptions | undefined
}

/** A raw socket and what has become of it. */
export interface TcpSocket {
  readonly endpoint: Endpoint
  readonly raw: Net.Socket
  /** Done as soon as the peer has ended its side or the socket is gone: nobody should be lent it any more. */
  readonly dead: Deferred.Deferred<void>
  /** Done when the socket is closed and its descriptor is free. */
  readonly closed: Deferred.Deferred<Ending>
  connected: boolean
  /** Claims the descriptor's room again if the opening goes on without it. */
  readonly reclaim: () => void
  /** It is being closed, and what still arrives is discarded: a reader would keep it from flowing. */
  closing: boolean
  forced: boolean
  /** A read or write was given up while it waited: what it asked for may still come, what it wrote may be sent in part. */
  abandoned: boolean
  /** Bytes were handed over since the last read that returned some. */
  unanswered: boolean
  errorCode: string | undefined
}

/** Node's TLS is loaded with the first connection that uses it: that takes as long as all the rest of a pool's bundle. */
const loadTls = () => process.getBuiltinModule("node:tls")

const createRaw = (endpoint: Endpoint, settings: DialSettings): Net.Socket => {
  const options = {
    ...(endpoint._tag === "UnixEndpoint" ? { path: endpoint.path } : { host: endpoint.host, port: endpoint.port }),
    noDelay: settings.noDelay,
    keepAlive: settings.keepAlive !== undefined,
    keepAliveInitialDelay: settings.keepAlive === undefined ? 0 : Duration.toMillis(settings.keepAlive)
  }
  if (settings.tls === undefined) return Net.createConnection(options)
  // An IP address is no server name: RFC 6066 forbids it in the TLS extension.
  const named = endpoint._tag === "TcpEndpoint" && Net.isIP(endpoint.host) === 0
  return loadTls().connect({ ...(named ? { servername: endpoint.host } : {}), ...options, ...settings.tls })
}

/**
 * Whether the peer's end has arrived, also while unread bytes are still buffered before it. Node emits `end` only when
 * everything has been read, and nobody reads from an idle connection, so the stream's own state is the only witness.
 * The field is not part of Node's types, hence the cast; without it such a peer would be noticed on the next use.
 */
const hasPeerEnded = (raw: Net.Socket): boolean =>
  (raw as unknown as { readonly _readableState?: { readonly ended?: boolean } })._readableState?.ended === true

const endingOf = (socket: TcpSocket): Ending => ({
  how: socket.forced ? "Forced" : socket.errorCode === undefined ? "Graceful" : "Reset",
  code: socket.errorCode,
  bytesRead: socket.raw.bytesRead,
  bytesWritten: socket.raw.bytesWritten
})

/**
 * Ends the gate's claim as soon as the socket's descriptor exists, and never before. The result claims its room again.
 *
 * A Unix socket has its descriptor when it is made. One of TCP gets it in the step that starts the first connection attempt,
 * right after the event that announces it, so that a microtask later it is there or will never be. Where the look-up was
 * synchronous that event is gone by now, and `connect` is the next to know. A further attempt, on another address, closes
 * the descriptor of the one before it, so that there is one at a time.
 */
const settleClaim = (claim: Claim, endpoint: Endpoint, raw: Net.Socket): () => void => {
  let undo: (() => void) | undefined
  const settle = () => {
    undo ??= claim.descriptorOpened()
  }
  if (endpoint._tag === "UnixEndpoint") settle()
  else {
    raw.once("connectionAttempt", () => queueMicrotask(settle))
    raw.once("connect", settle)
  }
  return () => undo?.()
}

/** The listeners stay for the socket's whole life, so that no late `error` event is ever unhandled. */
const watch = (endpoint: Endpoint, raw: Net.Socket, claim: Claim): TcpSocket => {
  const socket: TcpSocket = {
    endpoint,
    raw,
    dead: Deferred.makeUnsafe(),
    closed: Deferred.makeUnsafe(),
    connected: false,
    reclaim: settleClaim(claim, endpoint, raw),
    closing: false,
    forced: false,
    abandoned: false,
    unanswered: false,
    errorCode: undefined
  }
  const die = () => Deferred.doneUnsafe(socket.dead, Exit.void)
  raw.on("readable", () => {
    // Reading nothing makes an ended stream say so, and is without effect on any other.
    if (raw.readableLength === 0) raw.read(0)
    if (hasPeerEnded(raw)) die()
  })
  raw.on("end", die)
  raw.on("error", (error: NodeJS.ErrnoException) => {
    if (!socket.forced) socket.errorCode = error.code ?? error.name
    die()
  })
  raw.on("close", () => {
    die()
    Deferred.doneUnsafe(socket.closed, Exit.succeed(endingOf(socket)))
  })
  return socket
}

const destroy = (socket: TcpSocket): Effect.Effect<Ending> =>
  Effect.suspend(() => {
    socket.raw.destroy()
    return Deferred.await(socket.closed)
  })

/** Destroys the socket without regard to what is under way. What has ended already keeps its ending. */
export const abort = (socket: TcpSocket): Effect.Effect<void> =>
  Effect.suspend(() => {
    socket.closing = true
    socket.forced ||= !socket.raw.destroyed
    return destroy(socket)
  }).pipe(Effect.asVoid)

/**
 * Flushes what was written, ends our side, waits for the peer's end up to `closeTimeout`, then destroys the socket.
 * A peer that is stuck costs its own deadline and nobody else's.
 */
const closeGracefully = (socket: TcpSocket, closeTimeout: Duration.Duration): Effect.Effect<void> =>
  Effect.suspend(() => {
    socket.reclaim()
    if (!socket.connected) return destroy(socket)
    const { raw } = socket
    socket.closing = true
    raw.end()
    // Unread bytes would keep the peer's end from being seen, so whatever still arrives is discarded. A stream with a
    // `readable` listener does not flow, and one that has just lost its last is stopped again unless it has one for `data`.
    raw.removeAllListeners("readable")
    raw.on("data", () => undefined).resume()
    return Deferred.await(socket.closed).pipe(
      // A finalizer is uninterruptible, and so would be the wait that the timeout has to end.
      Effect.interruptible,
      Effect.timeoutOrElse({
        duration: closeTimeout,
        orElse: () => {
          socket.forced = true
          return destroy(socket)
        }
      })
    )
  }).pipe(Effect.asVoid)

const awaitConnected = (socket: TcpSocket, tls: boolean): Effect.Effect<TcpSocket, TcpConnectionError> =>
  Effect.callback((resume) => {
    const { raw } = socket
    const ready = tls ? "secureConnect" : "connect"
    const onConnect = () => {
      stopListening()
      socket.connected = true
      resume(Effect.succeed(socket))
    }
    const onError = (cause: unknown) => resume(Effect.fail(dialFailed(socket.endpoint, cause)))
    const onClose = () => onError(new Error("the socket was closed before it was connected"))
    const stopListening = () => {
      raw.off(ready, onConnect).off("error", onError).off("close", onClose)
    }
    raw.once(ready, onConnect).once("error", onError).once("close", onClose)
    return Effect.sync(stopListening)
  })

const dialFailed = (endpoint: Endpoint, cause: unknown): TcpConnectionError =>
  new TcpConnectionError({ reason: new DialFailed({ endpoint, cause }) })

const dialTimedOut = (endpoint: Endpoint, after: Duration.Duration): TcpConnectionError =>
  new TcpConnectionError({ reason: new DialTimeout({ endpoint, after }) })

/**
 * Dials, and closes the socket when the scope ends: gracefully if it was connected, at once if it was not. Its descriptor
 * is free when the finalizer has ended.
 *
 * The socket is made, and its finalizer installed, in one uninterruptible step before anything is awaited, so there is no
 * moment at which an interruption can lose it. In a scope that has ended already the finalizer runs at once.
 */
export const dial = (
  endpoint: Endpoint,
  settings: DialSettings
): Effect.Effect<TcpSocket, TcpConnectionError, Scope.Scope> => {
  const make = Effect.flatMap(CurrentClaim, (claim) =>
    Effect.try({
      try: () => watch(endpoint, createRaw(endpoint, settings), claim),
      catch: (cause) => dialFailed(endpoint, cause)
    }))
  const close = (socket: TcpSocket) =>
    Effect.flatMap(CloseTimeout, (ambient) => closeGracefully(socket, settings.closeTimeout ?? ambient.closeTimeout))
  return Effect.flatMap(
    Effect.acquireRelease(make, close),
    (socket) =>
      Effect.timeoutOrElse(awaitConnected(socket, settings.tls !== undefined), {
        duration: settings.connectTimeout,
        orElse: () => Effect.fail(dialTimedOut(endpoint, settings.connectTimeout))
      })
  )
}
