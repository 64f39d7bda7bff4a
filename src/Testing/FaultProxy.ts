/**
 * A TCP proxy between a client and a server. It breaks connections in the ways in which networks do.
 *
 * **Example** (A connection that is reset)
 *
 * ```ts
 * import { Effect } from "effect"
 * import * as Endpoint from "effect-sluice/Endpoint"
 * import * as TcpConnection from "effect-sluice/TcpConnection"
 * import { FaultProxy } from "effect-sluice/Testing"
 * import { createServer } from "node:net"
 *
 * const server = createServer((socket) => socket.on("error", () => {}).pipe(socket)).listen(0, "127.0.0.1")
 * await new Promise((resolve) => server.once("listening", resolve))
 * const { port } = server.address() as { port: number }
 *
 * const program = Effect.gen(function*() {
 *   const proxy = yield* FaultProxy.make(Endpoint.tcp("127.0.0.1", port))
 *   const connection = yield* TcpConnection.connect(proxy.endpoint)
 *   yield* connection.write("hello")
 *   const echo = new TextDecoder().decode(yield* connection.read)
 *   yield* proxy.reset
 *   const ending = yield* connection.closed
 *   return [echo, ending.how, ending.code]
 * }).pipe(Effect.scoped, Effect.ensuring(Effect.sync(() => server.close())))
 *
 * await Effect.runPromise(program) // => ["hello", "Reset", "ECONNRESET"]
 * ```
 *
 * @since 0.1.0
 * @stability stable
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Queue from "effect/Queue"
import * as Scope from "effect/Scope"
import * as Net from "node:net"
import { checkOptions } from "../internal/Options.ts"
import { safeMessage } from "../internal/SafeText.ts"
import { TaggedError } from "../internal/TaggedError.ts"
import type { Endpoint, TcpEndpoint } from "../Resource/Endpoint.ts"
import { tcp } from "../Resource/Endpoint.ts"

/**
 * The proxy could not listen, at the start or after `refuse`.
 *
 * @category errors
 * @since 0.1.0
 * @stability stable
 */
export class FaultProxyError extends TaggedError("FaultProxyError")<{
  readonly port: number
  readonly cause: unknown
}> {
  readonly isRetryable = false
  override get message(): string {
    const port = this.port === 0 ? "any port" : `port ${this.port}`
    return safeMessage(`the proxy cannot listen on ${port} of 127.0.0.1: ${String(this.cause)}`)
  }
}

/**
 * A proxy that forwards everything until a fault is set. Faults can be combined: `delay` and `freeze` apply to bytes,
 * `refuse` to new connections, `cut` and `reset` to the current connections.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export interface FaultProxy {
  /** The address for clients, in place of the server's. */
  readonly endpoint: TcpEndpoint
  /**
   * Delays the bytes that arrive from now on, in both directions, by this time; 0 ends that. The time is that of the `Clock`,
   * so a `TestClock` controls it. Throws `InvalidOption` unless it is finite and 0 or more.
   */
  readonly delay: (by: Duration.Input) => Effect.Effect<void>
  /** Forwards nothing, not even the end of a side: both sides see a silent peer. */
  readonly freeze: Effect.Effect<void>
  /** Ends {@link FaultProxy.freeze}: the delayed bytes are forwarded. */
  readonly thaw: Effect.Effect<void>
  /** Ends all connections gracefully: both sides see the end, after the bytes that were forwarded before. */
  readonly cut: Effect.Effect<void>
  /** Resets all connections: both sides see `ECONNRESET`. */
  readonly reset: Effect.Effect<void>
  /** From now on connects fail with `ECONNREFUSED`. Open connections stay. */
  readonly refuse: Effect.Effect<void>
  /** Ends {@link FaultProxy.refuse}. Fails if another process uses the port now. */
  readonly accept: Effect.Effect<void, FaultProxyError>
  /** The number of connected clients. */
  readonly connections: Effect.Effect<number>
  /** The number of clients that have connected since the start. */
  readonly accepted: Effect.Effect<number>
}

/** An item to forward: bytes, the end of a side, its reset, or its close. */
interface Parcel {
  readonly dueAt: number
  readonly content: Uint8Array | "End" | "Reset" | "Gone"
}

/** When more than this many bytes of one direction are buffered, the sender is paused. A network has such buffers too. */
const mostPending = 1_048_576

interface Link {
  readonly client: Net.Socket
  readonly upstream: Net.Socket
}

interface State {
  readonly flow: Latch.Latch
  readonly links: Set<Link>
  readonly clock: Clock.Clock
  delay: number
  accepted: number
}

const isOver = (socket: Net.Socket): boolean => socket.destroyed || socket.writableEnded

const drained = (socket: Net.Socket): Effect.Effect<void> =>
  Effect.callback((resume) => {
    const onward = () => resume(Effect.void)
    socket.once("drain", onward).once("close", onward)
    return Effect.sync(() => void socket.off("drain", onward).off("close", onward))
  })

const write = (to: Net.Socket, bytes: Uint8Array): Effect.Effect<void> =>
  Effect.suspend(() => isOver(to) || to.write(bytes) ? Effect.void : drained(to))

/**
 * Resets a socket. It is destroyed instead if the end of its own side is being sent: then the kernel refuses a reset, and Node
 * would leak the descriptor.
 */
const reset = (socket: Net.Socket): void => {
  if (socket.writableEnded && !socket.writableFinished) socket.destroy()
  else socket.resetAndDestroy()
}

