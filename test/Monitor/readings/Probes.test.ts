import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Scope } from "effect"
import * as Fs from "node:fs"
import type { Reading } from "../../../src/Monitor/Reading.ts"
import * as Probes from "../../../src/Monitor/readings/Probes.ts"
import { ProcReader } from "../../../src/Monitor/readings/Procfs.ts"
import { countDescriptors } from "../../support/descriptors.ts"
import { errno, limitsText, type Script, system, withoutProc } from "../support.ts"

const read = (overrides: Partial<Script>) =>
  Effect.gen(function*() {
    const { reader } = system(overrides)
    const probes = yield* Effect.provideService(Probes.make, ProcReader, reader)
    return {
      descriptors: probes.descriptors.read(7),
      limit: probes.descriptorLimit.read(7),
      memory: probes.memory.read(7),
      cheap: probes.descriptors.cheap
    }
  })

const brief = (reading: Reading): unknown =>
  reading._tag === "Known"
    ? [reading.value, reading.source]
    : reading._tag === "Unknown"
    ? reading.reason
    : reading._tag === "Saturated"
    ? reading.code
    : reading._tag

describe("Probes on a scripted system", () => {
  const noProc = { closedPaths: withoutProc("ENOENT") }
  const rows: ReadonlyArray<readonly [string, Partial<Script>, descriptors: unknown, limit: unknown, memory: unknown]> =
    [
      [
        "Linux 6.2 counts by the size of the held directory, without the three descriptors that are held",
        {},
        [27, "/proc/self/fd"],
        [1024, "/proc/self/limits"],
        [5000 * 4096, "/proc/self/statm"]
      ],
      [
        "Linux before 6.2 lists, without the two that are held and the one that lists",
        { size: 0, entries: { "/proc/self/fd": 30 } },
        [27, "/proc/self/fd"],
        [1024, "/proc/self/limits"],
        [5000 * 4096, "/proc/self/statm"]
      ],
      [
        "macOS lists /dev/fd and asks the runtime",
        { ...noProc, entries: { "/dev/fd": 12 }, rss: 77, reported: 256 },
        [11, "/dev/fd"],
        [256, "process.report"],
        [77, "process.memoryUsage"]
      ],
      [
        "Windows knows the memory and nothing else",
        { ...noProc, rss: 77, reported: undefined },
        "Missing",
        "Unsupported",
        [77, "process.memoryUsage"]
      ],
      [
        "a hidden /proc gives Unknown, never 0",
        { ...noProc, rss: "ENOENT", reported: undefined },
        "Missing",
        "Unsupported",
        "Missing"
      ],
      [
        "a forbidden /proc is Denied",
        {
          closedPaths: withoutProc("EACCES"),
          entries: { "/proc/self/fd": "EACCES", "/dev/fd": "EACCES" },
          rss: "EPERM"
        },
        "Denied",
        [1024, "process.report"],
        "Denied"
      ],
      [
        "a listing and a memory reading that meet EMFILE are Saturated",
        { ...noProc, entries: { "/proc/self/fd": "EMFILE" }, rss: "EMFILE", reported: "unlimited" },
        "EMFILE",
        "Unlimited",
        "EMFILE"
      ],
      [
        "a full file table is Saturated as well",
        { size: 0, entries: { "/proc/self/fd": "ENFILE" }, limits: limitsText("unlimited") },
        "ENFILE",
        "Unlimited",
        [5000 * 4096, "/proc/self/statm"]
      ],
      [
        "files without the expected lines are Unknown",
        { limits: "Max processes 1 1", statm: "", rss: "EIO", entries: {} },
        [27, "/proc/self/fd"],
        "Unsupported",
        "Unsupported"
      ],
      [
        "a page size of 16 KiB is derived, though the two readings differ a little",
        { rss: 5100 * 16384 },
        [27, "/proc/self/fd"],
        [1024, "/proc/self/limits"],
        [5000 * 16384, "/proc/self/statm"]
      ],
      [
        "readings that agree on no page size are not mixed",
        { rss: 5000 * 6000 },
        [27, "/proc/self/fd"],
        [1024, "/proc/self/limits"],
        [5000 * 6000, "process.memoryUsage"]
      ]
    ]
  for (const [claim, script, descriptors, limit, memory] of rows) {
    it.effect(claim, () =>
      Effect.gen(function*() {
        const readings = yield* read(script)
        assert.deepStrictEqual(
          [brief(readings.descriptors), brief(readings.limit), brief(readings.memory)],
          [descriptors, limit, memory]
        )
      }))
  }

  it.effect("only the exact count is cheap", () =>
    Effect.gen(function*() {
      assert.isTrue((yield* read({})).cheap)
      assert.isFalse((yield* read({ size: 0 })).cheap)
    }))

  it.effect("a listing takes the place of the spare: it works when nothing is left, and takes nothing from others", () =>
    Effect.gen(function*() {
      const { calls, reader, script } = system({
        size: 0,
        entries: { "/proc/self/fd": 30 },
        files: { "/dev/null": "" }
      })
      const { descriptors, held } = yield* Effect.provideService(Probes.make, ProcReader, reader)
      assert.strictEqual(held, 3)
      script.room = held
      calls.most = 0
      assert.deepStrictEqual(brief(descriptors.read(7)), [30 - 1 - 2, "/proc/self/fd"])
      assert.strictEqual(calls.most, 3)
    }))

  it.effect("nothing throws when every call fails, at the start or later", () =>
    Effect.gen(function*() {
      for (const code of ["EMFILE", "ENFILE", "ENOENT", "EACCES", "EBADF", "EIO"]) {
        const { reader, script } = system()
        const probes = yield* Effect.provideService(Probes.make, ProcReader, reader)
        Object.assign(script, { size: code, limits: code, statm: code, rss: code })
        const failing = (): never => {
          throw errno(code)
        }
        const dead: ProcReader = Object.assign({}, reader, {
          open: failing,
          close: failing,
          size: failing,
          links: failing,
          text: failing,
          contents: failing,
          names: failing,
          entries: failing,
          target: failing,
          rss: failing,
          heap: failing,
          loop: failing,
          uptime: failing,
          reportedLimit: failing,
          environment: failing
        })
        const deadProbes = yield* Effect.provideService(Probes.make, ProcReader, dead)
        for (const { descriptors, descriptorLimit, memory } of [probes, deadProbes]) {
          for (const probe of [descriptors, descriptorLimit, memory]) {
            assert.include(["Unknown", "Saturated"], probe.read(0)._tag)
          }
        }
      }
    }))

  it.effect("what is opened is closed with the scope, once", () =>
    Effect.gen(function*() {
      const { calls, reader } = system()
      const scope = yield* Scope.make()
      yield* Probes.make.pipe(Effect.provideService(ProcReader, reader), Scope.provide(scope))
      assert.deepStrictEqual([calls.opened, calls.closed], [3, 0])
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual([calls.opened, calls.closed], [3, 3])
    }))

  it.effect("a monitor that is closed reads nothing from descriptors that may belong to other code by now", () =>
    Effect.gen(function*() {
      const made = system({ names: { "/proc/self/task": ["1"] } })
      const { calls, reader, script } = made
      const probes = yield* Effect.scoped(Effect.provideService(Probes.make, ProcReader, reader))
      script.size = 123_456
      const before = { ...calls }
      const { descriptors, memory } = probes.fast(7)
      const { descriptorLimit, threads } = probes.slow(7)
      assert.deepStrictEqual(
        [descriptors, memory, descriptorLimit, threads].map(({ _tag }) => _tag),
        ["Unknown", "Unknown", "Unknown", "Unknown"]
      )
      assert.deepStrictEqual([calls.size, calls.text, calls.opened], [before.size, before.text, before.opened])
    }))

  it.effect("a directory that has no size is closed at once", () =>
    Effect.gen(function*() {
      const { calls, reader } = system({ size: 0 })
      yield* Effect.scoped(Effect.provideService(Probes.make, ProcReader, reader))
      assert.deepStrictEqual([calls.opened, calls.closed], [3, 3])
    }))
})

