/**
 * `Operations` finds every pool and the monitor of a program in any order of layers.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer, Scope } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Connector from "effect-sluice/Connector"
import * as Operations from "effect-sluice/Operations"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import * as ChildProcess from "node:child_process"
import * as Path from "node:path"
import { promisify } from "node:util"
import { ofPool, withOwnMetrics } from "./support.ts"

const connector = Connector.make({ open: (name: string) => Effect.succeed({ name }) })

class Orders extends ConnectionPool.Service<Orders>()("test/Orders", { connector }) {}
class Reports extends ConnectionPool.Service<Reports>()("test/Reports", { connector }) {}

const interval = 20

const parts = {
  orders: Layer.provide(Orders.layer, ResourceMonitor.layer),
  reports: Layer.provide(Reports.layer, ResourceMonitor.layer),
  monitor: ResourceMonitor.layer,
  operations: Operations.layerOptions({ interval, logs: false })
}

type Name = keyof typeof parts

const ordersOf = (names: ReadonlyArray<Name>): ReadonlyArray<ReadonlyArray<Name>> =>
  names.length === 0
    ? [[]]
    : names.flatMap((name) => ordersOf(names.filter((other) => other !== name)).map((rest) => [name, ...rest]))

/** What a snapshot has of this test: other tests of the process may have pools too. */
const found = (snapshot: Operations.Snapshot) => ({
  pools: snapshot.pools.map(({ name }) => name).filter((name) => name.startsWith("test/")).toSorted(),
  monitor: snapshot.monitor !== undefined
})

const everything = { pools: ["test/Orders", "test/Reports"], monitor: true }

/** One of them provides `Operations`. */
const merged = (names: ReadonlyArray<Name>) => {
  const [first = parts.operations, ...rest] = names.map((name) => parts[name] as Layer.Layer<Operations.Operations>)
  return Layer.mergeAll(first, ...rest)
}

const execFile = promisify(ChildProcess.execFile)

const sources = Path.resolve(import.meta.dirname, "../../scripts/sources.mjs")

const child = Path.join(import.meta.dirname, "platform-child.ts")

describe("two pools, the monitor and Operations", () => {
  for (const names of ordersOf(["orders", "reports", "monitor", "operations"])) {
    it.live(`are all found when they are merged as ${names.join(", ")}`, () =>
      Effect.gen(function*() {
        assert.deepStrictEqual(found(yield* Operations.snapshot()), everything)
      }).pipe(Effect.provide(merged(names), { local: true }), withOwnMetrics))
  }

  it.live("are found when Operations is built first, and gone within an interval after their end", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const pools = Layer.mergeAll(Orders.layer, Reports.layer).pipe(Layer.provide(ResourceMonitor.layer))
      yield* Layer.buildWithScope(pools, scope)
      assert.deepStrictEqual(found(yield* Operations.snapshot()), everything)
      assert.isNotEmpty(yield* ofPool("test/Orders"))
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(found(yield* Operations.snapshot()).pools, [])
      yield* Effect.sleep(interval * 5)
      assert.deepStrictEqual([yield* ofPool("test/Orders"), yield* ofPool("test/Reports")], [[], []])
    }).pipe(Effect.provide(parts.operations, { local: true }), withOwnMetrics))

  for (const scope of ["process", "context"]) {
    for (const platform of ["Main", "Lambda"]) {
      it.live(`are found under ${platform}, by the registry of its ${scope}`, () =>
        Effect.gen(function*() {
          const args = ["--import", sources, child, platform, scope]
          const { stdout } = yield* Effect.promise(() => execFile(process.execPath, args))
          assert.deepStrictEqual(JSON.parse(stdout), everything)
        }))
    }
  }
})
