/**
 * A program that does not return a connection, and the report with the line that borrowed it.
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

/** Borrows with a scope that is never closed. */
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

  // Held too long, but returned.
  yield* ConnectionPool.use(pool, "orders", () => Effect.sleep("700 millis"))

  // Never returned: found by the first garbage collection two seconds later.
  yield* forgetful(pool)
  yield* Effect.sleep("2200 millis")
  yield* Effect.sync(() => globalThis.gc?.())
  yield* Effect.sleep("100 millis")

  const sites = yield* monitor.topSites(5)
  yield* Console.log(`places that have something open: ${sites.length}`)
})

NodeRuntime.runMain(program.pipe(
  Effect.scoped,
  // Leaks are logged as well; without loggers they are printed once.
  Effect.provide(Layer.merge(ResourceMonitor.layer, Logger.layer([])))
))
