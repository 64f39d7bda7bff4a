/**
 * A program that forgets to give a connection back, and is told where.
 *
 * Run it with `node --expose-gc examples/leaks.ts` after `npm run build`. Without the flag it ends before a collection.
 */
import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Layer, Logger, Scope, Stream } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Connector from "effect-sluice/Connector"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"

const connector = Connector.make({
  open: (name: string) => Effect.acquireRelease(Effect.succeed({ name }), () => Console.log(`closed ${name}`))
})

/** Borrows with a scope that nobody will ever close. */
const forgetful = Effect.fnUntraced(function*<A>(pool: ConnectionPool.ConnectionPool<string, A>) {
  const scope = Scope.makeUnsafe()
  yield* Scope.provide(ConnectionPool.get(pool, "users"), scope)
})

const program = Effect.gen(function*() {
  const monitor = yield* ResourceMonitor.ResourceMonitor
  yield* Effect.forkScoped(Stream.runForEach(monitor.leaks, ({ message }) => Console.log(message)), {
    startImmediately: true
  })
  const pool = yield* ConnectionPool.make({ connector, leakThreshold: "500 millis", maxPerEndpoint: 1 })

  // Held for too long, and given back after all.
  yield* ConnectionPool.use(pool, "orders", () => Effect.sleep("700 millis"))

  // Not given back at all: found by the first garbage collection two seconds later.
  yield* forgetful(pool)
  yield* Effect.sleep("2200 millis")
  yield* Effect.sync(() => globalThis.gc?.())
  yield* Effect.sleep("100 millis")

  const sites = yield* monitor.topSites(5)
  yield* Console.log(`places that have something open: ${sites.length}`)
})

NodeRuntime.runMain(program.pipe(
  Effect.scoped,
  // The leaks are logged as well; here they are printed once.
  Effect.provide(Layer.merge(ResourceMonitor.layer, Logger.layer([])))
))
