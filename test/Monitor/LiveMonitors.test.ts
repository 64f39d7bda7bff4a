/**
 * One monitor for a process: who shares it, who does not, and when it ends.
 */
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Layer, ManagedRuntime, Scope } from "effect"
import * as Monitor from "effect-sluice/ResourceMonitor"
import { ResourceMonitor } from "effect-sluice/ResourceMonitor"
import { collectLogs } from "../support/Pools.ts"
import { system } from "./support.ts"

const label = "db:5432"

/** A monitor as another part of the program makes it, with nothing that it could share by memoization. */
const made = (layer: Layer.Layer<ResourceMonitor>) =>
  Effect.flatMap(
    Effect.acquireRelease(
      Effect.sync(() => ManagedRuntime.make(layer)),
      (runtime) => Effect.promise(() => runtime.dispose())
    ),
    (runtime) => Effect.promise(() => runtime.runPromise(ResourceMonitor))
  )

const reservedBy = (monitor: ResourceMonitor["Service"]) => Effect.map(monitor.usage, ({ reserved }) => reserved)

describe("a second monitor in one process", () => {
  it.live("sees the reservations of the first when its limits are the same", () =>
    Effect.gen(function*() {
      const limited = () => Monitor.layerOptions({ maxConnections: 10 })
      const first = yield* made(limited())
      const second = yield* made(limited())
      yield* first.reserve({ label })
      assert.deepStrictEqual([yield* reservedBy(first), yield* reservedBy(second)], [1, 1])
      yield* Effect.replicateEffect(second.reserve({ label }), 9, { discard: true })
      const refusals = [yield* Effect.flip(first.reserve({ label })), yield* Effect.flip(second.reserve({ label }))]
      for (const { message } of refusals) assert.include(message, "0 connections used + 10 reserved + 1 requested")
    }).pipe(Effect.scoped))

  it.live("is the first, for the layer without options too, as long as one of both is alive", () =>
    Effect.gen(function*() {
      const scopes = [yield* Scope.make(), yield* Scope.make()] as const
      const [first, second] = yield* Effect.all(scopes.map((scope) => Scope.provide(made(Monitor.layer), scope)))
      assert.strictEqual(first, second)
      yield* Scope.close(scopes[0], Exit.void)
      assert(second !== undefined)
      assert.strictEqual((yield* second.sample).descriptors.used._tag, "Known")
      const third = yield* Effect.scoped(made(Monitor.layer))
      assert.strictEqual(third, second)
      yield* Scope.close(scopes[1], Exit.void)
      const next = yield* Effect.scoped(made(Monitor.layer))
      assert.notStrictEqual(next, second)
    }))

  it.live("with other limits stays apart and warns once", () =>
    Effect.gen(function*() {
      const { layer, lines } = collectLogs()
      yield* Effect.gen(function*() {
        const limited = (maxConnections: number) => Layer.provide(Monitor.layerOptions({ maxConnections }), layer)
        const first = yield* made(limited(10))
        const second = yield* made(limited(11))
        const third = yield* made(limited(12))
        assert.lengthOf(new Set([first, second, third]), 3)
        yield* first.reserve({ label })
        assert.strictEqual(yield* reservedBy(second), 0)
      }).pipe(Effect.scoped)
      assert.deepStrictEqual(lines, [
        "ResourceMonitor: two monitors with different limits are alive in this process: maxConnections 10 and 11. " +
        "Neither sees what the other reserves. Give both the same limits, or use one"
      ])
    }))

  it.live("with the same limits and other options is the first, and warns once of what does not hold", () =>
    Effect.gen(function*() {
      const { layer, lines } = collectLogs()
      yield* Effect.gen(function*() {
        const first = yield* made(Monitor.layer)
        const other = Layer.provide(Monitor.layerOptions({ recoveryHold: "1 second" }), layer)
        assert.strictEqual(yield* made(other), first)
        assert.strictEqual(yield* made(other), first)
      }).pipe(Effect.scoped)
      assert.deepStrictEqual(lines, [
        "ResourceMonitor: two monitors with the same limits are one in this process, with the options of the first: " +
        "recoveryHold 10s and 1s"
      ])
    }))

  it.live("is apart without a warning with Layer.fresh, layerTest, layerUnlimited, and readings that are made up", () =>
    Effect.gen(function*() {
      const { layer, lines } = collectLogs()
      yield* Effect.gen(function*() {
        const others = [
          Layer.fresh(Monitor.layerOptions({ maxConnections: 10 })),
          Layer.fresh(Monitor.layer),
          Monitor.layerTest,
          Monitor.layerUnlimited,
          Layer.provide(Monitor.layer, system().layer)
        ]
        const monitors = yield* Effect.forEach([Monitor.layer, ...others], (other) => made(Layer.provide(other, layer)))
        assert.lengthOf(new Set(monitors), 6)
      }).pipe(Effect.scoped)
      assert.deepStrictEqual(lines, [])
    }))

  it.live("is one with the first when both are made at once, in one layer or with Effect.provide", () =>
    Effect.gen(function*() {
      const monitors = yield* Effect.all(
        Array.from({ length: 5 }, () =>
          Effect.provide(
            Effect.flatMap(ResourceMonitor, (monitor) => Effect.as(Effect.sleep("20 millis"), monitor)),
            Monitor.layerOptions({})
          )),
        { concurrency: "unbounded" }
      )
      assert.lengthOf(new Set(monitors), 1)
      const context = yield* Effect.scoped(Layer.build(Layer.merge(Monitor.layer, Monitor.layerOptions({}))))
      assert.isDefined(Context.get(context, ResourceMonitor))
    }))
})
