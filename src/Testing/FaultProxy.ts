/**
 * A TCP proxy between a client and a server that breaks the connection in the ways in which networks do.
 *
 * **Example** (A server that is cut off in the middle)
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
 * The proxy could not listen, at first or again after it had refused.
 *
 * @category errors
 * @since 0.1.0
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
 * A proxy that passes everything on until it is told otherwise. Its faults can be combined: `delay` and `freeze` are about
 * bytes, `refuse` about new connections, `cut` and `reset` about the connections of this moment.
 *
 * @category models
 * @since 0.1.0
 */
export interface FaultProxy {
  /** Where clients connect instead of connecting to the server. */
  readonly endpoint: TcpEndpoint
  /**
   * What arrives from now on, in either direction, is passed on that much later, in order; 0 ends it. The time is the
   * `Clock`'s, so with a `TestClock` it passes when the test says so. Throws `InvalidOption` unless it is finite and 0 or more.
   */
  readonly delay: (by: Duration.Input) => Effect.Effect<void>
  /** Nothing is passed on any more, not even an end: both sides see a peer that has fallen silent. */
  readonly freeze: Effect.Effect<void>
  /** Ends {@link FaultProxy.freeze}: what has waited is passed on. */
  readonly thaw: Effect.Effect<void>
  /** Ends all connections as a peer does that closes: both sides see the end, after what was passed on before. */
  readonly cut: Effect.Effect<void>
  /** Resets all connections: both sides see `ECONNRESET`. */
  readonly reset: Effect.Effect<void>
  /** From now on connects fail with `ECONNREFUSED`. Connections that are there stay. */
  readonly refuse: Effect.Effect<void>
  /** Ends {@link FaultProxy.refuse}. Fails when somebody else has taken the port meanwhile. */
  readonly accept: Effect.Effect<void, FaultProxyError>
  /** Clients that are connected now. */
  readonly connections: Effect.Effect<number>
  /** Clients that have connected since the start. */
  readonly accepted: Effect.Effect<number>
}

/** What waits to be passed on: bytes, the end of a side, or the news that it broke or is gone. */
interface Parcel {
  readonly dueAt: number
  readonly content: Uint8Array | "End" | "Reset" | "Gone"
}

/** So many bytes of one direction are kept before the sender has to wait, as a network's buffers would. */
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
 * Resets a socket. While the end of our side is on its way the kernel refuses a reset, and Node then keeps the descriptor open
 * for good, so that such a socket is destroyed.
 */
const reset = (socket: Net.Socket): void => {
  if (socket.writableEnded && !socket.writableFinished) socket.destroy()
  else socket.resetAndDestroy()
}

/** Passes on what one side sends, in order, when it is due and nothing is frozen. */
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
    // After an end or an error nobody is there any more to take it.
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

/** Takes a client over; the fibers that pass its bytes on end with the scope. */
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
  // The pumps have their listeners before any event can come: they start in this step.
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
    // One that refuses does not listen any more, which is no failure.
    server.close(() => resume(Effect.void))
    destroyAll(state)
  })

const endSide = (socket: Net.Socket): void => {
  socket.removeAllListeners("data")
  socket.removeAllListeners("end")
  socket.end()
  // What still arrives is for nobody, and would keep the end from being seen.
  socket.resume()
}

const controls = (server: Net.Server, state: State, port: number): FaultProxy => {
  const check = checkOptions("FaultProxy")
  return {
    endpoint: tcp("127.0.0.1", port),
    delay: (by) => {
      const millis = Duration.toMillis(check.duration("delay", by, { min: 0 }))
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
 * Starts a proxy on a free port of 127.0.0.1 that passes everything on to `target`, until the scope ends. Then it closes
 * everything. Where the target cannot be reached, the client's connection is reset.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (target: Endpoint): Effect.Effect<FaultProxy, FaultProxyError, Scope.Scope> =>
  Effect.gen(function*() {
    // What clients come with later must not end before what was acquired in the caller's scope after this proxy.
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
