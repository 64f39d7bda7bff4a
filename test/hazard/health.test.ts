/**
 * The health of an endpoint through outages of a real server: when it says `Unavailable`, and when `Healthy` again.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Stream } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as PoolTelemetry from "effect-sluice/PoolTelemetry"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import * as TcpConnection from "effect-sluice/TcpConnection"
import { FaultProxy } from "effect-sluice/Testing"
import * as TcpServer from "../support/TcpServer.ts"

/** What the server does with a new connection. */
type Mode = "Serve" | "End" | "Reset"

interface Stage {
  readonly proxy: FaultProxy.FaultProxy
  readonly mode: { current: Mode }
}

const change = (stage: Stage, mode: Mode) => Effect.sync(() => void (stage.mode.current = mode))

interface Fault {
  readonly begin: (stage: Stage) => Effect.Effect<unknown>
  readonly end: (stage: Stage) => Effect.Effect<unknown>
}

const faults: Record<string, Fault> = {
  refuses: {
    begin: ({ proxy }) => Effect.andThen(proxy.refuse, proxy.reset),
    end: ({ proxy }) => Effect.orDie(proxy.accept)
  },
  "resets each connection": {
    begin: (stage) => Effect.andThen(change(stage, "Reset"), stage.proxy.reset),
    end: (stage) => change(stage, "Serve")
  },
  "ends each connection": {
    begin: (stage) => Effect.andThen(change(stage, "End"), stage.proxy.cut),
    end: (stage) => change(stage, "Serve")
  },
  "accepts and is silent": { begin: ({ proxy }) => proxy.freeze, end: ({ proxy }) => proxy.thaw }
}

interface Load {
  readonly borrowers: number
  readonly cap: number
  /** How long a request may take, in milliseconds. */
  readonly patience: number
  /** How many borrowers never return their connection. */
  readonly leaked: number
}

const loads: Record<string, Load> = {
  "requests that end in time": { borrowers: 6, cap: 8, patience: 100, leaked: 0 },
  "more borrowers than connections": { borrowers: 12, cap: 4, patience: 100, leaked: 0 },
  "requests without a limit, more borrowers than connections": { borrowers: 12, cap: 4, patience: Infinity, leaked: 0 },
  "a cap of two": { borrowers: 12, cap: 2, patience: Infinity, leaked: 0 },
  "a dead connection that is leaked": { borrowers: 12, cap: 4, patience: 100, leaked: 1 },
  "a dead connection that is leaked, and requests without a limit": {
    borrowers: 12,
    cap: 4,
    patience: Infinity,
    leaked: 1
  }
}

const server = Effect.gen(function*() {
  const mode: Stage["mode"] = { current: "Serve" }
  const tcp = yield* TcpServer.make((socket) => {
    if (mode.current === "Reset") return void socket.resetAndDestroy()
    if (mode.current === "End") return void socket.resume().end()
    socket.on("data", (data) => void setTimeout(() => socket.write(data), 5))
  })
  return { mode, proxy: yield* FaultProxy.make(tcp.endpoint) }
})

interface Seen {
  readonly at: number
  readonly health: ConnectionPool.Health
}

/** What a listener saw of an outage of five seconds under this load, with times in milliseconds. */
const outage = (fault: Fault, { borrowers, cap, leaked, patience }: Load) =>
  Effect.gen(function*() {
    const stage = yield* server
    const { endpoint } = stage.proxy
    const pool = yield* ConnectionPool.make({
      connector: TcpConnection.connector(),
      maxConnections: cap,
      closeTimeout: "500 millis",
      drainTimeout: 0
    })
    const request = ConnectionPool.use(pool, endpoint, (connection) =>
      Effect.andThen(connection.write("?"), connection.read).pipe(
        patience === Infinity
          ? (effect) =>
            effect
          : Effect.timeout(patience)
      ))
    for (let holder = 0; holder < leaked; holder++) {
      yield* Effect.forkScoped(Effect.exit(ConnectionPool.use(pool, endpoint, () =>
        Effect.never)))
    }
    const seen: Array<Seen> = []
    yield* Effect.forkScoped(
      Stream.runForEach(
        PoolTelemetry.health(pool, endpoint),
        (health) =>
          Effect.sync(() => void seen.push({ at: performance.now(), health }))
      )
    )
    const fibers = yield* Effect.forEach(
      Array.from({ length: borrowers }),
      () => Effect.forkScoped(Effect.forever(Effect.andThen(Effect.exit(request), Effect.sleep(1))))
    )
    yield* Effect.sleep("2 seconds")
    const before = seen.splice(0).map(({ health }) => health)
    const begun = performance.now()
    yield* fault.begin(stage)
    yield* Effect.sleep("5 seconds")
    const ended = performance.now()
    yield* fault.end(stage)
    yield* Effect.sleep("3 seconds")
    yield* Fiber.interruptAll(fibers)
    const back = seen.find(({ at, health }) => at >= ended && health === "Healthy")
    return {
      before,
      /** After how many milliseconds it was `Unavailable`, and after how many after the end it was `Healthy`. */
      down: (seen.find(({ health }) => health === "Unavailable")?.at ?? Infinity) - begun,
      back: (back?.at ?? Infinity) - ended,
      /** How often it was `Healthy` between these two moments. */
      early: seen.filter(({ at, health }, index) =>
        at < ended && health === "Healthy" && seen.slice(0, index).some((one) =>
          one.health === "Unavailable"
        )
      ).length,
      /** What followed. */
      after: back === undefined ? [] : seen.slice(seen.indexOf(back) + 1).map(({ health }) => health),
      seen: seen.map(({ at, health }) => `${Math.round(at - begun)} ${health}`)
    }
  }).pipe(Effect.scoped, Effect.provide(ResourceMonitor.layerUnlimited))