/** Forwards everything that one side sends, in order, when it is due and the proxy is not frozen. */
const pump = (state: State, from: Net.Socket, to: Net.Socket): Effect.Effect<void> =>
  Effect.gen(function*() {
    const parcels = yield* Queue.unbounded<Parcel>()
    let pending = 0
    const send = (content: Parcel["content"]): void => {
      Queue.offerUnsafe(parcels, { dueAt: state.clock.currentTimeMillisUnsafe() + state.delay, content })
    }
    from.on("data", (bytes: Uint8Array) => {
      pending += bytes.length
      if (pending > mostPending) from.pause()
      send(bytes)
    })
    from.on("end", () => send("End"))
    from.on("error", () => send("Reset"))
    // After an end or an error, the loop below has returned and ignores it.
    from.on("close", () => send("Gone"))
    for (;;) {
      const { content, dueAt } = yield* Queue.take(parcels)
      const wait = dueAt - state.clock.currentTimeMillisUnsafe()
      if (wait > 0) yield* Effect.sleep(Duration.millis(wait))
      yield* state.flow.await
      if (content === "Gone") return
      if (content === "Reset") return reset(to)
      if (content === "End") return void to.end()
      yield* write(to, content)
      pending -= content.length
      if (pending <= mostPending && from.isPaused()) from.resume()
    }
  })

const connectTo = (target: Endpoint): Net.Socket =>
  Net.connect({
    ...(target._tag === "UnixEndpoint" ? { path: target.path } : { host: target.host, port: target.port }),
    allowHalfOpen: true,
    noDelay: true
  })

const sidesOf = ({ client, upstream }: Link): ReadonlyArray<Net.Socket> => [client, upstream]

/** Connects a client to the server; the fibers that forward its bytes end with the scope. */
const takeOver = (
  state: State,
  target: Endpoint,
  client: Net.Socket,
  fork: (effect: Effect.Effect<void>) => void
): void => {
  const link = { client, upstream: connectTo(target) }
  state.accepted++
  state.links.add(link)
  const forget = () => {
    if (sidesOf(link).every((socket) => socket.destroyed)) state.links.delete(link)
  }
  for (const socket of sidesOf(link)) socket.on("close", forget)
  // The pumps start in this step, so that they listen before any event can come.
  fork(pump(state, client, link.upstream))
  fork(pump(state, link.upstream, client))
}

const listen = (server: Net.Server, port: number): Effect.Effect<number, FaultProxyError> =>
  Effect.callback((resume) => {
    const onError = (cause: unknown) => resume(Effect.fail(new FaultProxyError({ port, cause })))
    server.once("error", onError)
    server.listen(port, "127.0.0.1", () => {
      server.off("error", onError)
      // A server that listens on TCP has an address with a port.
      resume(Effect.succeed((server.address() as Net.AddressInfo).port))
    })
  })

const destroyAll = (state: State): void => {
  for (const link of state.links) for (const socket of sidesOf(link)) socket.destroy()
}

const close = (server: Net.Server, state: State): Effect.Effect<void> =>
  Effect.callback((resume) => {
    // After `refuse` the server does not listen, so this reports an error, which is ignored.
    server.close(() => resume(Effect.void))
    destroyAll(state)
  })

const endSide = (socket: Net.Socket): void => {
  socket.removeAllListeners("data")
  socket.removeAllListeners("end")
  socket.end()
  // Unread bytes would hide the end, so they are discarded.
  socket.resume()
}

const controls = (server: Net.Server, state: State, port: number): FaultProxy => {
  const check = checkOptions("FaultProxy")
  return {
    endpoint: tcp("127.0.0.1", port),
    delay: (by) => {
      const millis = check.millis("delay", by, { min: 0 })
      return Effect.sync(() => state.delay = millis)
    },
    freeze: Effect.asVoid(state.flow.close),
    thaw: Effect.asVoid(state.flow.open),
    cut: Effect.sync(() => {
      for (const link of state.links) sidesOf(link).forEach(endSide)
    }),
    reset: Effect.sync(() => {
      for (const link of state.links) sidesOf(link).forEach(reset)
    }),
    refuse: Effect.sync(() => void server.close()),
    accept: Effect.suspend(() => server.listening ? Effect.void : Effect.asVoid(listen(server, port))),
    connections: Effect.sync(() => state.links.size),
    accepted: Effect.sync(() => state.accepted)
  }
}

/**
 * Starts a proxy on a free port of 127.0.0.1 that forwards everything to `target`. The scope closes it and its connections.
 * If the target cannot be reached, the client's connection is reset.
 *
 * @category constructors
 * @since 0.1.0
 * @stability stable
 */
export const make = (target: Endpoint): Effect.Effect<FaultProxy, FaultProxyError, Scope.Scope> =>
  Effect.gen(function*() {
    // A child scope for the fibers of all clients, which is closed after the resources that the caller acquires later.
    const scope = yield* Scope.fork(yield* Effect.scope)
    const state: State = {
      flow: Latch.makeUnsafe(true),
      links: new Set(),
      clock: yield* Clock.Clock,
      delay: 0,
      accepted: 0
    }
    const context = yield* Effect.context<never>()
    const fork = (effect: Effect.Effect<void>) =>
      void Effect.runForkWith(context)(Effect.forkIn(effect, scope, { startImmediately: true }))
    const server = Net.createServer(
      { allowHalfOpen: true, noDelay: true },
      (client) => takeOver(state, target, client, fork)
    )
    const port = yield* Effect.acquireRelease(listen(server, 0), () => close(server, state))
    return controls(server, state, port)
  })
