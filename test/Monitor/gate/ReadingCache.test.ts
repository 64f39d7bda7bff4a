import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Scope } from "effect"
import * as Reading from "effect-sluice/Reading"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import { TestMonitor } from "effect-sluice/ResourceMonitor"
import type { Capacity } from "../../../src/Monitor/gate/Decision.ts"
import { openedElsewhere, ReadingCache, validFor } from "../../../src/Monitor/gate/Reservation.ts"
import * as Ledger from "../../../src/Monitor/Ledger.ts"
import { LedgerReservation } from "../../../src/Monitor/Ledger.ts"

const known = (value: number) => Reading.known(value, 0, "test")

const headroom = 24

const capacity = (descriptors: number, changes: Partial<Capacity["usage"]> = {}): Capacity => ({
  usage: {
    descriptors: { used: known(descriptors), limit: known(1000) },
    reserved: 0,
    memory: { used: known(1), limit: known(100) },
    connections: { used: known(0), limit: known(10_000) },
    level: "Normal",
    ...changes
  } as Capacity["usage"],
  open: 0,
  opening: 0,
  headroom,
  reserve: 0,
  warningThreshold: 0.7,
  errorThreshold: 0.9
})

const make = (descriptors: number, changes: Partial<Capacity["usage"]> = {}, lasts = validFor) => {
  const ledger = Ledger.make()
  const allowance = new ReadingCache(ledger, lasts)
  allowance.learn(capacity(descriptors, changes), 0n)
  /** Claims as often as it is covered, at most so often. */
  const take = (most: number, now = 0n): number => {
    let taken = 0
    while (taken < most && allowance.covers({ label: "db" }, now)) {
      new LedgerReservation(ledger, 1)
      taken++
    }
    return taken
  }
  return { ledger, allowance, take }
}

describe("ReadingCache", () => {
  it("covers what there is room for if others open as much as they can, and nothing beyond", () => {
    assert.strictEqual(make(100).take(10_000), 1000 - 100 - headroom - openedElsewhere)
    assert.strictEqual(make(100, { reserved: 50 }).take(10_000), 1000 - 100 - 50 - headroom - openedElsewhere)
    assert.strictEqual(make(1000 - headroom - openedElsewhere).take(1), 0)
    assert.strictEqual(make(1000 - headroom - openedElsewhere - 1).take(2), 1)
  })

  it("a reservation that has ended still counts, because its descriptor may exist by then", () => {
    const { ledger, take } = make(100)
    const room = take(10_000)
    const again = make(100)
    for (let i = 0; i < room; i++) {
      assert.isTrue(again.allowance.covers({ label: "db" }, 0n))
      new LedgerReservation(again.ledger, 1).end()
    }
    assert.isFalse(again.allowance.covers({ label: "db" }, 0n))
    assert.strictEqual(Ledger.reserved(ledger), room)
  })

  it("reservations that were made past it count too", () => {
    const { ledger, take } = make(100)
    new LedgerReservation(ledger, 600)
    assert.strictEqual(take(10_000), 26)
  })

  it("is over after a fifth of a millisecond, and before the first look", () => {
    const { allowance, take } = make(100)
    assert.strictEqual(take(1, validFor), 1)
    assert.strictEqual(take(1, validFor + 1n), 0)
    allowance.learn(capacity(100), validFor + 1n)
    assert.strictEqual(take(1, validFor + 1n), 1)
    assert.isFalse(new ReadingCache(Ledger.make(), validFor).covers({ label: "db" }, 0n))
  })

  it("covers no retry, which is refused from Critical on", () => {
    const { allowance } = make(0)
    assert.isTrue(allowance.covers({ label: "db", attempt: 0 }, 0n))
    assert.isFalse(allowance.covers({ label: "db", attempt: 1 }, 0n))
  })

  it("covers nothing when memory is used up, or when a figure cannot be read", () => {
    assert.strictEqual(make(0, { memory: { used: known(100), limit: known(100) } }).take(1), 0)
    const unknown = Reading.unknown("Unsupported", "test")
    assert.strictEqual(make(0, { memory: { used: unknown, limit: known(100) } }).take(1), 0)
    assert.strictEqual(make(0, { descriptors: { used: unknown, limit: known(1000) } }).take(1), 0)
    const saturated = Reading.fromFailure({ code: "EMFILE" }, "test")
    assert.strictEqual(make(0, { descriptors: { used: saturated, limit: known(1000) } }).take(1), 0)
  })

  it("counts connections exactly: those that are open, those that are being opened, and this one", () => {
    const { ledger, take } = make(0, { connections: { used: known(0), limit: known(3) } })
    const entry = Ledger.recordOpen(ledger, "db", () => undefined)
    assert.strictEqual(take(10), 2)
    Ledger.recordClosed(ledger, entry)
    assert.strictEqual(take(10), 1)
  })
})

