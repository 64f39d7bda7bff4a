/**
 * What every figure is on each platform: docs/reference/monitor.md says the same. No platform is asked for its version.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Logger, type Scope } from "effect"
import * as Monitor from "effect-sluice/ResourceMonitor"
import { TestClock } from "effect/testing"
import * as Reading from "../../../src/Monitor/Reading.ts"
import * as Probes from "../../../src/Monitor/readings/Probes.ts"
import { ProcReader } from "../../../src/Monitor/readings/Procfs.ts"
import * as Sampler from "../../../src/Monitor/readings/Sampler.ts"
import { type Script, system, withoutProc } from "../support.ts"

const brief = (reading: Reading.Reading): string => {
  switch (reading._tag) {
    case "Known":
      return `${reading.value} ${reading.exact ? "exact" : "estimated"} from ${reading.source}`
    case "Unknown":
      return reading.reason
    case "Saturated":
      return reading.code
    case "Unlimited":
      return reading._tag
  }
}

/** All figures after one window of the event loop, and the kinds of descriptors. */
const all = (overrides: Partial<Script>): Effect.Effect<Record<string, unknown>, never, Scope.Scope> =>
  Effect.gen(function*() {
    const { reader, script } = system({ loop: { active: 0, idle: 0 }, ...overrides })
    const probes = yield* Effect.provideService(Probes.make, ProcReader, reader)
    const sampler = yield* Sampler.make({ probes, connections: () => new Map([["db", 2]]), onSample: () => {} })
    script.loop = { active: 1000, idle: 4000 }
    yield* TestClock.adjust("5 seconds")
    const { connections, ...figures } = sampler.latest().figures
    assert.deepStrictEqual(connections, new Map([["db", 2]]))
    const descriptorBreakdown = yield* sampler.descriptorBreakdown.pipe(
      Effect.map(({ kinds }) => Object.fromEntries(kinds)),
      Effect.catch((reading) => Effect.succeed(brief(reading)))
    )
    return {
      ...Object.fromEntries(Object.entries(figures).map(([name, reading]) => [name, brief(reading)])),
      descriptorBreakdown
    }
  })

/** What needs no system beneath it. */
const everywhere = {
  heap: "4000000 exact from v8.getHeapStatistics",
  heapLimit: "2000000000 exact from v8.getHeapStatistics",
  loopDelay: "0 estimated from timer",
  loopUtilization: "0.2 exact from eventLoopUtilization"
}

const nowhereElse = {
  sockets: "Missing",
  memoryPressure: "Missing",
  cpuPressure: "Missing",
  ioPressure: "Missing",
  threads: "Missing",
  processLimit: "Missing"
}

const linux: Partial<Script> = {
  files: {
    "/dev/null": "",
    "/proc/self/cgroup": "0::/\n",
    "/proc/self/mountinfo": "31 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
    "/sys/fs/cgroup/memory.current": "900\n",
    "/sys/fs/cgroup/memory.max": "1000\n",
    "/sys/fs/cgroup/memory.stat": "inactive_file 100\nactive_file 50\n",
    "/sys/fs/cgroup/memory.pressure": "some avg10=10.00 avg60=0.00\n",
    "/proc/pressure/cpu": "some avg10=20.00 avg60=0.00\n",
    "/sys/fs/cgroup/pids.max": "512\n",
    "/proc/self/net/sockstat": "TCP: inuse 11 orphan 0\n",
    "/proc/self/net/sockstat6": "TCP6: inuse 2\n",
    "/proc/self/stat": "4242 (node) R 1 2 3 0 -1 4 5 6 7 8 9 10 11 12 20 0 7 0 1000 0 0\n",
    "/proc/self/task/4242/children": ""
  },
  names: { "/proc/self/task": ["4242"], "/proc/self/fd": ["0", "1", "2"] },
  targets: {
    "/proc/thread-self": "4242/task/4242",
    "/proc/self/fd/0": "/dev/null",
    "/proc/self/fd/1": "pipe:[1]",
    "/proc/self/fd/2": "socket:[2]"
  }
}

