/**
 * The gate's line: who waits, who is let in, and when a claim ends.
 */
import { assert, describe, it } from "@effect/vitest"
import { Cause, Context, Duration, Effect, Exit, Fiber, Layer, Scheduler, Scope } from "effect"
import * as Reading from "effect-sluice/Reading"
import * as Monitor from "effect-sluice/ResourceMonitor"
import { ResourceMonitor, TestMonitor } from "effect-sluice/ResourceMonitor"
import { TestClock } from "effect/testing"
import * as Gate from "../../../src/Monitor/gate/Reservation.ts"
import * as Ledger from "../../../src/Monitor/Ledger.ts"
import { LedgerReservation } from "../../../src/Monitor/Ledger.ts"
import { system } from "../support.ts"

const label = "db:5432"

const inTestMonitor = <A, E>(
  body: (
    monitor: ResourceMonitor["Service"],
    test: TestMonitor["Service"]
  ) => Effect.Effect<A, E, Scope.Scope>
) =>
  Effect.flatMap(Effect.all([ResourceMonitor, TestMonitor]), ([monitor, test]) => body(monitor, test)).pipe(
    Effect.scoped,
    Effect.provide(Monitor.layerTest)
  )

/** The first reading at which a first attempt finds no room, with the defaults. */
const full = 976

const settle = Effect.forEach(Array.from({ length: 5 }), () => Effect.yieldNow, { discard: true })

/** Lets time pass in small steps, so that whatever a step wakes has run before the next one. */
const pass = (millis: number, step = 10) =>
  Effect.gen(function*() {
    for (let passed = 0; passed < millis; passed += step) {
      yield* TestClock.adjust(step)
      yield* settle
    }
  })

interface Waiter {
  readonly name: string
  readonly fiber: Fiber.Fiber<void, Monitor.ResourceExhausted>
  readonly scope: Scope.Closeable
}

/** Starts a fiber that waits at the gate, writes its name down when it is let in, and keeps its claim. */
const start = (
  monitor: ResourceMonitor["Service"],
  log: Array<string>,
  name: string,
  request: Omit<Monitor.ReserveRequest, "label"> = {}
): Effect.Effect<Waiter> =>
  Effect.gen(function*() {
    const scope = yield* Scope.make()
    const fiber = yield* monitor.reserve({ label: name, maxWait: "10 seconds", ...request }).pipe(
      Effect.andThen(Effect.sync(() => void log.push(name))),
      Scope.provide(scope),
      Effect.forkDetach({ startImmediately: true })
    )
    return { name, fiber, scope }
  })

const leave = ({ scope }: Waiter) => Scope.close(scope, Exit.void)

