/**
 * Programs under `Main` that do not end as they should. Each prints what it closes.
 *
 * Usage: node main-child.ts CASE
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Runtime from "effect/Runtime"
import * as Fs from "node:fs"
import * as Net from "node:net"
import * as ResourceMonitor from "../../src/Monitor/ResourceMonitor.ts"
import * as ConnectionPool from "../../src/Pool/ConnectionPool.ts"
import { PoolRegistry, stayingOpen } from "../../src/Pool/PoolRegistry.ts"
import * as Connector from "../../src/Resource/Connector.ts"
import * as Endpoint from "../../src/Resource/Endpoint.ts"
import * as TcpConnection from "../../src/Resource/TcpConnection.ts"
import * as Main from "../../src/Serverless/Main.ts"

const print = (text: string) => Effect.sync(() => Fs.writeSync(1, `${text}\n`))

const kill = (signal: NodeJS.Signals) => Effect.sync(() => void process.kill(process.pid, signal))

const onEnd = (finalizer: Effect.Effect<unknown>) => Effect.addFinalizer(() => finalizer)

/** A pool of things whose closing is an effect, with one of them idle. */
const pool = (id: string, close: Effect.Effect<void>) =>
  Layer.effectDiscard(Effect.gen(function*() {
    const made = yield* ConnectionPool.make({
      connector: Connector.make({ open: (name: string) => Effect.acquireRelease(Effect.succeed(name), () => close) })
    })
    yield* ConnectionPool.use(made, id, () => Effect.void)
  })).pipe(Layer.provide(ResourceMonitor.layerUnlimited))

/** A server in the same process that never ends its side, and keeps nothing alive. */
const hung = Effect.callback<Endpoint.Endpoint>((resume) => {
  const server = Net.createServer({ allowHalfOpen: true }, (socket) => void socket.unref())
  server.listen(0, "127.0.0.1", () => {
    server.unref()
    resume(Effect.succeed(Endpoint.tcp("127.0.0.1", (server.address() as Net.AddressInfo).port)))
  })
})

const slow = Effect.andThen(Effect.sleep("300 millis"), print("closed"))

/** A pool whose connections close after this effect, and then use another pool, which stays open, as a budget's permits do. */
const poolWithStore = (close: Effect.Effect<void>) =>
  Layer.effectDiscard(Effect.gen(function*() {
    const registry = stayingOpen(yield* PoolRegistry)
    const connector = Connector.make({ open: (name: string) => Effect.succeed(name) })
    const store = yield* Effect.provideService(ConnectionPool.make({ connector }), PoolRegistry, registry)
    const giveBack = Effect.matchEffect(ConnectionPool.use(store, "store", () => Effect.void), {
      onFailure: () => print("lost"),
      onSuccess: () => print("given back")
    })
    yield* Layer.build(pool("db", Effect.andThen(close, giveBack)))
  })).pipe(Layer.provide(ResourceMonitor.layerUnlimited))

class Unlucky extends Error {
  override readonly [Runtime.errorExitCode] = 42
}

const forever = Effect.sleep("1 hour")

