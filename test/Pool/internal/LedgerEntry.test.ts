/**
 * The entries of a pool's connections in the monitor's ledger and in the tracker of what is open: they last exactly as long as the connection.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Connector from "effect-sluice/Connector"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import { type Opened, OpenTracker } from "../../../src/internal/OpenTracker.ts"
import { settle } from "../../support/Pools.ts"

/** A monitor that is somebody else's, which need not have the way without a scope. */
const withoutUnsafe = Layer.effect(
  ResourceMonitor.ResourceMonitor,
  Effect.map(
    ResourceMonitor.ResourceMonitor,
    (monitor) => ResourceMonitor.ResourceMonitor.of({ ...monitor, track: (request) => monitor.track(request) })
  )
)

const ways = {
  "without a scope": ResourceMonitor.layerTest,
  "of a monitor that needs a scope": Layer.provideMerge(withoutUnsafe, ResourceMonitor.layerTest)
}

describe("the records of a connection", () => {
  for (const [way, monitor] of Object.entries(ways)) {
    it.effect(`last as long as it is open, ${way}`, () =>
      Effect.gen(function*() {
        const monitor = yield* ResourceMonitor.TestMonitor
        const whileClosing: Array<number | undefined> = []
        const connector = Connector.make({
          open: (key: string) =>
            Effect.acquireRelease(
              // The dial is noted down before it begins, and goes on to be until the last finalizer has ended.
              Effect.map(monitor.tracked, (during) => ({ key, during: during.get(key) })),
              () => Effect.map(monitor.tracked, (now) => void whileClosing.push(now.get(key)))
            )
        })
        const pool = yield* ConnectionPool.make({ connector })
        const during = yield* ConnectionPool.use(pool, "a", (connection) => Effect.succeed(connection.during))
        assert.strictEqual(during, 1)
        yield* ConnectionPool.use(pool, "b", () => Effect.void)
        assert.deepStrictEqual([...yield* monitor.tracked], [["a", 1], ["b", 1]])
        yield* ConnectionPool.evict(pool, "a")
        yield* settle
        assert.deepStrictEqual([...yield* monitor.tracked], [["b", 1]])
        yield* ConnectionPool.drain(pool, "1 second")
        assert.deepStrictEqual([...yield* monitor.tracked], [])
        assert.deepStrictEqual(whileClosing, [1, 1])
      }).pipe(Effect.provide(monitor)))
  }

  it.effect("the tracker of what is open has it until it is closed", () => {
    const open = new Set<unknown>()
    const forget = (opened: Opened) => open.delete(opened)
    const tracker: OpenTracker = { add: (opened) => open.add(opened), delete: forget, lose: forget }
    return Effect.gen(function*() {
      const connector = Connector.make({ open: (key: string) => Effect.succeed({ key }) })
      const pool = yield* ConnectionPool.make({ connector })
      yield* ConnectionPool.use(pool, "a", () => Effect.void)
      assert.lengthOf([...open], 1)
      yield* ConnectionPool.drain(pool, "1 second")
      assert.lengthOf([...open], 0)
    }).pipe(Effect.provideService(OpenTracker, tracker), Effect.provide(ResourceMonitor.layerTest))
  })
})