describe("waiting for room", () => {
  it.effect("is served in the order of arrival, one for each reservation that ends", () =>
    inTestMonitor((monitor, test) =>
      Effect.gen(function*() {
        yield* test.set({ descriptors: full - 1 })
        const log: Array<string> = []
        const holder = yield* start(monitor, log, "holder")
        const waiters = yield* Effect.forEach(["a", "b", "c"], (name) => start(monitor, log, name))
        assert.strictEqual(yield* test.waiting, 3)
        assert.deepStrictEqual(log, ["holder"])
        for (const [i, waiter] of [holder, ...waiters].entries()) {
          yield* pass(100)
          assert.deepStrictEqual(log, ["holder", "a", "b", "c"].slice(0, i + 1))
          yield* leave(waiter)
          // No time passes: the end of the claim itself lets the next one in.
          yield* settle
          assert.deepStrictEqual(log, ["holder", "a", "b", "c"].slice(0, i + 2))
        }
        assert.deepStrictEqual([yield* test.reserved, yield* test.waiting], [0, 0])
      })
    ))

  it.effect("is woken by a connection that closes, and by readings that fall", () =>
    inTestMonitor((monitor, test) =>
      Effect.gen(function*() {
        const log: Array<string> = []
        yield* test.set({ connectionLimit: 1 })
        const connection = yield* Scope.make()
        yield* Scope.provide(monitor.track({ label }), connection)
        const a = yield* start(monitor, log, "a")
        yield* settle
        assert.deepStrictEqual(log, [])
        yield* Scope.close(connection, Exit.void)
        yield* settle
        assert.deepStrictEqual(log, ["a"])
        yield* leave(a)
        yield* test.set({ descriptors: full })
        yield* start(monitor, log, "b")
        yield* settle
        assert.deepStrictEqual(log, ["a"])
        yield* pass(50)
        yield* test.set({ descriptors: full - 1 })
        yield* settle
        assert.deepStrictEqual(log, ["a", "b"])
      })
    ))

  it.effect("notices within a tenth of a second that other code has closed descriptors", () =>
    Effect.gen(function*() {
      const { layer, script } = system({ size: full + 3 })
      yield* Effect.gen(function*() {
        const monitor = yield* ResourceMonitor
        const log: Array<string> = []
        yield* start(monitor, log, "a")
        yield* pass(500)
        assert.deepStrictEqual(log, [])
        script.size = full + 2
        yield* pass(100)
        assert.deepStrictEqual(log, ["a"])
      }).pipe(Effect.scoped, Effect.provide(Monitor.layerOptions(Monitor.conservative).pipe(Layer.provide(layer))))
    }))

  it.effect("ends at its own deadline, with the numbers, also when others behind it have an earlier one", () =>
    inTestMonitor((monitor, test) =>
      Effect.gen(function*() {
        yield* test.set({ descriptors: full })
        const log: Array<string> = []
        const patient = yield* start(monitor, log, "patient", { maxWait: "3 seconds" })
        const hasty = yield* start(monitor, log, "hasty", { maxWait: "1030 millis" })
        const brief = yield* start(monitor, log, "brief", { maxWait: "20 millis" })
        yield* pass(20)
        assert.deepInclude(yield* Effect.flip(Fiber.join(brief.fiber)), { label: "brief", ahead: 2 })
        yield* pass(1000)
        assert.strictEqual(yield* test.waiting, 2)
        yield* pass(10)
        const refused = yield* Effect.flip(Fiber.join(hasty.fiber))
        assert.deepInclude(refused, { resource: "descriptors", used: full, ahead: 1, label: "hasty" })
        assert.strictEqual(Duration.toMillis(refused.waited), 1030)
        assert.strictEqual(
          refused.message,
          "no room to open hasty: 976 descriptors used + 0 reserved + 1 requested > limit 1000 - headroom 24 " +
            "(level Critical); waited 1s 30ms; 1 ahead of it"
        )
        assert.strictEqual(yield* test.waiting, 1)
        yield* pass(1970)
        assert.deepInclude(yield* Effect.flip(Fiber.join(patient.fiber)), { label: "patient", ahead: 0 })
        assert.deepStrictEqual([yield* test.waiting, yield* test.reserved, yield* test.refused], [0, 0, 3])
      })
    ))

  it.effect("does not happen unless it is asked for", () =>
    inTestMonitor((monitor, test) =>
      Effect.gen(function*() {
        yield* test.set({ descriptors: full })
        const refused = yield* Effect.flip(monitor.reserve({ label }))
        assert.deepInclude(refused, { ahead: 0, topSites: [] })
        assert.strictEqual(Duration.toMillis(refused.waited), 0)
        assert.isAbove(Duration.toMillis(refused.retryAfter), 0)
      })
    ))

  it.effect("is not passed by a later request that does not wait", () =>
    inTestMonitor((monitor, test) =>
      Effect.gen(function*() {
        yield* test.set({ descriptors: full - 2 })
        const log: Array<string> = []
        yield* start(monitor, log, "large", { descriptors: 3 })
        const refused = yield* Effect.flip(monitor.reserve({ label }))
        assert.strictEqual(
          refused.message,
          "no room to open db:5432: 974 descriptors used + 0 reserved + 1 requested of limit 1000, " +
            "and others are served first (level Critical); 1 ahead of it"
        )
        // Whoever claims nothing takes nothing away.
        yield* monitor.reserve({ label, descriptors: 0 })
        const small = yield* start(monitor, log, "small")
        yield* pass(300)
        assert.deepStrictEqual(log, [])
        yield* test.set({ descriptors: full - 4 })
        yield* pass(50)
        assert.deepStrictEqual(log, ["large", "small"])
        yield* leave(small)
      })
    ))

  it.effect("lets a request in that does not wait when only retries wait", () =>
    inTestMonitor((monitor, test) =>
      Effect.gen(function*() {
        yield* test.set({ descriptors: 900 })
        const log: Array<string> = []
        yield* start(monitor, log, "retry", { attempt: 1 })
        yield* monitor.reserve({ label })
        assert.deepStrictEqual(log, [])
        assert.deepInclude(yield* Effect.flip(monitor.reserve({ label, attempt: 2 })), { ahead: 1 })
      })
    ))

  it.effect("lets retries wait behind first attempts that came later, and longer, for a level below Critical", () =>
    inTestMonitor((monitor, test) =>
      Effect.gen(function*() {
        yield* test.set({ descriptors: full })
        const log: Array<string> = []
        yield* start(monitor, log, "retry 1", { attempt: 1 })
        yield* start(monitor, log, "first 1")
        yield* start(monitor, log, "retry 2", { attempt: 4 })
        yield* start(monitor, log, "first 2")
        yield* test.set({ descriptors: full - 10 })
        yield* pass(500)
        assert.deepStrictEqual(log, ["first 1", "first 2"])
        yield* test.set({ descriptors: 890 })
        yield* pass(500)
        assert.deepStrictEqual(log, ["first 1", "first 2", "retry 1", "retry 2"])
      })
    ))

  it.effect("is refused at once where it is in vain", () =>
    inTestMonitor((monitor, test) =>
      Effect.gen(function*() {
        const refused = yield* Effect.flip(monitor.reserve({ label, descriptors: 977, maxWait: "1 hour" }))
        assert.strictEqual(Duration.toMillis(refused.waited), 0)
        assert.strictEqual(yield* test.waiting, 0)
      })
    ))

  it.effect("ends with the monitor", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(Layer.fresh(Monitor.layerTest), scope)
      const monitor = Context.get(context, ResourceMonitor)
      yield* Context.get(context, TestMonitor).set({ descriptors: full })
      const log: Array<string> = []
      const waiters = yield* Effect.forEach(["a", "b"], (name) => start(monitor, log, name))
      yield* pass(1000)
      yield* Scope.close(scope, Exit.void)
      for (const { fiber } of waiters) {
        const refused = yield* Effect.flip(Fiber.join(fiber))
        assert.strictEqual(Duration.toMillis(refused.waited), 1000)
      }
      assert.deepInclude(yield* Effect.flip(monitor.reserve({ label, maxWait: "1 hour" })), {
        _tag: "ResourceExhausted"
      })
    }))

  it.effect("dies on a time that is none", () =>
    inTestMonitor((monitor, test) =>
      Effect.gen(function*() {
        for (const maxWait of [-1, Infinity, Number.NaN, "soon" as never]) {
          const exit = yield* Effect.exit(monitor.reserve({ label, maxWait }))
          assert(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
          const [reason] = exit.cause.reasons
          assert(reason?._tag === "Die" && reason.defect instanceof Monitor.InvalidOption)
          assert.include(reason.defect.message, "ResourceMonitor.reserve: option maxWait is ")
        }
        assert.strictEqual(yield* test.reserved, 0)
      })
    ))

  it.effect(
    "keeps no entry and no claim of the interrupted, wherever they are",
    () =>
      inTestMonitor((monitor, test) =>
        Effect.gen(function*() {
          const log: Array<string> = []
          for (let maxOps = 3; maxOps <= 40; maxOps++) {
            for (let yields = 0; yields < 6; yields++) {
              yield* test.set({ descriptors: full })
              const victim = yield* Effect.scoped(Effect.andThen(
                monitor.reserve({ label, maxWait: "10 seconds" }),
                Effect.never
              )).pipe(
                Effect.provideService(Scheduler.MaxOpsBeforeYield, maxOps),
                Effect.forkDetach({ startImmediately: true })
              )
              const next = yield* start(monitor, log, "next")
              yield* TestClock.adjust(100)
              for (let i = 0; i < 3; i++) yield* settle
              assert.strictEqual(yield* test.waiting, 2)
              yield* test.set({ descriptors: full - 1 })
              for (let i = 0; i < yields; i++) yield* Effect.yieldNow
              yield* Fiber.interrupt(victim)
              yield* pass(100)
              yield* Fiber.join(next.fiber)
              assert.deepStrictEqual([yield* test.waiting, yield* test.reserved], [0, 1], `${maxOps}, ${yields}`)
              yield* leave(next)
            }
          }
        })
      ),
    20_000
  )

  it.effect(
    "leaves nothing behind when a thousand that wait are interrupted at random",
    () =>
      inTestMonitor((monitor, test) =>
        Effect.gen(function*() {
          yield* test.set({ descriptors: full - 50, connectionLimit: 10_000 })
          let seed = 4711
          const random = () => (seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648) / 2_147_483_648
          const fibers = yield* Effect.forEach(Array.from({ length: 1000 }), (_, i) =>
            Effect.scoped(
              Effect.andThen(
                monitor.reserve({ label, maxWait: 100 + 2000 * random(), attempt: i % 3 === 0 ? 1 : 0 }),
                Effect.sleep(1 + 100 * random())
              )
            ).pipe(Effect.forkDetach({ startImmediately: i % 2 === 0 })))
          for (const fiber of fibers) {
            if (random() < 0.05) yield* pass(20)
            if (random() < 0.5) yield* Effect.forkChild(Fiber.interrupt(fiber), { startImmediately: true })
          }
          yield* pass(3000, 20)
          for (const fiber of fibers) assert.isDefined(fiber.pollUnsafe())
          assert.deepStrictEqual([yield* test.waiting, yield* test.reserved], [0, 0])
          const { reserved } = yield* monitor.usage
          assert.strictEqual(reserved, 0)
        })
      ),
    20_000
  )
})