const valueOf = (probe: Probes.Probe): number => {
  const reading = probe.read(0)
  assert(reading._tag === "Known", reading._tag)
  return reading.value
}

describe("Probes on this system", () => {
  it.effect("the count is exact: 50 files more, then 50 less", () =>
    Effect.gen(function*() {
      const outside = countDescriptors()
      const { descriptors } = yield* Probes.make
      assert.strictEqual(valueOf(descriptors), outside)
      const files = Array.from({ length: 50 }, () => Fs.openSync("/dev/null", "r"))
      assert.strictEqual(valueOf(descriptors), outside + 50)
      files.forEach((file) => Fs.closeSync(file))
      assert.strictEqual(valueOf(descriptors), outside)
    }))

  it.effect("the scope leaves no descriptor behind", () =>
    Effect.gen(function*() {
      const outside = countDescriptors()
      yield* Effect.scoped(Probes.make)
      assert.strictEqual(countDescriptors(), outside)
    }))

  it.effect("the listing agrees with the exact count", () =>
    Effect.gen(function*() {
      const outside = countDescriptors()
      const node = yield* ProcReader
      const old = yield* Effect.provideService(Probes.make, ProcReader, Object.assign({}, node, { size: () => 0 }))
      assert.isFalse(old.descriptors.cheap)
      assert.strictEqual(valueOf(old.descriptors), outside)
    }))

  it.effect("memory agrees with the runtime, and the limit with its report", () =>
    Effect.gen(function*() {
      const { descriptorLimit, memory } = yield* Probes.make
      const rss = process.memoryUsage.rss()
      assert.approximately(valueOf(memory) / rss, 1, 0.05)
      const node = yield* ProcReader
      assert.strictEqual(valueOf(descriptorLimit), Number(node.reportedLimit()))
    }))
})