const programs: Record<string, () => void> = {
  "a connection that never closes": () =>
    Main.run(Effect.void, { layer: pool("db", Effect.never), cleanupTimeout: "400 millis" }),
  "pools that depend on each other": () => {
    const pools = ["a", "b", "c", "d", "e"].map((id) => pool(id, slow))
    const layer = pools.reduce((all, one) => Layer.provideMerge(one, all))
    Main.run(Effect.andThen(kill("SIGTERM"), forever), { layer, cleanupTimeout: "1 second" })
  },
  "a pool that others need to close": () =>
    Main.run(Effect.void, { layer: poolWithStore(Effect.sleep("600 millis")), cleanupTimeout: "1 second" }),
  "a pool that others need to close, and a second signal": () => {
    const signals = [kill("SIGINT"), Effect.sleep("200 millis"), kill("SIGINT")]
    const twice = Effect.uninterruptible(Effect.andThen(Effect.all(signals), forever))
    Main.run(twice, { layer: poolWithStore(Effect.sleep("30 millis")) })
  },
  "a hung peer of a pool that would wait for longer": () => {
    const layer = Layer.effectDiscard(Effect.gen(function*() {
      const options = { connector: TcpConnection.connector(), closeTimeout: "1 minute" } as const
      const made = yield* ConnectionPool.make(options)
      yield* ConnectionPool.use(made, yield* hung, () => Effect.void)
    }))
    Main.run(Effect.void, {
      layer: Layer.provide(layer, ResourceMonitor.layerUnlimited),
      cleanupTimeout: "1 second"
    })
  },
  "hung peers of connections without a pool": () => {
    const connect = Effect.flatMap(hung, (endpoint) => TcpConnection.connect(endpoint))
    Main.run(Effect.andThen(connect, connect), { cleanupTimeout: "1 second" })
  },
  "a body that cannot be interrupted": () => {
    const body = Effect.uninterruptible(Effect.andThen(kill("SIGTERM"), forever))
    Main.run(Effect.andThen(onEnd(print("finalized")), body), {
      layer: pool("db", print("closed")),
      cleanupTimeout: "400 millis"
    })
  },
  "a signal that comes twice": () => {
    const twice = Effect.andThen(kill("SIGINT"), kill("SIGINT"))
    Main.run(Effect.andThen(Effect.andThen(onEnd(slow), twice), forever))
  },
  "a finalizer that dies": () => {
    const body = Effect.andThen(onEnd(Effect.die(new Error("the finalizer died"))), kill("SIGTERM"))
    Main.run(Effect.andThen(body, forever), { layer: pool("db", print("closed")) })
  },
  "an exception while closing": () => {
    const fault = Effect.sync(() =>
      setTimeout(() => {
        throw new Error("too late")
      }, 1)
    )
    Main.run(Effect.andThen(onEnd(slow), onEnd(fault)))
  },
  "a program that fails with a status of its own": () => Main.run(Effect.fail(new Unlucky("unlucky"))),
  "a program that sets its status": () =>
    Main.run(Effect.sync(() => {
      process.exitCode = 3
    })),
  "a layer that fails": () => Main.launch(Layer.effectDiscard(Effect.fail(new Unlucky("no layer")))),
  "a layer": () => {
    const server = Layer.effectDiscard(Effect.gen(function*() {
      yield* onEnd(print("closed"))
      yield* Effect.forkScoped(Effect.andThen(kill("SIGTERM"), forever))
    }))
    Main.launch(server)
  },
  "an exception that cannot be shown": () => {
    const unspeakable = {
      get message(): string {
        throw new Error("no comment")
      }
    }
    const fault = Effect.sync(() =>
      setTimeout(() => {
        throw unspeakable
      }, 1)
    )
    Main.run(Effect.andThen(onEnd(slow), Effect.andThen(fault, forever)))
  },
  "a failure with a long text": () => {
    // From now on Node has the pipe take what it has room for, and no more.
    process.stderr.write("")
    Main.run(Effect.andThen(onEnd(print("closed")), Effect.fail(new Unlucky("y".repeat(300_000)))))
  },
  "a finalizer that dies after success": () =>
    Main.run(Effect.andThen(onEnd(print("closed")), onEnd(Effect.die(new Error("the finalizer died"))))),
  "a layer that cannot be interrupted while it is built": () => {
    const layer = Layer.effectDiscard(Effect.andThen(
      Effect.andThen(onEnd(print("closed")), kill("SIGTERM")),
      Effect.uninterruptible(forever)
    ))
    Main.run(Effect.void, { layer, cleanupTimeout: "400 millis" })
  },
  "a program that logs again and again": () =>
    Main.run(Effect.andThen(
      onEnd(Effect.andThen(Effect.log("late"), Effect.sync(() => Fs.writeSync(2, "closed\n")))),
      Effect.forever(Effect.andThen(Effect.log("x".repeat(1000)), Effect.sleep("5 millis")))
    )),
  "a failure that nobody wants to read": () =>
    Main.run(Effect.fail(new Unlucky("unlucky")), { disableErrorReporting: true })
}

programs[process.argv[2] ?? ""]?.()