describe("reopening after exhaustion", () => {
  it.effect("lets a thousand in on a ramp, not in the tick in which there is room", () =>
    inTestMonitor((monitor, test) =>
      Effect.gen(function*() {
        yield* test.set({ descriptorLimit: 100_000, descriptors: 100_000, connectionLimit: 100_000 })
        const log: Array<string> = []
        yield* Effect.forEach(Array.from({ length: 1000 }), (_, i) => start(monitor, log, `${i}`))
        yield* pass(1000)
        yield* test.set({ descriptors: 0 })
        yield* settle
        const counts = [log.length]
        for (let window = 1; window < 10; window++) {
          yield* pass(50)
          counts.push(log.length)
        }
        assert.deepStrictEqual(counts, [1, 3, 7, 15, 31, 63, 127, 255, 511, 1000])
        assert.deepStrictEqual(log, Array.from({ length: 1000 }, (_, i) => `${i}`))
      })
    ))

  it.effect("keeps the pace of releases that come one by one", () =>
    inTestMonitor((monitor, test) =>
      Effect.gen(function*() {
        yield* test.set({ descriptors: full - 10 })
        const log: Array<string> = []
        const waiters = yield* Effect.forEach(Array.from({ length: 400 }), (_, i) => start(monitor, log, `${i}`))
        // One claim ends every 5 ms, the oldest first, which is ten in a window.
        let released = 0
        for (let i = 0; i < 300; i++) {
          const oldest = waiters[released]
          if (oldest !== undefined && released < log.length) {
            released += 1
            yield* leave(oldest)
          }
          yield* pass(5, 5)
        }
        assert.isAbove(log.length, 280)
      })
    ))

  it.effect("tells those that it refuses for how long they need not ask again", () =>
    inTestMonitor((monitor, test) =>
      Effect.gen(function*() {
        yield* test.set({ descriptors: full })
        const log: Array<string> = []
        const retryAfter = Effect.map(
          Effect.flip(monitor.reserve({ label })),
          (error) => Duration.toMillis(error.retryAfter)
        )
        assert.strictEqual(yield* retryAfter, 100)
        yield* Effect.forEach(Array.from({ length: 1000 }), (_, i) => start(monitor, log, `${i}`))
        assert.strictEqual(yield* retryAfter, 500)
      })
    ))
})

