import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Layer, Scope } from "effect"
import { LiveList } from "../../../src/internal/LiveList.ts"
import * as ResourceMonitor from "../../../src/Monitor/ResourceMonitor.ts"
import {
  type Monitor,
  type Sources,
  sourcesOf,
  watchMonitor,
  watchPools
} from "../../../src/Operations/internal/PoolWatch.ts"
import * as ConnectionPool from "../../../src/Pool/ConnectionPool.ts"
import { PoolRegistry, processPools, type RegisteredPool } from "../../../src/Pool/PoolRegistry.ts"
import * as Connector from "../../../src/Resource/Connector.ts"

const connector = Connector.make({ open: (name: string) => Effect.succeed({ name }) })

/** Records the beginning and the end of each scope in `events`. */
const recorded = (events: Array<string>) => (name: string): Effect.Effect<void, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => void events.push(`+${name}`)),
    () => Effect.sync(() => void events.push(`-${name}`))
  )

const sources = (pools: PoolRegistry): Sources => ({
  pools,
  monitors: new LiveList<Monitor>(),
  ownMonitor: undefined
})

const monitor: Effect.Effect<Monitor, never, Scope.Scope> = Effect.map(
  Layer.build(Layer.fresh(ResourceMonitor.layerTest)),
  Context.get(ResourceMonitor.ResourceMonitor)
)

const inRegistry = (registry: PoolRegistry) => <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  effect.pipe(Effect.provideService(PoolRegistry, registry), Effect.provide(ResourceMonitor.layerTest))

describe("watchPools", () => {
  it.effect("runs for a pool that is alive and for a later one, in the step in which it is made", () => {
    const registry = new LiveList<RegisteredPool>()
    const events: Array<string> = []
    return Effect.gen(function*() {
      const pools = yield* Scope.make()
      yield* Scope.provide(ConnectionPool.make({ name: "first", connector }), pools)
      yield* watchPools(sources(registry), ({ name }) => recorded(events)(name))
      assert.deepStrictEqual(events, ["+first"])
      yield* Scope.provide(ConnectionPool.make({ name: "second", connector }), pools)
      assert.deepStrictEqual(events, ["+first", "+second"])
      yield* Scope.close(pools, Exit.void)
      assert.deepStrictEqual(events.slice(2).sort(), ["-first", "-second"])
    }).pipe(inRegistry(registry))
  })

  it.effect("closes every scope with its own, and runs for no later pool", () => {
    const registry = new LiveList<RegisteredPool>()
    const events: Array<string> = []
    return Effect.gen(function*() {
      yield* ConnectionPool.make({ name: "first", connector })
      yield* Effect.scoped(watchPools(sources(registry), ({ name }) => recorded(events)(name)))
      yield* ConnectionPool.make({ name: "second", connector })
      assert.deepStrictEqual(events, ["+first", "-first"])
    }).pipe(inRegistry(registry))
  })

  it.effect("ends after the last connection of a pool has closed", () => {
    const registry = new LiveList<RegisteredPool>()
    const events: Array<string> = []
    return Effect.gen(function*() {
      yield* watchPools(sources(registry), ({ name }) => recorded(events)(name))
      yield* Effect.scoped(
        Effect.flatMap(
          ConnectionPool.make({
            name: "orders",
            connector: Connector.make({ open: (key: string) => recorded(events)(`connection to ${key}`) })
          }),
          (pool) => ConnectionPool.use(pool, "db", () => Effect.void)
        )
      )
      assert.deepStrictEqual(events, ["+orders", "+connection to db", "-connection to db", "-orders"])
    }).pipe(inRegistry(registry))
  })

  it.effect("follows the other pools when it cannot follow one", () => {
    const registry = new LiveList<RegisteredPool>()
    const events: Array<string> = []
    return Effect.gen(function*() {
      yield* watchPools(
        sources(registry),
        ({ name }) => name === "bad" ? Effect.die("no") : recorded(events)(name)
      )
      yield* ConnectionPool.make({ name: "bad", connector })
      yield* ConnectionPool.make({ name: "good", connector })
      assert.deepStrictEqual(events, ["+good"])
    }).pipe(inRegistry(registry))
  })
})

describe("watchMonitor", () => {
  it.effect("runs for a monitor that comes later, and for the next one after its end", () =>
    Effect.gen(function*() {
      const registry = new LiveList<Monitor>()
      const [first, second] = [yield* monitor, yield* monitor]
      const events: Array<string> = []
      yield* watchMonitor(
        { ...sources(new LiveList<RegisteredPool>()), monitors: registry },
        (one) => recorded(events)(one === first ? "first" : "second")
      )
      assert.deepStrictEqual(events, [])
      const leave = registry.add(first)
      registry.add(second)
      assert.deepStrictEqual(events, ["+first"])
      leave()
      assert.deepStrictEqual(events, ["+first", "-first", "+second"])
    }))

  it.effect("prefers the monitor of its own context", () =>
    Effect.gen(function*() {
      const [own, other] = [yield* monitor, yield* monitor]
      const monitors = new LiveList<Monitor>()
      monitors.add(other)
      const events: Array<string> = []
      yield* watchMonitor(
        { pools: new LiveList<RegisteredPool>(), monitors, ownMonitor: own },
        (one) => recorded(events)(one === own ? "own" : "other")
      )
      assert.deepStrictEqual(events, ["+own"])
    }))
})

describe("sourcesOf", () => {
  it.effect("takes the registry of the process, or that of the context", () => {
    const registry = new LiveList<RegisteredPool>()
    return Effect.gen(function*() {
      assert.strictEqual((yield* sourcesOf("process")).pools, processPools)
      assert.strictEqual((yield* sourcesOf("context")).pools, registry)
      assert.strictEqual((yield* sourcesOf("context")).ownMonitor, yield* ResourceMonitor.ResourceMonitor)
    }).pipe(inRegistry(registry))
  })
})
