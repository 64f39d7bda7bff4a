/**
 * The bytes of a raw socket: read as they come, and written as fast as the peer takes them.
 *
 * Effect's `NodeSocket.fromDuplex` does the same for any duplex stream. It brings `Schema` along, which is more than half
 * of what a function with a pool and its connections ships; see docs/decisions/0006.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import { ConnectionClosed, ReadFailed, TcpConnectionError, WriteFailed } from "./TcpConnectionError.ts"
import type { TcpSocket } from "./TcpSocket.ts"

const closed = ({ endpoint, raw }: TcpSocket): Effect.Effect<never, TcpConnectionError> =>
  Effect.fail(new TcpConnectionError({ reason: new ConnectionClosed({ endpoint, bytesRead: raw.bytesRead }) }))

/** What a read finds: bytes, the end, what broke the connection, or nothing yet. */
const look = (socket: TcpSocket): Effect.Effect<Uint8Array, TcpConnectionError> | undefined => {
  const { endpoint, raw } = socket
  if (socket.closing) return closed(socket)
  const bytes: Uint8Array | null = raw.destroyed ? null : raw.read()
  if (bytes !== null) return Effect.succeed(bytes)
  if (raw.errored !== null) {
    return Effect.fail(new TcpConnectionError({ reason: new ReadFailed({ endpoint, cause: raw.errored }) }))
  }
  return raw.readableEnded || raw.destroyed ? closed(socket) : undefined
}

/** Bytes are taken from the stream only in the step that gives them to the reader, so that an interrupted read loses none. */
export const read = (socket: TcpSocket): Effect.Effect<Uint8Array, TcpConnectionError> =>
  Effect.callback((resume) => {
    const { raw } = socket
    const atOnce = look(socket)
    if (atOnce !== undefined) return resume(atOnce)
    const onEvent = () => {
      const found = look(socket)
      if (found === undefined) return
      stopListening()
      resume(found)
    }
    const stopListening = () => {
      for (const event of ["readable", "end", "close"]) raw.off(event, onEvent)
    }
    for (const event of ["readable", "end", "close"]) raw.on(event, onEvent)
    return Effect.sync(stopListening)
  })

/** Why a socket takes no more bytes. What it fails with after we have destroyed it is of our own making. */
const refusal = (socket: TcpSocket): Effect.Effect<never, TcpConnectionError> => {
  const { endpoint, raw } = socket
  return socket.forced || raw.errored === null
    ? closed(socket)
    : Effect.fail(new TcpConnectionError({ reason: new WriteFailed({ endpoint, cause: raw.errored }) }))
}

/** Hands over bytes, and waits until there is room for more. */
export const write = (socket: TcpSocket, data: Uint8Array | string): Effect.Effect<void, TcpConnectionError> =>
  Effect.callback((resume) => {
    const { raw } = socket
    // A write to a socket that has ended would wait for a `drain` that never comes.
    if (!raw.writable) return resume(refusal(socket))
    if (raw.write(data)) return resume(Effect.void)
    const onDrain = () => {
      stopListening()
      resume(Effect.void)
    }
    const onClose = () => {
      stopListening()
      resume(refusal(socket))
    }
    const stopListening = () => {
      raw.off("drain", onDrain).off("close", onClose)
    }
    raw.once("drain", onDrain).once("close", onClose)
    return Effect.sync(stopListening)
  })
