/**
 * Which monitors a program finds: those of the process, from the beginning to the end of their layers.
 */
import { assert, describe, it } from "@effect/vitest"
import { Config, ConfigProvider, Context, Effect, Exit, Layer, ManagedRuntime, Scope } from "effect"
import * as Monitor from "effect-sluice/ResourceMonitor"
import { ResourceMonitor } from "effect-sluice/ResourceMonitor"
import * as Settings from "effect-sluice/Settings"
import { LiveList } from "../../src/internal/LiveList.ts"
import { MonitorRegistry, processMonitors } from "../../src/Monitor/MonitorRegistry.ts"
import { system } from "./support.ts"

type Shape = ResourceMonitor["Service"]

/** The monitors that the process has now and did not have before. */
const sinceThen = () => {
  const before = new Set(processMonitors.all)
  return () => [...processMonitors.all].filter((one) => !before.has(one))
}

/** A monitor as another part of the program makes it, with nothing that it could share by memoization. */
const made = <E>(layer: Layer.Layer<ResourceMonitor, E>) =>
  Effect.flatMap(
    Effect.acquireRelease(
      Effect.sync(() => ManagedRuntime.make(layer)),
      (runtime) => Effect.promise(() => runtime.dispose())
    ),
    (runtime) => Effect.promise(() => runtime.runPromise(ResourceMonitor))
  )

const withoutVariables = ConfigProvider.layer(ConfigProvider.fromUnknown({ MAX_TCP_CONNECTIONS: "77" }))

const ofTheProcess: Record<string, Layer.Layer<ResourceMonitor, Config.ConfigError>> = {
  layer: Monitor.layer,
  layerOptions: Monitor.layerOptions({ maxConnections: 10 }),
  layerConfig: Layer.provide(
    Monitor.layerConfig({ maxConnections: Config.Int("MAX_TCP_CONNECTIONS") }),
    withoutVariables
  ),
  "Settings.layer": Layer.provide(Settings.layer, withoutVariables)
}

const ofTheirOwn: Record<string, Layer.Layer<ResourceMonitor>> = {
  layerTest: Monitor.layerTest,
  layerUnlimited: Monitor.layerUnlimited,
  "Layer.fresh": Layer.fresh(Monitor.layerOptions({ maxConnections: 10 })),
  "readings of a test": Layer.provide(Monitor.layer, system().layer)
}

describe("the monitors of a process", () => {
  for (const [name, layer] of Object.entries(ofTheProcess)) {
    it.live(`have that of ${name} until its scope ends`, () =>
      Effect.gen(function*() {
        const found = sinceThen()
        yield* Effect.scoped(Effect.gen(function*() {
          const monitor = yield* made(layer)
          assert.deepStrictEqual(found(), [monitor])
        }))
        assert.lengthOf(found(), 0)
      }))
  }

  for (const [name, layer] of Object.entries(ofTheirOwn)) {
    it.live(`do not have that of ${name}, but a registry of its context has`, () =>
      Effect.gen(function*() {
        const found = sinceThen()
        yield* Effect.scoped(Effect.gen(function*() {
          yield* made(layer)
          assert.lengthOf(found(), 0)
        }))
        const registry = new LiveList<Shape>()
        yield* Effect.scoped(Effect.gen(function*() {
          const context = yield* Effect.provideService(Layer.build(layer), MonitorRegistry, registry)
          assert.deepStrictEqual([...registry.all], [Context.get(context, ResourceMonitor)])
          assert.lengthOf(found(), 0)
        }))
        assert.lengthOf([...registry.all], 0)
      }))
  }

  it.live("have a shared one once, until its last user ends", () =>
    Effect.gen(function*() {
      const found = sinceThen()
      let changes = 0
      const forget = processMonitors.onChange(() => changes++)
      const scopes = [yield* Scope.make(), yield* Scope.make()] as const
      const [first, second] = yield* Effect.all(scopes.map((scope) => Scope.provide(made(Monitor.layer), scope)))
      assert.strictEqual(first, second)
      assert.deepStrictEqual(found(), [first])
      yield* Scope.close(scopes[0], Exit.void)
      assert.deepStrictEqual(found(), [first])
      yield* Scope.close(scopes[1], Exit.void)
      assert.lengthOf(found(), 0)
      assert.strictEqual(changes, 2)
      forget()
    }))
})