describe.concurrent("the health of an endpoint whose server is away for five seconds", () => {
  for (const [what, fault] of Object.entries(faults)) {
    for (const [how, load] of Object.entries(loads)) {
      it.live(`${what}, with ${how}`, () =>
        Effect.gen(function*() {
          const found = yield* outage(fault, load)
          const seen = found.seen.join(", ")
          assert.isAtMost(found.down, 1000, `until Unavailable: ${seen}`)
          assert.strictEqual(found.early, 0, `Healthy during the outage: ${seen}`)
          assert.isAtMost(found.back, 1100, `until Healthy again: ${seen}`)
          assert.notInclude(found.after, "Unavailable", seen)
        }), 30_000)
    }
  }
})

/** The healths that a listener sees under a load of 20 borrowers, while the server answers after `delay` milliseconds. */
const healthsOf = (
  options: { readonly cap: number; readonly acquireTimeout: number },
  delay: (request: number) => number
) =>
  Effect.gen(function*() {
    let requests = 0
    const server = yield* TcpServer.make((socket) =>
      void socket.on("data", (data) => void setTimeout(() => socket.write(data), delay(requests++)))
    )
    const pool = yield* ConnectionPool.make({
      connector: TcpConnection.connector(),
      maxConnections: options.cap,
      acquireTimeout: options.acquireTimeout,
      drainTimeout: 0
    })
    const seen: Array<ConnectionPool.Health> = []
    yield* Effect.forkScoped(
      Stream.runForEach(PoolTelemetry.health(pool, server.endpoint), (health) =>
        Effect.sync(() => void seen.push(health)))
    )
    const request = ConnectionPool.use(
      pool,
      server.endpoint,
      (connection) =>
        Effect.andThen(connection.write("?"), connection.read)
    )
    const fibers = yield* Effect.forEach(
      Array.from({ length: 20 }),
      () => Effect.forkScoped(Effect.forever(Effect.andThen(Effect.exit(request), Effect.sleep(1))))
    )
    yield* Effect.sleep("8 seconds")
    const { timeouts } = yield* ConnectionPool.stats(pool)
    yield* Fiber.interruptAll(fibers)
    return { seen, timeouts }
  }).pipe(Effect.scoped, Effect.provide(ResourceMonitor.layerUnlimited))

describe.concurrent("the health of an endpoint whose server is slow, and all of whose connections are in use", () => {
  it.live("stays Healthy, although borrowers run out of time", () =>
    Effect.gen(function*() {
      const found = yield* healthsOf({ cap: 2, acquireTimeout: 1000 }, () => 700)
      assert.deepStrictEqual(found.seen, ["Healthy"])
      assert.isAbove(found.timeouts, 20)
    }), 30_000)

  it.live(
    "stays Healthy when all connections are in a long use, if uses are long at times",
    () =>
      Effect.gen(function*() {
        const found = yield* healthsOf({ cap: 2, acquireTimeout: 5000 }, (request) => request % 20 < 2 ? 1500 : 5)
        assert.deepStrictEqual(found.seen, ["Healthy"])
      }),
    30_000
  )

  it.live("is Unavailable at most once when answers become slow suddenly", () =>
    Effect.gen(function*() {
      const found = yield* healthsOf({ cap: 4, acquireTimeout: 30_000 }, (request) => request < 1000 ? 5 : 1200)
      assert.isAtMost(found.seen.filter((health) => health === "Unavailable").length, 1)
      assert.strictEqual(found.seen.at(-1), "Healthy")
      assert.strictEqual(found.timeouts, 0)
    }), 30_000)
})