describe("a reservation", () => {
  const counts = (ledger: Ledger.Ledger) => [Ledger.reserved(ledger), Ledger.opening(ledger)]

  it("ends for a descriptor when that exists, once, and goes on for the others", () => {
    const ledger = Ledger.make()
    const claim = new LedgerReservation(ledger, 3)
    assert.deepStrictEqual(counts(ledger), [3, 1])
    const undo = claim.descriptorOpened()
    claim.descriptorOpened()
    assert.deepStrictEqual(counts(ledger), [1, 1])
    undo()
    undo()
    assert.deepStrictEqual(counts(ledger), [2, 1])
    for (let i = 0; i < 5; i++) claim.descriptorOpened()
    assert.deepStrictEqual(counts(ledger), [0, 1])
    claim.end()
    claim.end()
    undo()
    claim.descriptorOpened()()
    assert.deepStrictEqual(counts(ledger), [0, 0])
  })

  it("is even at its end, whatever was said in whatever order", () => {
    let seed = 42
    const random = (below: number) => (seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648) % below
    for (let history = 0; history < 2000; history++) {
      const ledger = Ledger.make()
      const claim = new LedgerReservation(ledger, random(4))
      const undos: Array<() => void> = []
      for (let step = 0; step < random(12); step++) {
        const choice = random(5)
        if (choice === 0) undos.push(claim.descriptorOpened())
        if (choice === 1 && claim.connectionRecorded(ledger)) undos.push(() => claim.connectionGone())
        if (choice === 2) undos[random(undos.length + 1)]?.()
        if (choice === 3 && random(6) === 0) claim.end()
        const [reserved = -1, opening = -1] = counts(ledger)
        assert(reserved >= 0 && reserved <= 3 && opening >= 0 && opening <= 1)
      }
      claim.end()
      undos.forEach((undo) => undo())
      assert.deepStrictEqual(counts(ledger), [0, 0])
    }
  })

  it.effect("counts an opening that is recorded as a connection once, not twice", () =>
    inTestMonitor((monitor, test) =>
      Effect.gen(function*() {
        yield* test.set({ connectionLimit: 2 })
        const claim = yield* monitor.reserve({ label })
        const connection = yield* Scope.make()
        yield* monitor.track({ label }).pipe(
          Effect.provideService(Monitor.CurrentReservation, claim),
          Scope.provide(connection)
        )
        // One open, none opening: there is room for one more, and for one only.
        const second = yield* Scope.make()
        yield* Scope.provide(monitor.reserve({ label }), second)
        assert.deepInclude(yield* Effect.flip(monitor.reserve({ label })), { used: 1, reserved: 1, limit: 2 })
        // The connection is gone while its opening goes on: it counts as opening again.
        yield* Scope.close(connection, Exit.void)
        assert.deepInclude(yield* Effect.flip(monitor.reserve({ label })), { used: 0, reserved: 2, limit: 2 })
      })
    ))

  it.effect("of one monitor is untouched by a connection in the ledger of another", () =>
    inTestMonitor((monitor, test) =>
      Effect.gen(function*() {
        yield* test.set({ connectionLimit: 1 })
        const claim = yield* monitor.reserve({ label })
        const other = Context.get(yield* Layer.build(Layer.fresh(Monitor.layerTest)), ResourceMonitor)
        yield* Effect.provideService(other.track({ label }), Monitor.CurrentReservation, claim)
        assert.deepInclude(yield* Effect.flip(monitor.reserve({ label })), { used: 0, reserved: 1 })
      })
    ))
})

