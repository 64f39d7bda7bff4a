/**
 * What a gate says of its decisions: numbers for all, and each decision for observers.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, type Scope } from "effect"
import * as Monitor from "effect-sluice/ResourceMonitor"
import { ResourceMonitor, TestMonitor } from "effect-sluice/ResourceMonitor"
import { TestClock } from "effect/testing"
import { GateObservers } from "../../../src/Monitor/gate/Observers.ts"

const label = "db:5432"

const inTestMonitor = <A, E>(
  body: (monitor: ResourceMonitor["Service"], test: TestMonitor["Service"]) => Effect.Effect<A, E, Scope.Scope>
) =>
  Effect.flatMap(Effect.all([ResourceMonitor, TestMonitor]), ([monitor, test]) => body(monitor, test)).pipe(
    Effect.scoped,
    Effect.provide(Monitor.layerTest)
  )

const recording = () => {
  const events: Array<string> = []
  return {
    events,
    observer: {
      admitted: (millis: number) => void events.push(`admitted after ${millis}`),
      refused: (resource: string) => void events.push(`no room for ${resource}`)
    }
  }
}

describe("the numbers of a gate", () => {
  it.effect("are the requests that it admitted, and refused for lack of each resource, and those that wait", () =>
    inTestMonitor((monitor, test) =>
      Effect.gen(function*() {
        const { events, observer } = recording()
        const forget = monitor.observeGate(observer)
        yield* Effect.scoped(monitor.reserve({ label }))
        yield* test.set({ descriptors: 990 })
        yield* Effect.flip(monitor.reserve({ label }))
        yield* test.set({ descriptors: 0, connectionLimit: 0 })
        yield* Effect.flip(monitor.reserve({ label }))
        yield* Effect.flip(monitor.reserve({ label }))
        yield* test.set({ connectionLimit: 100, memory: 1, memoryLimit: 1 })
        yield* Effect.flip(monitor.reserve({ label }))
        assert.deepStrictEqual(yield* monitor.gate, {
          waiting: 0,
          admitted: 1,
          refusals: { descriptors: 1, memory: 1, connections: 2 }
        })
        assert.strictEqual(yield* test.refused, 4)
        assert.deepStrictEqual(events, [
          "admitted after 0",
          "no room for descriptors",
          "no room for connections",
          "no room for connections",
          "no room for memory"
        ])
        forget()
        yield* Effect.flip(monitor.reserve({ label }))
        assert.lengthOf(events, 5)
      })
    ))

  it.effect("count a request that waits once, and its observers are told for how long", () =>
    inTestMonitor((monitor, test) =>
      Effect.gen(function*() {
        const { events, observer } = recording()
        monitor.observeGate(observer)
        yield* test.set({ descriptors: 990 })
        const waits = monitor.reserve({ label, maxWait: "1 second" })
        const [admitted, refused] = [yield* fork(waits), yield* fork(Effect.flip(waits))]
        assert.strictEqual((yield* monitor.gate).waiting, 2)
        yield* TestClock.adjust("200 millis")
        yield* test.set({ descriptors: 0, connectionLimit: 1 })
        yield* Fiber.join(admitted)
        assert.deepInclude(yield* monitor.gate, { waiting: 1, admitted: 1 })
        yield* TestClock.adjust("1 second")
        yield* Fiber.join(refused)
        assert.deepStrictEqual(yield* monitor.gate, {
          waiting: 0,
          admitted: 1,
          refusals: { descriptors: 0, memory: 0, connections: 1 }
        })
        assert.deepStrictEqual(events, ["admitted after 200", "no room for connections"])
      })
    ))

  it.effect("count and announce what is reserved without an Effect", () =>
    inTestMonitor((monitor, test) =>
      Effect.gen(function*() {
        const { events, observer } = recording()
        monitor.observeGate(observer)
        const unsafe = monitor.reserve.unsafe
        assert(unsafe !== undefined)
        const reservation = unsafe.reserve({ label }, 0n)
        assert(reservation !== undefined)
        unsafe.end(reservation)
        yield* test.set({ descriptors: 990 })
        // The caller goes on with the Effect, which is the one that refuses.
        assert.isUndefined(unsafe.reserve({ label }, 0n))
        assert.deepInclude(yield* monitor.gate, {
          admitted: 1,
          refusals: { descriptors: 0, memory: 0, connections: 0 }
        })
        assert.deepStrictEqual(events, ["admitted after 0"])
      })
    ))

  it.live("are told to observers also where one reading serves for many requests", () =>
    Effect.gen(function*() {
      const { events, observer } = recording()
      const monitor = yield* ResourceMonitor
      monitor.observeGate(observer)
      for (let i = 0; i < 3; i++) yield* monitor.reserve({ label })
      for (let i = 0; i < 3; i++) monitor.reserve.unsafe?.reserve({ label }, 0n)
      assert.lengthOf(events, 6)
    }).pipe(Effect.scoped, Effect.provide(Monitor.layerUnlimited)))
})

const fork = Effect.forkChild({ startImmediately: true })

describe("the observers of a gate", () => {
  it("cost nothing when there are none of an event", () => {
    const observers = new GateObservers()
    assert.isUndefined(observers.admitted)
    const forget = observers.add({ refused: () => {} })
    assert.isUndefined(observers.admitted)
    assert.isDefined(observers.refused)
    forget()
    assert.isUndefined(observers.refused)
  })

  it("are each told once, also one that was added twice", () => {
    const observers = new GateObservers()
    const { events, observer } = recording()
    const forget = observers.add(observer)
    observers.add(observer)
    observers.add({ admitted: (millis) => void events.push(`${millis}`) })
    observers.admitted?.(3)
    forget()
    observers.admitted?.(4)
    assert.deepStrictEqual(events, ["admitted after 3", "admitted after 3", "3", "admitted after 4", "4"])
  })
})
