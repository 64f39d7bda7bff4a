/**
 * One port of the server: a JSON-RPC listener that misbehaves on schedule, and counts it.
 */
import * as Clock from "effect/Clock"
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import * as Net from "node:net"
import * as Misbehaviour from "./Misbehaviour.ts"

/** The state that all listeners of a server share. Callbacks of sockets change the counts in place. */
export interface Shared {
  readonly sockets: Set<Net.Socket>
  readonly counts: {
    opened: number
    graceful: number
    reset: number
    outages: number
    idleCloses: number
    resets: number
    slow: number
    mutes: number
  }
  /** Completes at the first connection to any port, which starts the schedule of outages. */
  readonly begun: Deferred.Deferred<void>
}

/** One accepted connection. */
interface Peer {
  readonly socket: Net.Socket
  /** Requests that will be answered. */
  pending: number
  lastActive: number
  mute: boolean
  wasReset: boolean
  rest: string
}

interface Listener {
  readonly shared: Shared
  readonly peers: Set<Peer>
  readonly workers: Semaphore.Semaphore
  readonly clock: Clock.Clock
  requests: number
}

const decodeRequest = Schema.decodeUnknownOption(Schema.fromJsonString(Schema.Struct({ id: Schema.Int })))

const send = (peer: Peer, id: number): Effect.Effect<void> =>
  Effect.sync(() => {
    if (peer.socket.writable) peer.socket.write(`{"jsonrpc":"2.0","id":${id},"result":"pong"}\n`)
  })

/** Sends half of a reply, and resets the connection once the kernel has it. */
const sendHalfAndReset = (peer: Peer, id: number): Effect.Effect<void> =>
  Effect.sync(() => {
    if (!peer.socket.writable) return
    peer.socket.write(`{"jsonrpc":"2.0","id":${id},"res`, () => {
      peer.wasReset = true
      peer.socket.resetAndDestroy()
    })
  })

const answer = (listener: Listener, peer: Peer, id: number): Effect.Effect<void> => {
  const { counts } = listener.shared
  const work = listener.workers.withPermits(1)(Effect.sleep(Misbehaviour.serviceMillis))
  switch (Misbehaviour.fateOf(++listener.requests)) {
    case "Answer":
      return Effect.andThen(work, send(peer, id))
    case "Slow":
      counts.slow++
      return Effect.andThen(Effect.sleep(Misbehaviour.slowMillis), send(peer, id))
    case "Reset":
      counts.resets++
      return Effect.andThen(work, sendHalfAndReset(peer, id))
    case "Mute":
      counts.mutes++
      peer.mute = true
      return Effect.void
  }
}

const receive = (listener: Listener, peer: Peer, line: string): Effect.Effect<void> =>
  Effect.suspend(() => {
    const request = decodeRequest(line)
    if (peer.mute || Option.isNone(request)) return Effect.void
    peer.pending++
    return Effect.ensuring(
      answer(listener, peer, request.value.id),
      Effect.sync(() => {
        peer.pending--
        peer.lastActive = listener.clock.currentTimeMillisUnsafe()
      })
    )
  })

/** Splits input into lines. Requests are short and peers few, so plain concatenation is enough. */
const linesOf = (peer: Peer, chunk: string): ReadonlyArray<string> => {
  const lines = (peer.rest + chunk).split("\n")
  peer.rest = lines.pop() ?? ""
  return lines
}

const forget = (listener: Listener, peer: Peer, broken: boolean): void => {
  const { counts, sockets } = listener.shared
  listener.peers.delete(peer)
  sockets.delete(peer.socket)
  if (broken || peer.wasReset) counts.reset++
  else counts.graceful++
}

const accept = (listener: Listener, run: (effect: Effect.Effect<void>) => void) => (socket: Net.Socket): void => {
  const { begun, counts, sockets } = listener.shared
  const lastActive = listener.clock.currentTimeMillisUnsafe()
  const peer: Peer = { socket, pending: 0, lastActive, mute: false, wasReset: false, rest: "" }
  counts.opened++
  sockets.add(socket)
  listener.peers.add(peer)
  Deferred.doneUnsafe(begun, Effect.void)
  socket.setEncoding("utf8")
  socket.on("data", (chunk: string) => {
    for (const line of linesOf(peer, chunk)) run(receive(listener, peer, line))
  })
  // An error is followed by `close`, which counts it.
  socket.on("error", () => {})
  socket.on("close", (broken) => forget(listener, peer, broken))
}

/** The server could not listen. */
export class ListenFailed extends Data.TaggedError("ListenFailed")<{
  readonly port: number
  readonly cause: Error
}> {
  override get message(): string {
    return `cannot listen on 127.0.0.1:${this.port}: ${this.cause.message}`
  }
}

const listen = (server: Net.Server, port: number): Effect.Effect<void, ListenFailed> =>
  Effect.callback((resume) => {
    server.once("error", (cause) => resume(Effect.fail(new ListenFailed({ port, cause }))))
    server.listen(port, "127.0.0.1", 1024, () => {
      server.removeAllListeners("error")
      resume(Effect.void)
    })
  })

/** Closes idle connections, like a server with a keep-alive timeout. */
const closeIdle = (listener: Listener): Effect.Effect<void> =>
  Effect.sync(() => {
    const limit = listener.clock.currentTimeMillisUnsafe() - Misbehaviour.idleMillis
    for (const peer of listener.peers) {
      if (peer.mute || peer.pending > 0 || peer.lastActive > limit || !peer.socket.writable) continue
      listener.shared.counts.idleCloses++
      peer.socket.end()
    }
  })

/** Closes the listener, ends its connections, and listens again later. Meanwhile the kernel refuses connects. */
const fail = (listener: Listener, server: Net.Server, port: number, outage: Misbehaviour.Outage) =>
  Effect.gen(function*() {
    listener.shared.counts.outages++
    server.close()
    for (const peer of listener.peers) peer.socket.end()
    yield* Effect.sleep(outage.until - outage.from)
    // Another process may have taken the port, which is ephemeral.
    yield* Effect.retry(listen(server, port), Schedule.spaced("20 millis"))
  })

const failOnSchedule = (listener: Listener, server: Net.Server, port: number, index: number) =>
  Effect.gen(function*() {
    yield* Deferred.await(listener.shared.begun)
    const start = listener.clock.currentTimeMillisUnsafe()
    for (const outage of Misbehaviour.outagesOf(index)) {
      yield* Effect.sleep(start + outage.from - listener.clock.currentTimeMillisUnsafe())
      yield* fail(listener, server, port, outage)
    }
  })

/**
 * Listens on an ephemeral port until the scope closes, which destroys its connections. Succeeds with the port. `index`
 * selects its outages.
 */
export const listener = (shared: Shared, index: number): Effect.Effect<number, ListenFailed, Scope.Scope> =>
  Effect.gen(function*() {
    const run = yield* FiberSet.makeRuntime<never, void, never>()
    const state: Listener = {
      shared,
      peers: new Set(),
      workers: Semaphore.makeUnsafe(Misbehaviour.workers),
      clock: yield* Clock.Clock,
      requests: 0
    }
    const server = Net.createServer({ noDelay: true }, accept(state, run))
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        server.close()
        for (const peer of state.peers) peer.socket.destroy()
      })
    )
    yield* listen(server, 0)
    const address = server.address()
    const port = typeof address === "object" && address !== null ? address.port : 0
    yield* Effect.forkScoped(Effect.repeat(closeIdle(state), Schedule.spaced("50 millis")))
    yield* Effect.forkScoped(failOnSchedule(state, server, port, index))
    return port
  })