describe("a refusal", () => {
  it.effect("names the places that hold the most, where they are known", () =>
    Effect.gen(function*() {
      const gauge = (used: number, limit: number) => ({
        used: Reading.known(used, 0, "test"),
        limit: Reading.known(limit, 0, "test")
      })
      let asked = 0
      const gate = yield* Gate.make({
        ledger: Ledger.make(),
        capacity: () => ({
          usage: {
            descriptors: gauge(9, 10),
            reserved: 0,
            memory: gauge(0, 10),
            connections: gauge(0, 10),
            level: "Critical"
          },
          open: 0,
          opening: 0,
          headroom: 1,
          reserve: 0,
          warningThreshold: 0.7,
          errorThreshold: 0.9
        }),
        topSites: () => {
          asked += 1
          return [{ site: "load (users.ts:3:7)", open: 5 }, { site: "save (users.ts:9:7)", open: 2 }]
        }
      })
      const error = yield* Effect.flip(gate.reserve({ label }))
      assert.strictEqual(
        error.message,
        "no room to open db:5432: 9 descriptors used + 0 reserved + 1 requested > limit 10 - headroom 1 " +
          "(level Critical); most are held by load (users.ts:3:7) (5), save (users.ts:9:7) (2)"
      )
      // Whoever is refused in a burst is told the same, and the places are counted once.
      for (let i = 0; i < 500; i++) assert.lengthOf((yield* Effect.flip(gate.reserve({ label }))).topSites, 2)
      assert.strictEqual(asked, 1)
      yield* TestClock.adjust(100)
      yield* Effect.flip(gate.reserve({ label }))
      assert.strictEqual(asked, 2)
    }))
})

