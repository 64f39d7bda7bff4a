/**
 * The bytes of a raw socket: read as they come, and written as fast as the peer takes them.
 *
 * Effect's `NodeSocket.fromDuplex` does the same for any duplex stream. It brings `Schema` along, which is more than half
 * of what a function with a pool and its connections ships; see docs/decisions/0006.
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
import { hold, letGo, type TcpSocket } from "./Socket.ts"

const failWith = (reason: TcpConnectionErrorReason): Effect.Effect<never, TcpConnectionError> =>
  Effect.fail(new TcpConnectionError({ reason }))

const closed = ({ endpoint, raw }: TcpSocket, reused: boolean): Effect.Effect<never, TcpConnectionError> =>
  failWith(new ConnectionClosed({ endpoint, bytesRead: raw.bytesRead, reused }))

/** What broke the connection. What it fails with after we have destroyed it is of our own making. */
const brokenBy = ({ error, forced, raw }: TcpSocket): Error | null => forced ? null : error ?? raw.errored

/** What a read finds: bytes, the end, what broke the connection, or nothing yet. */
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

/**
 * Waits until `outcome` knows what to go on with: it is asked at once, and again with each of the events. Who gives up the
 * wait leaves behind what was asked for, which is noted for good.
 */
const awaiting = <A>(
  socket: TcpSocket,
  events: ReadonlyArray<string>,
  outcome: () => Effect.Effect<A, TcpConnectionError> | undefined,
  keepsAlive: boolean
): Effect.Effect<A, TcpConnectionError> =>
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
      if (keepsAlive) letGo(socket)
    }
    for (const event of events) raw.on(event, onEvent)
    if (keepsAlive) hold(socket)
    return Effect.sync(() => {
      stopListening()
      socket.abandoned = true
    })
  })

const reading = (socket: TcpSocket, keepsAlive: boolean): Effect.Effect<Uint8Array, TcpConnectionError> =>
  awaiting(socket, ["readable", "end", "close"], () => look(socket), keepsAlive)

/** Bytes are taken from the stream only in the step that gives them to the reader, so that an interrupted read loses none. */
export const read = (socket: TcpSocket): Effect.Effect<Uint8Array, TcpConnectionError> => {
  const { readTimeout } = socket.settings
  if (readTimeout === undefined) return reading(socket, true)
  const waiting = timeoutOrElse(reading(socket, true), {
    duration: readTimeout,
    orElse: () => {
      const { endpoint, raw: { bytesRead } } = socket
      return failWith(new ReadTimeout({ endpoint, after: readTimeout, bytesRead }))
    }
  })
  return Effect.suspend(() => look(socket) ?? waiting)
}

/** As {@link read}, for a reader that is always there: without a limit, and the process does not wait for it. */
export const readInBackground = (socket: TcpSocket): Effect.Effect<Uint8Array, TcpConnectionError> =>
  reading(socket, false)

/** Why a socket takes no more bytes. `reused` says that it served before, and has answered nothing since. */
const refusal = (socket: TcpSocket, reused: boolean): Effect.Effect<never, TcpConnectionError> => {
  const cause = brokenBy(socket)
  return cause === null
    ? closed(socket, reused)
    : failWith(new WriteFailed({ endpoint: socket.endpoint, cause, reused }))
}

const hasRoom = ({ raw }: TcpSocket): boolean => raw.writable && !raw.writableNeedDrain

/** Waits until the socket takes more bytes, unless it never will: to one that has ended a `drain` never comes. */
const untilRoom = (socket: TcpSocket, reused: () => boolean): Effect.Effect<void, TcpConnectionError> =>
  awaiting(socket, ["drain", "close"], () => {
    if (!socket.raw.writable) return refusal(socket, reused())
    return hasRoom(socket) ? Effect.void : undefined
  }, true)

/**
 * Waits until there is room, writes the bytes, and waits until there is room again. So a writer that gives up leaves no
 * more than its own bytes behind, and the next one adds nothing to them before they are sent.
 */
export const write = (socket: TcpSocket, data: Uint8Array | string): Effect.Effect<void, TcpConnectionError> => {
  const handOver = Effect.suspend(() => {
    socket.unanswered = true
    return socket.raw.write(data) ? Effect.void : untilRoom(socket, () => socket.served && socket.unanswered)
  })
  return Effect.suspend(() =>
    hasRoom(socket) ? handOver : Effect.andThen(untilRoom(socket, () => socket.served), handOver)
  )
}
