/**
 * One raw socket from the moment at which it is connected to its end: it is watched, and closed gracefully within a deadline.
 *
 * @since 0.1.0
 */
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Net from "node:net"
import { timeoutOrElse } from "../../../internal/Timeout.ts"
import type { Endpoint } from "../../Endpoint.ts"

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

/** How a socket is to be used. */
export interface UseSettings {
  /** How long a read may wait; `undefined` for any time. */
  readonly readTimeout: Duration.Duration | undefined
  /** Whether it keeps the process alive only while a read or write waits. */
  readonly allowExitOnIdle: boolean
}

/** A raw socket and what has become of it. */
export interface TcpSocket {
  readonly endpoint: Endpoint
  readonly settings: UseSettings
  readonly raw: Net.Socket
  /** Done as soon as the peer has ended its side or the socket is gone: it must not be leased any more. */
  readonly dead: Deferred.Deferred<void>
  /** Done when the socket is closed and its descriptor is free. */
  readonly closed: Deferred.Deferred<Ending>
  /** It is ready for use: connected, and with TLS past its handshake. */
  connected: boolean
  /** Claims the descriptor's room again if the opening goes on without it. */
  readonly reclaim: () => void
  /** It is being closed, and what still arrives is discarded: a reader would keep it from flowing. */
  closing: boolean
  forced: boolean
  /** A read or write was given up while it waited: what it asked for may still come, what it wrote may be sent in part. */
  abandoned: boolean
  /** Bytes were written since the last read that returned some. */
  unanswered: boolean
  /** A read has returned bytes after a write. */
  served: boolean
  /** How many wait for something to happen to it. */
  waiting: number
  /** The first error that the socket met by itself. With TLS one may be announced without ending the stream. */
  error: NodeJS.ErrnoException | undefined
  /** What had come before the peer's end and was not read when the closing began. */
  rest: Uint8Array | null
}

/**
 * Whether the peer's end has arrived, also while unread bytes are still buffered before it. Node emits `end` only when
 * everything has been read, and an idle connection is not read from, so only the stream's own state shows it.
 * Node's types lack the field, so it is cast; without it such a peer would be noticed on the next use.
 */
const hasPeerEnded = (raw: Net.Socket): boolean =>
  (raw as unknown as { readonly _readableState?: { readonly ended?: boolean } })._readableState?.ended === true

const endingOf = ({ error, forced, raw }: TcpSocket): Ending => ({
  how: forced ? "Forced" : error === undefined ? "Graceful" : "Reset",
  code: error && (error.code ?? error.name),
  bytesRead: raw.bytesRead,
  bytesWritten: raw.bytesWritten
})

/**
 * Watches a socket from the step in which it is made or connected, so that nothing that happens to it is missed. The
 * listeners stay for the socket's whole life, so that no late `error` event is ever unhandled.
 */
export const watch = (
  endpoint: Endpoint,
  raw: Net.Socket,
  { reclaim, settings }: Pick<TcpSocket, "reclaim" | "settings">
): TcpSocket => {
  const socket: TcpSocket = {
    endpoint,
    settings,
    raw,
    dead: Deferred.makeUnsafe(),
    closed: Deferred.makeUnsafe(),
    connected: false,
    reclaim,
    closing: false,
    forced: false,
    abandoned: false,
    unanswered: false,
    served: false,
    waiting: 0,
    error: undefined,
    rest: null
  }
  const die = () => Deferred.doneUnsafe(socket.dead, Exit.void)
  raw.on("readable", () => {
    // Reading nothing makes an ended stream say so, and is without effect on any other.
    if (raw.readableLength === 0) raw.read(0)
    if (hasPeerEnded(raw)) die()
  })
  raw.on("end", die)
  raw.on("error", (error: NodeJS.ErrnoException) => {
    if (!socket.forced) socket.error ??= error
    die()
  })
  raw.on("close", () => {
    die()
    Deferred.doneUnsafe(socket.closed, Exit.succeed(endingOf(socket)))
  })
  return socket
}

/** The socket is ready for use. */
export const ready = (socket: TcpSocket): TcpSocket => {
  socket.connected = true
  if (socket.settings.allowExitOnIdle) socket.raw.unref()
  return socket
}

/** A read, a write or the closing waits for the socket: the process must not end although it has nothing else to do. */
export const hold = (socket: TcpSocket): void => {
  socket.waiting++
  if (socket.waiting === 1 && socket.settings.allowExitOnIdle) socket.raw.ref()
}

/** Undoes one {@link hold}. */
export const letGo = (socket: TcpSocket): void => {
  socket.waiting--
  if (socket.waiting === 0 && socket.settings.allowExitOnIdle) socket.raw.unref()
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
 * A peer that is stuck costs its own deadline and no other's.
 */
export const closeGracefully = (socket: TcpSocket, closeTimeout: Duration.Duration): Effect.Effect<void> =>
  Effect.suspend(() => {
    socket.reclaim()
    if (!socket.connected) return destroy(socket)
    const { raw } = socket
    socket.closing = true
    hold(socket)
    // A pool closes a connection whose peer has ended under its borrower, who may not have read all of the answer.
    if (hasPeerEnded(raw) && !raw.destroyed) socket.rest = raw.read()
    raw.end()
    // Unread bytes would keep the peer's end from being seen, so whatever still arrives is discarded. A stream with a
    // `readable` listener does not flow, and one that has just lost its last is stopped again unless it has one for `data`.
    raw.removeAllListeners("readable")
    raw.on("data", () => undefined).resume()
    return Deferred.await(socket.closed).pipe(
      // A finalizer is uninterruptible, and so would be the wait that the timeout has to end.
      Effect.interruptible,
      (closed) =>
        timeoutOrElse(closed, {
          duration: closeTimeout,
          orElse: () => {
            socket.forced = true
            return destroy(socket)
          }
        })
    )
  }).pipe(Effect.asVoid)