describe("every figure", () => {
  it.effect("on Linux in a container", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* all({ ...linux, size: 40 }), {
        ...everywhere,
        descriptors: "27 exact from /proc/self/fd",
        descriptorLimit: "1024 exact from /proc/self/limits",
        memory: "20480000 exact from /proc/self/statm",
        sockets: "13 exact from /proc/self/net/sockstat",
        containerMemory: "750 estimated from /sys/fs/cgroup/memory.current",
        containerMemoryLimit: "1000 exact from /sys/fs/cgroup/memory.max",
        memoryPressure: "0.1 exact from /sys/fs/cgroup/memory.pressure",
        cpuPressure: "0.2 exact from /proc/pressure/cpu",
        ioPressure: "Missing",
        threads: "7 exact from /proc/self/task",
        processLimit: "512 exact from /sys/fs/cgroup/pids.max",
        zombies: "0 exact from /proc/self/task",
        descriptorBreakdown: { device: 1, pipe: 1, socket: 1 }
      })
    }))

  it.effect("on Linux before 6.2 in a container: the descriptors are listed, all else is the same", () =>
    Effect.gen(function*() {
      const [old, recent] = [
        // While the spare is away the one that lists is there, and the directory of descriptors is not held.
        yield* all({ ...linux, size: 0, entries: { "/proc/self/fd": 39 } }),
        yield* all({ ...linux, size: 40 })
      ]
      assert.deepStrictEqual(old, { ...recent, descriptors: "27 exact from /proc/self/fd" })
    }))

  it.effect("on AWS Lambda without a group to be seen", () =>
    Effect.gen(function*() {
      const files = { ...linux.files, "/proc/self/mountinfo": "\n" }
      const figures = yield* all({ ...linux, files, environment: { AWS_LAMBDA_FUNCTION_MEMORY_SIZE: "512" } })
      assert.deepInclude(figures, {
        containerMemory: "8192000 estimated from /proc/self/statm",
        containerMemoryLimit: "536870912 exact from AWS_LAMBDA_FUNCTION_MEMORY_SIZE"
      })
    }))

  it.effect("on macOS", () =>
    Effect.gen(function*() {
      const figures = yield* all({
        platform: "darwin",
        closedPaths: withoutProc("ENOENT"),
        files: { "/dev/null": "" },
        entries: { "/dev/fd": 12 },
        names: { "/dev/fd": ["0", "1", "2"] },
        kinds: { 0: "device", 1: "pipe", 2: "socket" },
        rss: 77_000_000,
        reported: 256
      })
      assert.deepStrictEqual(figures, {
        ...everywhere,
        ...nowhereElse,
        // One of the 12 entries is the one that lists, in the place of the spare.
        descriptors: "11 exact from /dev/fd",
        descriptorLimit: "256 exact from process.report",
        memory: "77000000 exact from process.memoryUsage",
        containerMemory: "Missing",
        containerMemoryLimit: "Unlimited",
        zombies: "Missing",
        descriptorBreakdown: { device: 1, pipe: 1, socket: 1 }
      })
    }))

  it.effect("on Windows", () =>
    Effect.gen(function*() {
      const figures = yield* all({
        platform: "win32",
        closedPaths: withoutProc("ENOENT"),
        rss: 77_000_000,
        reported: undefined
      })
      assert.deepStrictEqual(figures, {
        ...everywhere,
        ...nowhereElse,
        descriptors: "Missing",
        descriptorLimit: "Unsupported",
        memory: "77000000 exact from process.memoryUsage",
        containerMemory: "Missing",
        containerMemoryLimit: "Unlimited",
        zombies: "0 exact from win32",
        descriptorBreakdown: "Missing"
      })
    }))

  it.effect("on Linux with a hidden /proc: what is not known is not taken for none", () =>
    Effect.gen(function*() {
      const figures = yield* all({
        closedPaths: withoutProc("ENOENT"),
        files: { "/dev/null": "" },
        rss: "ENOENT",
        reported: 1024
      })
      assert.deepStrictEqual(figures, {
        ...everywhere,
        ...nowhereElse,
        descriptors: "Missing",
        descriptorLimit: "1024 exact from process.report",
        memory: "Missing",
        containerMemory: "Missing",
        containerMemoryLimit: "Missing",
        zombies: "Missing",
        descriptorBreakdown: "Missing"
      })
    }))
})

describe("the monitor", () => {
  it.effect("gives every figure, its own cost, and what the descriptors are", () =>
    Effect.gen(function*() {
      const monitor = yield* Monitor.ResourceMonitor
      yield* monitor.track({ label: "db" })
      const figures = yield* monitor.figures
      assert.deepStrictEqual(brief(figures.threads), "7 exact from /proc/self/task")
      assert.deepStrictEqual(figures.connections, new Map([["db", 1]]))
      assert.deepInclude(yield* monitor.cost, { ticks: 1, slowdown: 1 })
      // Whoever asks pays for it himself.
      yield* monitor.figures
      assert.deepInclude(yield* monitor.cost, { ticks: 1 })
      assert.deepStrictEqual(Object.fromEntries((yield* monitor.descriptorBreakdown).kinds), {
        device: 1,
        pipe: 1,
        socket: 1
      })
    }).pipe(Effect.scoped, Effect.provide(Layer.fresh(Monitor.layer).pipe(Layer.provide(system(linux).layer)))))

  it.effect("takes a breakdown when descriptors are Critical, and logs it", () => {
    const said: Array<string> = []
    const { layer, script } = system({ ...linux, size: 113 })
    return Effect.gen(function*() {
      yield* Monitor.ResourceMonitor
      const pass = Effect.forEach(
        Array.from({ length: 240 }),
        () => Effect.andThen(TestClock.adjust(250), Effect.yieldNow)
      )
      yield* pass
      assert.deepStrictEqual(said, [])
      script.size = 960
      yield* pass
      assert.deepStrictEqual(said.filter((line) => line.includes("kind")), [
        "the open descriptors by kind: 1 device, 1 pipe, 1 socket"
      ])
    }).pipe(
      Effect.provide(
        Layer.fresh(Monitor.layer).pipe(
          Layer.provide(layer),
          Layer.provideMerge(Logger.layer([Logger.make(({ message }) => said.push(String(message)))]))
        )
      )
    )
  })

  it.effect("of a test has the figures that the test sets, and none beside them", () =>
    Effect.gen(function*() {
      const monitor = yield* Monitor.ResourceMonitor
      const test = yield* Monitor.TestMonitor
      const { connections, ...others } = yield* monitor.figures
      assert.strictEqual(connections.size, 0)
      const given = new Set(["descriptors", "descriptorLimit", "memory"])
      for (const [name, reading] of Object.entries(others)) {
        assert.strictEqual(reading._tag, given.has(name) ? "Known" : "Unknown", name)
      }
      for (const name of Object.keys(others)) {
        yield* test.set({ [name]: 17 })
        assert.deepInclude((yield* monitor.figures)[name as keyof typeof others], { _tag: "Known", value: 17 }, name)
      }
      yield* test.set({ zombies: Reading.unknown("Denied", "test") })
      assert.strictEqual(brief((yield* monitor.figures).zombies), "Denied")
      assert.deepInclude(yield* Effect.flip(monitor.descriptorBreakdown), { reason: "Missing" })
      assert.strictEqual((yield* monitor.cost).ticks, 0)
    }).pipe(Effect.provide(Layer.fresh(Monitor.layerTest))))
})
