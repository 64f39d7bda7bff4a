/**
 * A program that ends in one of many ways while its connections are in one of many states. It prints `ready` when they are,
 * and waits for a line on stdin before it ends.
 *
 * Usage: node exit-child.ts WAY STATE PORT
 */
import type * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Fs from "node:fs"
import * as ResourceMonitor from "../../src/Monitor/ResourceMonitor.ts"
import * as ConnectionPool from "../../src/Pool/ConnectionPool.ts"
import * as Endpoint from "../../src/Resource/Endpoint.ts"
import * as TcpConnection from "../../src/Resource/TcpConnection.ts"
import * as RetryPolicy from "../../src/Retry/RetryPolicy.ts"
import * as Main from "../../src/Serverless/Main.ts"
import { cleanupTimeout, closeTimeout, pending, type State, type Way } from "./exit-cells.ts"

class Failed extends Data.TaggedError("Failed")<{}> {
  override readonly message = "a typed failure"
}

const [way, state, port] = process.argv.slice(2) as [Way, State, string]
const endpoint = Endpoint.tcp("127.0.0.1", Number(port))

class Peers extends ConnectionPool.Service<Peers>()("test/Peers", {
  connector: TcpConnection.connector({ tls: state === "a connect in progress" }),
  maxPerEndpoint: 3,
  closeTimeout,
  connectTimeout: "700 millis",
  retry: RetryPolicy.make({ maxAttempts: 1 })
}) {}

const borrow = Peers.withConnection(endpoint, (connection) => Effect.andThen(connection.write("x"), connection.read))

/** Has three connections open at once, and gives them back. */
const three = Effect.gen(function*() {
  const all = yield* Deferred.make<void>()
  let open = 0
  const one = Peers.withConnection(endpoint, (connection) =>
    Effect.andThen(connection.write("x"), () => {
      if (++open === 3) Deferred.doneUnsafe(all, Effect.void)
      return Deferred.await(all)
    }))
  yield* Effect.all([one, one, one], { concurrency: "unbounded", discard: true })
})

/** Borrows a connection and keeps it for good. */
const held = (
  use: (connection: TcpConnection.TcpConnection) => Effect.Effect<unknown, TcpConnection.TcpConnectionError>
) =>
  Effect.gen(function*() {
    const begun = yield* Deferred.make<void>()
    const one = Peers.withConnection(
      endpoint,
      (connection) => Effect.andThen(Deferred.done(begun, Exit.void), use(connection))
    )
    yield* Effect.forkDetach(one, { startImmediately: true })
    yield* Deferred.await(begun)
    yield* Effect.sleep("100 millis")
  })

type Unprepared = ConnectionPool.PoolError | TcpConnection.TcpConnectionError

/** Brings the connections into their state. */
const prepare: Record<State, Effect.Effect<unknown, Unprepared, Peers>> = {
  "idle connections": three,
  "a hung peer": three,
  "a connection in use": held((connection) =>
    Effect.andThen(connection.write(new Uint8Array(pending)), connection.read)
  ),
  "unread bytes": held((connection) => Effect.andThen(connection.write("x"), Effect.never)),
  "a connect in progress": Effect.gen(function*() {
    yield* Effect.forkDetach(Effect.ignore(borrow), { startImmediately: true })
    yield* Effect.sleep("100 millis")
  }),
  "a close in progress": Effect.gen(function*() {
    yield* three
    yield* ConnectionPool.evict(yield* Peers)
    yield* Effect.sleep("50 millis")
  })
}

const forever = Effect.sleep("1 hour")

/** Something that the process has let go of: it keeps nothing alive any more. */
const letGo = Effect.sync(() => {
  process.stdin.destroy()
  const handles = (process as unknown as { _getActiveHandles: () => Array<{ unref?: () => void }> })._getActiveHandles()
  for (const handle of handles) handle.unref?.()
})

const onTimer = (act: () => void) => Effect.andThen(Effect.sync(() => setTimeout(act, 1)), forever)

const end: Record<Way, Effect.Effect<unknown, Failed | Cause.TimeoutError>> = {
  "success": Effect.void,
  "typed failure": Effect.fail(new Failed()),
  "defect": Effect.die(new Error("a defect")),
  "interruption": Effect.interrupt,
  "timeout": Effect.timeout(forever, "50 millis"),
  "SIGHUP": forever,
  "SIGTERM": forever,
  "SIGKILL": forever,
  "SIGINT": forever,
  "second SIGINT": forever,
  "uncaught exception": onTimer(() => {
    throw new Error("uncaught")
  }),
  "unhandled rejection": onTimer(() => void Promise.reject(new Error("unhandled"))),
  "process.exit in user code": onTimer(() => process.exit(7)),
  "empty event loop": Effect.andThen(letGo, Effect.callback<never>(() => {}))
}

const told = Effect.callback<void>((resume) => void process.stdin.once("data", () => resume(Effect.void)))

const program = Effect.gen(function*() {
  // The finalizer that a second signal is for.
  if (way === "second SIGINT") yield* Effect.addFinalizer(() => Effect.never)
  yield* prepare[state]
  yield* Effect.sync(() => Fs.writeSync(1, "ready\n"))
  yield* told
  // Reading stdin would keep the process alive after success.
  yield* Effect.sync(() => process.stdin.destroy())
  yield* end[way]
})

Main.run(program, { layer: Peers.layer.pipe(Layer.provide(ResourceMonitor.layerUnlimited)), cleanupTimeout })
