/**
 * Reads and writes the bytes of a raw socket, with back-pressure.
 *
 * Effect's `NodeSocket.fromDuplex` does the same for any duplex stream. It is not used because it imports `Schema`, which would
 * be more than half of the bundle of a function with a pool; see docs/decisions/0006.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import { timeoutOrElse } from "../../../internal/Timeout.ts"
import {
  ConnectionClosed,
  ReadFailed,
  ReadTimeout,
  TcpConnectionError,
  type TcpConnectionErrorReason,
  WriteFailed
} from "../../TcpConnectionError.ts"
import { awaitEvents, type TcpSocket } from "./Socket.ts"

const failWith = (reason: TcpConnectionErrorReason): Effect.Effect<never, TcpConnectionError> =>
  Effect.fail(new TcpConnectionError({ reason }))

const closed = ({ endpoint, raw }: TcpSocket, reused: boolean): Effect.Effect<never, TcpConnectionError> =>
  failWith(new ConnectionClosed({ endpoint, bytesRead: raw.bytesRead, reused }))

/** The error that broke the connection; `null` if this side has destroyed it, because later errors follow from that. */
const brokenBy = ({ error, forced, raw }: TcpSocket): Error | null => forced ? null : error ?? raw.errored

/** The result of a read: bytes, the end, or the error of the connection; `undefined` while there is none. */
const look = (socket: TcpSocket): Effect.Effect<Uint8Array, TcpConnectionError> | undefined => {
  const { endpoint, raw } = socket
  const reused = socket.served && socket.unanswered
  if (socket.closing && socket.rest === null) return closed(socket, reused)
  const bytes: Uint8Array | null = socket.rest ?? (raw.destroyed ? null : raw.read())
  socket.rest = null
  if (bytes !== null) {
    socket.served ||= socket.unanswered
    socket.unanswered = false
    return Effect.succeed(bytes)
  }
  const cause = brokenBy(socket)
  if (cause !== null) return failWith(new ReadFailed({ endpoint, cause, reused }))
  return raw.readableEnded || raw.destroyed ? closed(socket, reused) : undefined
}

const readNext = (socket: TcpSocket, keepsAlive: boolean): Effect.Effect<Uint8Array, TcpConnectionError> =>
  awaitEvents(socket, ["readable", "end", "close"], () => look(socket), keepsAlive)

/** Takes bytes from the stream only in the step that passes them to the reader, so that an interrupted read loses no bytes. */
export const read = (socket: TcpSocket): Effect.Effect<Uint8Array, TcpConnectionError> => {
  const { readTimeout } = socket.settings
  if (readTimeout === undefined) return readNext(socket, true)
  const waiting = timeoutOrElse(readNext(socket, true), {
    duration: readTimeout,
    orElse: () => {
      const { endpoint, raw: { bytesRead } } = socket
      return failWith(new ReadTimeout({ endpoint, after: readTimeout, bytesRead }))
    }
  })
  return Effect.suspend(() => look(socket) ?? waiting)
}

/** As {@link read}, for a fiber that reads all the time: it has no timeout and does not keep the process alive. */
export const readInBackground = (socket: TcpSocket): Effect.Effect<Uint8Array, TcpConnectionError> =>
  readNext(socket, false)

/** The error of a write to a closed socket. */
const refusal = (socket: TcpSocket, reused: boolean): Effect.Effect<never, TcpConnectionError> => {
  const cause = brokenBy(socket)
  return cause === null
    ? closed(socket, reused)
    : failWith(new WriteFailed({ endpoint: socket.endpoint, cause, reused }))
}

const hasSpace = ({ raw }: TcpSocket): boolean => raw.writable && !raw.writableNeedDrain

/** Waits until the socket accepts more bytes. Fails if the socket has ended, because then no `drain` event comes. */
const untilSpace = (socket: TcpSocket, reused: () => boolean): Effect.Effect<void, TcpConnectionError> =>
  awaitEvents(socket, ["drain", "close"], () => {
    if (!socket.raw.writable) return refusal(socket, reused())
    return hasSpace(socket) ? Effect.void : undefined
  }, true)

/**
 * Waits until the buffer has space, writes the bytes, and waits until the buffer has space again. So each writer adds its bytes
 * only after those of the writers before it are sent, even if one of these was interrupted.
 */
export const write = (socket: TcpSocket, data: Uint8Array | string): Effect.Effect<void, TcpConnectionError> => {
  const send = Effect.suspend(() => {
    socket.unanswered = true
    return socket.raw.write(data) ? Effect.void : untilSpace(socket, () => socket.served && socket.unanswered)
  })
  return Effect.suspend(() => hasSpace(socket) ? send : Effect.andThen(untilSpace(socket, () => socket.served), send))
}
