/**
 * Watches a raw socket from its connection to its end, and closes it gracefully within a timeout.
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
 * - `Forced`: this side destroyed the socket: by `abort`, or because the peer did not end its side within `closeTimeout`.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
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

/** A raw socket and its state. */
export interface TcpSocket {
  readonly endpoint: Endpoint
  readonly settings: UseSettings
  readonly raw: Net.Socket
  /** Done as soon as the peer has ended its side, or the socket has ended: it must not be leased any more. */
  readonly dead: Deferred.Deferred<void>
  /** Done when the socket is closed and its descriptor is free. */
  readonly closed: Deferred.Deferred<Ending>
  /** Whether the name of its endpoint still has its address. */
  readonly isCurrent: () => boolean
  /** Ready for use: connected, and with TLS after its handshake. */
  connected: boolean
  /** Reserves the descriptor again at the gate, if its dial has not ended. */
  readonly reclaim: () => void
  /** It is closing, and bytes that arrive are discarded. A read fails then, because reading would interfere with that. */
  closing: boolean
  forced: boolean
  /** A read or write was interrupted while it waited: an answer may still come, or data may have been sent only in part. */
  abandoned: boolean
  /** Bytes were written since the last read that returned some. */
  unanswered: boolean
  /** A read has returned bytes after a write. */
  served: boolean
  /** How many reads, writes and closes keep the process alive. */
  waiting: number
  /** The first error that this side did not cause. TLS may emit an error without ending the stream. */
  error: NodeJS.ErrnoException | undefined
  /** Bytes that were received before the peer's end, and not read when closing began. */
  rest: Uint8Array | null
}

/**
 * Whether the peer's end has arrived, also if there are unread bytes before it. Node emits `end` only when everything has been
 * read, and nothing reads from an idle connection, so only the stream's internal state shows the end. That field is not part of
 * Node's types, so there is a cast. If Node removes it, the end is noticed when the connection is used next.
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
 * Watches a socket from the step in which it is created or connected, so that no event is missed. The listeners are never
 * removed, so that there is a listener for a late `error` event.
 */
export const watch = (
  endpoint: Endpoint,
  raw: Net.Socket,
  { isCurrent, reclaim, settings }: Pick<TcpSocket, "isCurrent" | "reclaim" | "settings">
): TcpSocket => {
  const socket: TcpSocket = {
    endpoint,
    settings,
    raw,
    dead: Deferred.makeUnsafe(),
    closed: Deferred.makeUnsafe(),
    isCurrent,
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
    // Reading 0 bytes makes a stream that has ended emit `end`, and has no effect on other streams.
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

/** Marks the socket as ready for use. */
export const ready = (socket: TcpSocket): TcpSocket => {
  socket.connected = true
  if (socket.settings.allowExitOnIdle) socket.raw.unref()
  return socket
}

/** Keeps the process alive while a read, a write or the closing waits. */
const hold = (socket: TcpSocket): void => {
  socket.waiting++
  if (socket.waiting === 1 && socket.settings.allowExitOnIdle) socket.raw.ref()
}

/** Undoes one {@link hold}. */
const unref = (socket: TcpSocket): void => {
  socket.waiting--
  if (socket.waiting === 0 && socket.settings.allowExitOnIdle) socket.raw.unref()
}

/**
 * Waits for a result of `outcome`, which is called at once and again on each of the events. An interrupted wait marks the
 * socket as abandoned for good, because its answer may still come.
 */
export const awaitEvents = <A, E>(
  socket: TcpSocket,
  events: ReadonlyArray<string>,
  outcome: () => Effect.Effect<A, E> | undefined,
  keepsAlive: boolean
): Effect.Effect<A, E> =>
  Effect.callback((resume) => {
    const { raw } = socket
    const atOnce = outcome()
    if (atOnce !== undefined) return resume(atOnce)
    const onEvent = () => {
      const found = outcome()
      if (found === undefined) return
      stopListening()
      resume(found)
    }
    const stopListening = () => {
      for (const event of events) raw.off(event, onEvent)
      if (keepsAlive) unref(socket)
    }
    for (const event of events) raw.on(event, onEvent)
    if (keepsAlive) hold(socket)
    return Effect.sync(() => {
      stopListening()
      socket.abandoned = true
    })
  })

const destroy = (socket: TcpSocket): Effect.Effect<Ending> =>
  Effect.suspend(() => {
    socket.raw.destroy()
    return Deferred.await(socket.closed)
  })

/** Destroys the socket at once. If it has already ended, its `Ending` does not change. */
export const abort = (socket: TcpSocket): Effect.Effect<void> =>
  Effect.suspend(() => {
    socket.closing = true
    socket.forced ||= !socket.raw.destroyed
    return destroy(socket)
  }).pipe(Effect.asVoid)

/**
 * Sends the data that was written, ends our side, waits for the peer's end for at most `closeTimeout`, then destroys the
 * socket. A peer that is stuck delays no other connection.
 */
export const closeGracefully = (socket: TcpSocket, closeTimeout: Duration.Duration): Effect.Effect<void> =>
  Effect.suspend(() => {
    socket.reclaim()
    if (!socket.connected) return destroy(socket)
    const { raw } = socket
    socket.closing = true
    hold(socket)
    // A pool closes a leased connection when its peer has ended. The borrower may not have read the whole answer by then.
    if (hasPeerEnded(raw) && !raw.destroyed) socket.rest = raw.read()
    raw.end()
    // With unread bytes Node does not emit the peer's end, so they are discarded. For that the stream must flow: it needs a
    // listener for `data`, and must have none for `readable`.
    raw.removeAllListeners("readable")
    raw.on("data", () => undefined).resume()
    return Deferred.await(socket.closed).pipe(
      // A finalizer is uninterruptible, but the timeout has to interrupt this wait.
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

/** Leaves reading to a driver: a listener for `readable` would keep `data` from flowing. The end is noticed by `end` and `close`. */
export const unread = ({ raw }: TcpSocket): void => {
  raw.removeAllListeners("readable")
}

/**
 * Waits up to `closeTimeout` for the end of a socket whose driver has ended it, then destroys it. One that no driver has ended is
 * destroyed at once.
 */
export const awaitDriver = (socket: TcpSocket, closeTimeout: Duration.Duration): Effect.Effect<void> =>
  Effect.suspend(() => {
    socket.reclaim()
    return Deferred.await(socket.closed).pipe(
      // A finalizer is uninterruptible, and so would be the wait that the timeout has to end.
      Effect.interruptible,
      (closed) => timeoutOrElse(closed, { duration: closeTimeout, orElse: () => abort(socket) })
    )
  }).pipe(Effect.asVoid)
