/**
 * Faults of the earlier implementation that must not come back.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { ConfigProvider } from "effect"
import * as Monitor from "effect-sluice/ResourceMonitor"
import { ResourceMonitor } from "effect-sluice/ResourceMonitor"
import * as Settings from "effect-sluice/Settings"
import { TestClock } from "effect/testing"
import * as Net from "node:net"
import * as TcpServer from "../support/TcpServer.ts"
import { system, withoutProc } from "./support.ts"

const label = "db:5432"

describe("faults of the earlier implementation", () => {
  it.effect("fault 8: the descriptor count listed a directory on every single borrow", () =>
    Effect.gen(function*() {
      const borrows = Effect.flatMap(
        ResourceMonitor,
        (monitor) =>
          Effect.forEach(Array.from({ length: 1000 }), () =>
            Effect.andThen(
              Effect.scoped(monitor.reserve({ label })),
              Effect.scoped(monitor.track({ label }))
            ))
      )
      const exact = system()
      yield* Effect.provide(borrows, Layer.fresh(Monitor.layer).pipe(Layer.provide(exact.layer)))
      assert.strictEqual(exact.calls.entries, 0)

      const listing = system({ size: 0, entries: { "/proc/self/fd": 53 } })
      yield* Effect.gen(function*() {
        yield* borrows
        assert.strictEqual(listing.calls.entries, 1)
        yield* TestClock.adjust("1 second")
        yield* borrows
        assert.strictEqual(listing.calls.entries, 2)
      }).pipe(Effect.provide(Layer.fresh(Monitor.layer).pipe(Layer.provide(listing.layer))))
    }))

  it.live("fault 9: TCP connections were counted for the whole network namespace, and only IPv4", () =>
    Effect.gen(function*() {
      const server = yield* TcpServer.make(() => {}, {})
      const foreign = yield* Effect.forEach([1, 2, 3], () =>
        Effect.callback<Net.Socket>((resume) => {
          const socket = Net.connect(server.endpoint.port, "127.0.0.1", () => resume(Effect.succeed(socket)))
        }))
      const monitor = yield* ResourceMonitor
      assert.deepInclude((yield* monitor.usage).connections.used, { value: 0, source: "ledger" })
      yield* monitor.track({ label: "[::1]:9500" })
      yield* monitor.track({ label: "127.0.0.1:9500" })
      assert.deepInclude((yield* monitor.usage).connections.used, { value: 2 })
      foreign.forEach((socket) => socket.destroy())
    }).pipe(Effect.scoped, Effect.provide(Monitor.layer)))

  it.effect("fault 10: a zombie was any line of ps aux with a capital Z in it, on the whole host", () =>
    Effect.gen(function*() {
      const stat = (pid: number, command: string, state: string, parent: number) =>
        `${pid} (${command}) ${state} ${parent} 0 0 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 ${pid} 0 0`
      const { layer } = system({
        files: {
          "/proc/self/stat": stat(4242, "node", "R", 1),
          "/proc/self/task/4242/children": "77 78 79",
          // Words that look like it, and a child that is one, of which there is nothing else to see.
          "/proc/77/stat": stat(77, "Zookeeper) Z 1", "S", 4242),
          "/proc/78/stat": stat(78, "sleep <defunct>", "R", 4242),
          "/proc/79/stat": stat(79, "sh", "Z", 4242),
          // Those of others are none of ours.
          "/proc/9000/stat": stat(9000, "cron", "Z", 1)
        },
        names: { "/proc/self/task": ["4242"], "/proc": ["77", "78", "79", "4242", "9000"] },
        targets: { "/proc/thread-self": "4242/task/4242" }
      })
      yield* Effect.gen(function*() {
        const monitor = yield* ResourceMonitor
        const count = Effect.map(monitor.figures, ({ zombies }) => zombies)
        assert.deepInclude(yield* count, { value: 0 })
        // The loop that would wait for it has to have had a turn to do so.
        yield* Effect.promise(() => new Promise<void>((resolve) => setTimeout(resolve, 20)))
        assert.deepInclude(yield* count, { value: 1 })
        const zombies = yield* monitor.zombies
        assert.deepStrictEqual(zombies.map(({ command, pid }) => [pid, command]), [[79, "sh"]])
        assert.match(zombies[0]?.remedy ?? "", /wait for its exit|wait for the exit/)
      }).pipe(Effect.provide(Layer.fresh(Monitor.layer).pipe(Layer.provide(layer))))
    }))

  it.effect("fault 11: a figure that could not be read was 0, 10 or 100", () =>
    Effect.gen(function*() {
      const hidden = system({ closedPaths: withoutProc("ENOENT"), rss: "ENOENT", reported: undefined })
      yield* Effect.gen(function*() {
        const monitor = yield* ResourceMonitor
        for (const usage of [yield* monitor.usage, yield* monitor.sample]) {
          assert.strictEqual(usage.descriptors.used._tag, "Unknown")
          assert.strictEqual(usage.memory.used._tag, "Unknown")
          assert.notProperty(usage.descriptors.used, "value")
          assert.notProperty(usage.memory.used, "value")
        }
      }).pipe(Effect.provide(Monitor.layer.pipe(Layer.provide(hidden.layer))))

      // What could be read before and cannot be read now is not the last value either.
      const failing = system()
      yield* Effect.gen(function*() {
        const monitor = yield* ResourceMonitor
        assert.strictEqual((yield* monitor.usage).descriptors.used._tag, "Known")
        failing.script.size = "EACCES"
        failing.script.statm = "EACCES"
        const { descriptors, memory } = yield* monitor.usage
        assert.deepInclude(descriptors.used, { _tag: "Unknown", reason: "Denied" })
        assert.deepInclude(memory.used, { _tag: "Unknown", reason: "Denied" })
      }).pipe(Effect.provide(Layer.fresh(Monitor.layer).pipe(Layer.provide(failing.layer))))
    }))

  it.effect("fault 12: the same alert fired every interval, and each one ran all the cleanups again", () =>
    Effect.gen(function*() {
      const { layer, script } = system({ size: 953 })
      yield* Effect.gen(function*() {
        const monitor = yield* ResourceMonitor
        let cleanups = 0
        yield* monitor.onPressure({ run: Effect.sync(() => cleanups++) })
        // An hour above the threshold, with some noise.
        for (let second = 0; second < 3600; second++) {
          script.size = 953 + second % 7
          yield* TestClock.adjust("1 second")
        }
        const alerts = yield* monitor.recentAlerts()
        assert.deepStrictEqual(alerts.map(({ message }) => message), [
          "descriptors: Normal -> Critical, 950 used of 1000 (95 %)"
        ])
        assert.strictEqual(cleanups, 1)
      }).pipe(Effect.scoped, Effect.provide(Layer.fresh(Monitor.layer).pipe(Layer.provide(layer))))
    }))

  it.effect("fault 13: thresholds in the retry loop, in the pool and in the monitor did not agree", () =>
    Effect.gen(function*() {
      const { layer, script } = system({ size: 3 })
      const options = { maxDescriptors: 200, warningThreshold: 0.5, errorThreshold: 0.6, headroom: 0 }
      yield* Effect.gen(function*() {
        const monitor = yield* ResourceMonitor
        for (let used = 0; used <= 210; used++) {
          script.size = used + 3
          const level = yield* monitor.level
          assert.strictEqual(
            level,
            used >= 200 ? "Exhausted" : used >= 120 ? "Critical" : used >= 100 ? "Warning" : "Normal"
          )
          const retry = yield* Effect.exit(Effect.scoped(monitor.reserve({ label, attempt: 1 })))
          assert.strictEqual(retry._tag === "Failure", Monitor.isAtLeast(level, "Critical"), `retry at ${used}`)
          const first = yield* Effect.exit(Effect.scoped(monitor.reserve({ label })))
          assert.strictEqual(first._tag === "Failure", level === "Exhausted", `first attempt at ${used}`)
        }
      }).pipe(Effect.provide(Monitor.layerOptions(options).pipe(Layer.provide(layer))))
    }))

  it.effect("fault 13: the defaults of the environment are those of one preset of the monitor", () =>
    Effect.gen(function*() {
      const { monitor } = yield* Settings.config.parse(ConfigProvider.fromUnknown({}))
      const usageOf = (options: Monitor.Options) =>
        Effect.flatMap(ResourceMonitor, (monitor) => monitor.usage).pipe(
          Effect.provide(Layer.fresh(Monitor.layerOptions(options)).pipe(Layer.provide(system({ size: 703 }).layer)))
        )
      assert.deepStrictEqual(yield* usageOf(monitor), yield* usageOf(Monitor.conservative))
      assert.strictEqual((yield* usageOf(monitor)).level, "Warning")
      assert.deepInclude(monitor, Monitor.conservative)
    }))
})