describe("what stands in the way", () => {
  const obstacle = ({ reserve }: ResourceMonitor["Service"], request: Monitor.ReserveRequest) =>
    reserve.unsafe?.obstacle?.(request)

  it.effect("is named by resource to a waiting request, and asking reserves and refuses nothing", () =>
    inTestMonitor((monitor, test) =>
      Effect.gen(function*() {
        assert.isUndefined(obstacle(monitor, { label }))
        yield* test.set({ memory: 130, memoryLimit: 128 })
        const waiter = yield* start(monitor, [], "waiter")
        assert.strictEqual(
          obstacle(monitor, { label })?.message,
          "no room to open db:5432: 130 memory used >= limit 128 bytes (level Exhausted); 1 ahead of it"
        )
        assert.deepStrictEqual([yield* test.refused, yield* test.reserved, yield* test.waiting], [0, 0, 1])
        yield* Fiber.interrupt(waiter.fiber)
      })
    ))
})

describe("a count that met EMFILE", () => {
  const saturated = Reading.fromFailure({ code: "EMFILE" }, "test")

  it.effect("refuses although the limit itself cannot be read", () =>
    inTestMonitor((monitor, test) =>
      Effect.gen(function*() {
        for (const descriptorLimit of [saturated, Reading.unknown("Missing", "test")]) {
          yield* test.set({ descriptors: saturated, descriptorLimit })
          const refusal = yield* Effect.flip(Effect.scoped(monitor.reserve({ label })))
          assert.deepInclude(refusal, { resource: "descriptors", level: "Exhausted", used: 0, limit: 0 })
          assert.isDefined(yield* monitor.shortage({ label, cause: "ENOTFOUND" }))
        }
      })
    ))
})

describe("shortage", () => {
  const cause = Object.assign(new Error("getaddrinfo ENOTFOUND db"), { code: "ENOTFOUND", syscall: "getaddrinfo" })

  it.effect("puts a failure down to lack of descriptors from where first attempts are refused", () =>
    inTestMonitor((monitor, test) =>
      Effect.gen(function*() {
        yield* test.set({ descriptors: full - 1 })
        assert.isUndefined(yield* monitor.shortage({ label, cause }))
        yield* test.set({ descriptors: full })
        const shortage = yield* monitor.shortage({ label, cause })
        assert(shortage !== undefined)
        assert.strictEqual(shortage.cause, cause)
        assert.strictEqual(
          shortage.message,
          "no room to open db:5432: 976 descriptors used + 0 reserved + 1 requested > limit 1000 - headroom 24 " +
            "(level Critical); it failed with: getaddrinfo ENOTFOUND db"
        )
        yield* test.set({ descriptors: Reading.fromFailure({ code: "EMFILE" }, "test") })
        assert.deepInclude(yield* monitor.shortage({ label, cause }), { used: 1000, resource: "descriptors" })
      })
    ))

  it.effect("does not count reservations, and is undefined where the count is unknown", () =>
    inTestMonitor((monitor, test) =>
      Effect.gen(function*() {
        yield* test.set({ descriptors: 0 })
        yield* monitor.reserve({ label, descriptors: full })
        assert.isUndefined(yield* monitor.shortage({ label, cause }))
        yield* test.set({ descriptors: Reading.unknown("Missing", "test") })
        assert.isUndefined(yield* monitor.shortage({ label, cause }))
        yield* test.set({ descriptors: 5000, descriptorLimit: Reading.unlimited("test") })
        assert.isUndefined(yield* monitor.shortage({ label, cause }))
      })
    ))
})