describe("a gate that is asked in one step", () => {
  const askedNow = (monitor: ResourceMonitor.ResourceMonitor["Service"], request: ResourceMonitor.ReserveRequest) =>
    monitor.reserve.unsafe?.reserve(request, process.hrtime.bigint())

  it.effect("answers as the other one does, and has nothing happen when it refuses", () =>
    Effect.gen(function*() {
      const monitor = yield* ResourceMonitor.ResourceMonitor
      const test = yield* TestMonitor
      for (let used = 940; used < 1000; used++) {
        for (const attempt of [0, 1]) {
          yield* test.set({ descriptors: used })
          const claim = askedNow(monitor, { label: "db", attempt })
          const scope = yield* Scope.make()
          const exit = yield* Effect.exit(Scope.provide(monitor.reserve({ label: "db", attempt }), scope))
          assert.strictEqual(claim !== undefined, used <= 975 && attempt === 0)
          assert.strictEqual(Exit.isSuccess(exit), used <= 974 && attempt === 0, `${used}`)
          if (claim !== undefined) monitor.reserve.unsafe?.end(claim)
          yield* Scope.close(scope, Exit.void)
          assert.strictEqual((yield* monitor.usage).reserved, 0)
        }
      }
    }).pipe(Effect.provide(ResourceMonitor.layerTest)))

  it.effect("believes no reading that a test has made up for longer than that", () =>
    Effect.gen(function*() {
      const monitor = yield* ResourceMonitor.ResourceMonitor
      const test = yield* TestMonitor
      const claim = askedNow(monitor, { label: "db" })
      assert.isDefined(claim)
      yield* test.set({ descriptors: 1000 })
      assert.isUndefined(askedNow(monitor, { label: "db" }))
    }).pipe(Effect.provide(ResourceMonitor.layerTest)))

  it.live("believes no reader that a test has made up either", () =>
    Effect.gen(function*() {
      const own = Context.get(yield* Effect.context<never>(), ResourceMonitor.ProcReader)
      let size = 100
      yield* Effect.gen(function*() {
        const monitor = yield* ResourceMonitor.ResourceMonitor
        assert.isDefined(askedNow(monitor, { label: "db" }))
        size = 5000
        assert.isUndefined(askedNow(monitor, { label: "db" }))
      }).pipe(
        Effect.provide(ResourceMonitor.layerOptions({ maxDescriptors: 1000 })),
        Effect.provideService(ResourceMonitor.ProcReader, Object.assign(Object.create(own), { size: () => size }))
      )
    }))

  it.effect("ends a reservation once, however often it is called", () =>
    Effect.gen(function*() {
      const monitor = yield* ResourceMonitor.ResourceMonitor
      const claims = [askedNow(monitor, { label: "db" }), askedNow(monitor, { label: "db" })]
      for (const claim of [claims[0], claims[0]]) if (claim !== undefined) monitor.reserve.unsafe?.end(claim)
      assert.strictEqual((yield* monitor.usage).reserved, 1)
    }).pipe(Effect.provide(ResourceMonitor.layerTest)))

  it.live("reads seldom when there is plenty of room, and still admits nothing past the limit", () =>
    Effect.gen(function*() {
      const reads = { count: 0 }
      const own = Context.get(yield* Effect.context<never>(), ResourceMonitor.ProcReader)
      const size = own.size
      const counted = Object.assign(own, {
        size: (descriptor: number) => {
          reads.count++
          return size(descriptor)
        }
      })
      yield* Effect.gen(function*() {
        const monitor = yield* ResourceMonitor.ResourceMonitor
        reads.count = 0
        const claims = Array.from({ length: 500 }, () => askedNow(monitor, { label: "db" }))
        assert.isTrue(claims.every((claim) => claim !== undefined))
        assert.isBelow(reads.count, 100)
        const more = Array.from({ length: 2000 }, () => askedNow(monitor, { label: "db" }))
        const held = [...claims, ...more].filter((claim) => claim !== undefined)
        const { descriptors, reserved } = yield* monitor.sample
        assert(descriptors.used._tag === "Known" && descriptors.limit._tag === "Known")
        assert.strictEqual(held.length, reserved)
        assert.isAtMost(descriptors.used.value + reserved, descriptors.limit.value - headroom)
        assert.isUndefined(askedNow(monitor, { label: "db" }))
        for (const claim of held) monitor.reserve.unsafe?.end(claim)
      }).pipe(
        Effect.provide(ResourceMonitor.layerOptions({ maxDescriptors: 1000, headroom })),
        Effect.ensuring(Effect.sync(() => Object.assign(counted, { size })))
      )
    }))
})
