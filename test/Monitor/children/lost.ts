/**
 * A real process that drops what it has borrowed or opened, collects its garbage, and prints one line of JSON: what was
 * reported, and what the server saw while the process was still alive.
 *
 * Usage: node --expose-gc lost.ts scope | held | owner | fiber | shared | kept | tcp | reading
 */
import { Effect, Layer, Logger, Scope } from "effect"
import * as Net from "node:net"
import { setTimeout as sleep } from "node:timers/promises"
import * as Monitor from "../../../src/Monitor/ResourceMonitor.ts"
import * as ConnectionPool from "../../../src/Pool/ConnectionPool.ts"
import * as Endpoint from "../../../src/Resource/Endpoint.ts"
import * as TcpConnection from "../../../src/Resource/TcpConnection.ts"

const mode = process.argv[2]

const seen = { opened: 0, ended: 0, open: 0 }
const server = Net.createServer((socket) => {
  seen.opened++
  seen.open++
  socket.on("error", () => {})
  socket.on("end", () => seen.ended++)
  socket.on("close", () => seen.open--)
  socket.resume()
})
await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
const endpoint = Endpoint.tcp("127.0.0.1", (server.address() as Net.AddressInfo).port)

const context = await Effect.runPromise(Effect.scoped(
  Layer.build(Monitor.layer).pipe(
    // The monitor lives as long as this process.
    Scope.provide(Scope.makeUnsafe())
  )
))
const monitor = Effect.provideContext(Monitor.ResourceMonitor, context)
const run = <A, E>(effect: Effect.Effect<A, E, Monitor.ResourceMonitor>): Promise<A> =>
  Effect.runPromise(Effect.provide(Effect.provideContext(effect, context), Logger.layer([])))

const makePool = () =>
  run(
    ConnectionPool.make({
      connector: TcpConnection.connector(),
      maxPerEndpoint: 1,
      maxTotal: 1,
      acquireTimeout: "2 seconds",
      concurrency: mode === "shared" ? 2 : 1,
      leakThreshold: mode === "held" ? "300 millis" : Infinity
    }).pipe(Scope.provide(Scope.makeUnsafe()))
  )

/** Waits until something is true, for at most so long. A machine that is busy takes longer for everything. */
const until = async (condition: () => boolean | Promise<boolean>, millis = 10_000): Promise<boolean> => {
  const end = performance.now() + millis
  for (;;) {
    if (await condition()) return true
    if (performance.now() >= end) return false
    await sleep(50)
  }
}

/** Collects garbage until something is true, for at most so long. */
const collectUntil = (condition: () => boolean | Promise<boolean>, millis?: number): Promise<boolean> =>
  until(() => {
    const collect = globalThis.gc as () => void
    collect()
    return condition()
  }, millis)

const inPool = async (
  borrow: (pool: Awaited<ReturnType<typeof makePool>>) => Promise<unknown> | undefined,
  patience?: number
) => {
  const pool = await makePool()
  const held = borrow(pool)
  await held
  const stats = () => run(ConnectionPool.stats(pool))
  await until(() => stats().then(({ active }) => active === 1))
  const { active } = await stats()
  const lost = () => stats().then(({ leasesLost }) => leasesLost === 1)
  const found = await collectUntil(lost, patience)
  // The one slot of the pool is there again: the next borrower gets a connection, although at most one may be open.
  const next = await run(Effect.result(ConnectionPool.use(pool, endpoint, () => Effect.succeed("served"))))
  return { active, found, next: next._tag === "Success" ? next.success : String(next.failure) }
}

const droppedScope = (pool: Awaited<ReturnType<typeof makePool>>) =>
  run(
    ConnectionPool.get(pool, endpoint).pipe(Scope.provide(Scope.makeUnsafe()))
  )

/** A fiber whose effect waits for something that can never happen, because nobody has kept what would continue it. */
const droppedFiber = (pool: Awaited<ReturnType<typeof makePool>>): undefined => {
  Effect.runFork(Effect.provideContext(
    ConnectionPool.use(pool, endpoint, () => Effect.callback<void>(() => {})),
    context
  ))
}

const dropSocket = () =>
  run(
    Effect.gen(function*() {
      const connection = yield* TcpConnection.connect(endpoint)
      yield* connection.write("hello")
    }).pipe(Scope.provide(Scope.makeUnsafe()))
  )

/** The scope is gone, and so is the connection, but the fiber that reads is not: bytes may still come. */
const readOn = async () => {
  const connection = await run(TcpConnection.connect(endpoint).pipe(Scope.provide(Scope.makeUnsafe())))
  Effect.runFork(connection.read)
}

/** Its scope can be reached from the object whose method borrows. */
class Owner {
  readonly scope = Scope.makeUnsafe()
  borrow(pool: Awaited<ReturnType<typeof makePool>>) {
    return run(Effect.as(ConnectionPool.get(pool, endpoint).pipe(Scope.provide(this.scope)), undefined))
  }
}

const outcome = async () => {
  switch (mode) {
    case "scope":
    case "held":
      return inPool(droppedScope)
    case "owner":
      // The connection is there already, so that nobody has asked yet where the borrow comes from.
      return inPool(async (pool) => {
        await run(ConnectionPool.use(pool, endpoint, () => Effect.void))
        await new Owner().borrow(pool)
      })
    case "fiber":
      return inPool(droppedFiber)
    case "shared":
      // Another borrower shares the connection meanwhile, and keeps it.
      return inPool(async (pool) => {
        await droppedScope(pool)
        Effect.runFork(
          Effect.provideContext(ConnectionPool.use(pool, endpoint, () => Effect.sleep("1 minute")), context)
        )
      })
    case "kept": {
      const scope = Scope.makeUnsafe()
      const result = await inPool((pool) => run(ConnectionPool.get(pool, endpoint).pipe(Scope.provide(scope))), 2500)
      return { ...result, scope: scope.state._tag }
    }
    case "tcp":
      await dropSocket()
      await until(() => seen.open === 1)
      return { active: seen.open, found: await collectUntil(() => seen.open === 0) }
    case "reading": {
      await readOn()
      await until(() => seen.open === 1)
      return { active: seen.open, found: await collectUntil(() => seen.open === 0, 1500) }
    }
    default:
      throw new Error(`unknown mode ${mode}`)
  }
}

const result = await outcome()
// The server hears of the end of a connection, and of the next one, in its own time.
if (result.found && mode !== "shared") await until(() => seen.ended === 1 && (mode === "tcp" || seen.opened === 2))
await sleep(100)
const leaks = await run(Effect.flatMap(monitor, (monitor) => monitor.recentLeaks(10)))
const usage = await run(Effect.flatMap(monitor, (monitor) => monitor.usage))
process.stdout.write(JSON.stringify({
  ...result,
  seen,
  tracked: usage.connections.used,
  leaks: leaks.map(({ _tag, message }) => ({ _tag, message }))
}))
process.exit(0)
