import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Layer } from "effect"
import * as Monitor from "effect-sluice/ResourceMonitor"
import * as Fs from "node:fs"
import * as Reading from "../../../src/Monitor/Reading.ts"
import * as Container from "../../../src/Monitor/readings/Container.ts"
import * as Probes from "../../../src/Monitor/readings/Probes.ts"
import { OpenFiles, ProcReader } from "../../../src/Monitor/readings/Procfs.ts"
import type { Figures, SlowFigures } from "../../../src/Monitor/Usage.ts"
import { type Script, system, withoutProc } from "../support.ts"

const slowly = (overrides: Partial<Script>, later: (script: Script) => void = () => {}) =>
  Effect.gen(function*() {
    const { reader, script } = system(overrides)
    const probes = yield* Effect.provideService(Probes.make, ProcReader, reader)
    later(script)
    return probes.slow(7)
  })

const brief = (reading: Reading.Reading): unknown => {
  switch (reading._tag) {
    case "Known":
      return reading.value
    case "Unknown":
      return reading.reason
    case "Saturated":
      return reading.code
    case "Unlimited":
      return reading._tag
  }
}

const memoryOf = ({ containerMemory, containerMemoryLimit }: SlowFigures) => [
  brief(containerMemory),
  brief(containerMemoryLimit)
]

const version2 = {
  "/proc/self/cgroup": "0::/pod/box\n",
  "/proc/self/mountinfo": "31 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
}
const version1 = {
  "/proc/self/cgroup": "4:memory:/box\n3:pids:/box\n0::/\n",
  "/proc/self/mountinfo": [
    "31 23 0:28 / /cg/memory rw - cgroup cgroup rw,memory",
    "32 23 0:29 / /cg/pids rw - cgroup cgroup rw,pids",
    "33 23 0:30 / /cg/unified rw - cgroup2 cgroup2 rw"
  ].join("\n")
}
const box = "/sys/fs/cgroup/pod/box"
const limitedBox = { ...version2, [`${box}/memory.current`]: "900\n", [`${box}/memory.max`]: "1000\n" }

describe("another process", () => {
  it("has the limits of its own groups", () => {
    const there = "/sys/fs/cgroup/pod/there"
    const { reader } = system({
      files: {
        ...limitedBox,
        "/proc/77/cgroup": "0::/pod/there\n",
        [`${there}/memory.current`]: "50\n",
        [`${there}/memory.max`]: "100\n",
        [`${there}/pids.max`]: "20\n"
      }
    })
    const files = new OpenFiles(reader)
    const resident = () => Reading.unknown("Missing", "")
    const container = Container.make(reader, files, { isHeld: false, resident, membership: "/proc/77/cgroup" })
    const { limit, used } = container.memory(7)
    assert.deepStrictEqual([used, limit, container.processLimit(7)].map(brief), [50, 100, 20])
    files.close()
  })
})

describe("the memory of the container", () => {
  const rows: ReadonlyArray<readonly [string, Partial<Script>, memory: ReadonlyArray<unknown>]> = [
    ["version 2", { files: limitedBox }, [900, 1000]],
    ["version 2 without a limit", { files: { ...limitedBox, [`${box}/memory.max`]: "max\n" } }, [900, "Unlimited"]],
    [
      "what the kernel gives back on demand is not used",
      { files: { ...limitedBox, [`${box}/memory.stat`]: "anon 1\nfile 500\ninactive_file 300\nactive_file 100\n" } },
      [500, 1000]
    ],
    [
      "more cache than memory is nonsense, and is left in",
      { files: { ...limitedBox, [`${box}/memory.stat`]: "inactive_file 900\n" } },
      [900, 1000]
    ],
    [
      "the group above is tighter",
      {
        files: {
          ...limitedBox,
          "/sys/fs/cgroup/pod/memory.current": "4990\n",
          "/sys/fs/cgroup/pod/memory.max": "5000\n"
        }
      },
      [4990, 5000]
    ],
    [
      "the group above has more room",
      {
        files: { ...limitedBox, "/sys/fs/cgroup/pod/memory.current": "10\n", "/sys/fs/cgroup/pod/memory.max": "950\n" }
      },
      [900, 1000]
    ],
    [
      "only the group above is limited",
      {
        files: {
          ...limitedBox,
          [`${box}/memory.max`]: "max",
          "/sys/fs/cgroup/pod/memory.current": "10\n",
          "/sys/fs/cgroup/pod/memory.max": "950\n"
        }
      },
      [10, 950]
    ],
    [
      "the root of version 2 has no such files: nothing limits it",
      { files: { ...version2, "/proc/self/cgroup": "0::/\n" } },
      ["Missing", "Unlimited"]
    ],
    [
      "version 1",
      {
        files: {
          ...version1,
          "/cg/memory/box/memory.usage_in_bytes": "900\n",
          "/cg/memory/box/memory.limit_in_bytes": "1000\n",
          "/cg/memory/box/memory.stat": "inactive_file 5\ntotal_inactive_file 300\n"
        }
      },
      [600, 1000]
    ],
    [
      "version 1 without a limit has the largest number of pages",
      {
        files: {
          ...version1,
          "/cg/memory/box/memory.usage_in_bytes": "900\n",
          "/cg/memory/box/memory.limit_in_bytes": "9223372036854771712\n"
        }
      },
      [900, "Unlimited"]
    ],
    ["0 bytes are impossible", { files: { ...limitedBox, [`${box}/memory.current`]: "0\n" } }, ["Unsupported", 1000]],
    ["a limit of 0 is impossible", { files: { ...limitedBox, [`${box}/memory.max`]: "0\n" } }, [900, "Unsupported"]],
    [
      "empty files",
      { files: { ...limitedBox, [`${box}/memory.current`]: "", [`${box}/memory.max`]: "" } },
      ["Unsupported", "Unsupported"]
    ],
    [
      "forbidden files",
      { files: { ...limitedBox, [`${box}/memory.current`]: "EACCES", [`${box}/memory.max`]: "EACCES" } },
      ["Denied", "Denied"]
    ],
    [
      "files that meet EMFILE at the start and later",
      { files: { ...limitedBox, [`${box}/memory.current`]: "EMFILE", [`${box}/memory.max`]: "ENFILE" } },
      ["EMFILE", "ENFILE"]
    ],
    ["no group is mounted here", { files: { ...version2, "/proc/self/mountinfo": "\n" } }, ["Missing", "Missing"]],
    ["a hidden /proc", {}, ["Missing", "Missing"]],
    ["a forbidden /proc", { files: { "/proc/self/cgroup": "EACCES" } }, ["Denied", "Denied"]],
    ["macOS has no such limit", { platform: "darwin", closedPaths: withoutProc("ENOENT") }, ["Missing", "Unlimited"]],
    ["Windows has no such limit", { platform: "win32", closedPaths: withoutProc("ENOENT") }, ["Missing", "Unlimited"]],
    [
      "AWS Lambda states its limit, and the resident memory stands in for what is used, without the program's own file",
      { environment: { AWS_LAMBDA_FUNCTION_MEMORY_SIZE: "512" } },
      [2000 * 4096, 512 * 1024 * 1024]
    ],
    [
      "AWS Lambda states a limit above the group's",
      { environment: { AWS_LAMBDA_FUNCTION_MEMORY_SIZE: "512" }, files: limitedBox },
      [900, 1000]
    ],
    [
      "AWS Lambda in a group without a limit, which has other programs in it",
      {
        environment: { AWS_LAMBDA_FUNCTION_MEMORY_SIZE: "128" },
        files: { ...limitedBox, [`${box}/memory.max`]: "max" }
      },
      [2000 * 4096, 128 * 1024 * 1024]
    ],
    ...["", "0", "-128", "lots", "1e3", "18446744073709551616"].map((text) =>
      [
        `a limit of ${JSON.stringify(text)} in the environment is none`,
        { environment: { AWS_LAMBDA_FUNCTION_MEMORY_SIZE: text }, files: limitedBox },
        [900, 1000]
      ] as const
    )
  ]
  for (const [claim, script, memory] of rows) {
    it.effect(claim, () =>
      Effect.gen(function*() {
        assert.deepStrictEqual(memoryOf(yield* slowly(script)), memory)
      }))
    it.effect(`${claim}, with too few descriptors to hold those files`, () =>
      Effect.gen(function*() {
        const limits = "Max open files            128                 128               files     \n"
        assert.deepStrictEqual(memoryOf(yield* slowly({ ...script, limits })), memory)
      }))
  }

  it.effect("what is found with room holds when there is none, and later failures are reported as they are", () =>
    Effect.gen(function*() {
      const files = { ...limitedBox }
      assert.deepStrictEqual(memoryOf(yield* slowly({ files }, (script) => script.room = 0)), [900, 1000])
      const failing = (code: string) =>
        slowly({ files: { ...limitedBox } }, (script) => script.files[`${box}/memory.current`] = code)
      assert.deepStrictEqual(memoryOf(yield* failing("ENODEV")), ["Unsupported", 1000])
      assert.deepStrictEqual(memoryOf(yield* failing("")), ["Unsupported", 1000])
    }))

  it.effect("a monitor that starts when nothing is left finds the groups when there is room again", () =>
    Effect.gen(function*() {
      const { reader, script } = system({ files: limitedBox, room: 0 })
      const probes = yield* Effect.provideService(Probes.make, ProcReader, reader)
      assert.deepStrictEqual(memoryOf(probes.slow(7)), ["EMFILE", "EMFILE"])
      script.room = Infinity
      assert.deepStrictEqual(memoryOf(probes.slow(8)), [900, 1000])
    }))
})

describe("the memory of the monitor", () => {
  const usageOf = (overrides: Partial<Script>, options: Monitor.Options = {}) =>
    Effect.flatMap(Monitor.ResourceMonitor, (monitor) => monitor.usage).pipe(
      Effect.provide(Layer.fresh(Monitor.layerOptions(options)).pipe(Layer.provide(system(overrides).layer)))
    )
  const gaugeOf = ({ level, memory }: Monitor.Usage) => [brief(memory.used), brief(memory.limit), level]
  const resident = 5000 * 4096

  it.effect("is the container's where that is nearer to its limit", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(gaugeOf(yield* usageOf({ files: limitedBox })), [900, 1000, "Critical"])
    }))

  it.effect("is that of the process where that is nearer, and where the container has no limit", () =>
    Effect.gen(function*() {
      const options = { maxMemory: 5400 * 4096 }
      assert.deepStrictEqual(
        gaugeOf(yield* usageOf({ files: limitedBox }, options)),
        [resident, 5400 * 4096, "Critical"]
      )
      for (const limit of ["max", "0", "", "EACCES"]) {
        const files = { ...limitedBox, [`${box}/memory.max`]: limit }
        assert.deepStrictEqual(gaugeOf(yield* usageOf({ files })), [resident, "Unlimited", "Normal"], limit)
      }
    }))

  it.effect("has the container's limit where none is configured", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(
        gaugeOf(yield* usageOf({ files: limitedBox }, { maxMemory: Infinity })),
        [900, 1000, "Critical"]
      )
    }))
})

describe("the limit of processes", () => {
  const limits = (processes: string) =>
    `Max processes             ${processes}                unlimited            processes \n` +
    "Max open files            1024                 524288               files     \n"
  const rows: ReadonlyArray<readonly [string, processes: string, pids: string | undefined, unknown]> = [
    ["the group's when it is smaller", "96365", "512", 512],
    ["the user's when it is smaller", "300", "512", 300],
    ["the user's when the group has none", "300", "max", 300],
    ["the group's when the user has none", "unlimited", "512", 512],
    ["none", "unlimited", "max", "Unlimited"],
    ["not known when one of them is not", "unlimited", "EACCES", "Denied"],
    ["the user's where the group has no file", "300", undefined, 300],
    ["0 is impossible", "0", "0", "Unsupported"]
  ]
  for (const [claim, processes, pids, expected] of rows) {
    it.effect(claim, () =>
      Effect.gen(function*() {
        const files = pids === undefined ? version2 : { ...version2, [`${box}/pids.max`]: pids }
        assert.strictEqual(brief((yield* slowly({ files, limits: limits(processes) })).processLimit), expected)
      }))
  }
})

describe("pressure", () => {
  const stall = (percent: string) => `some avg10=${percent} avg60=0.00 avg300=0.00 total=0\n`
  const all = ({ cpuPressure, ioPressure, memoryPressure }: SlowFigures) =>
    [memoryPressure, cpuPressure, ioPressure].map((reading) => [
      brief(reading),
      reading._tag === "Known" && reading.source
    ])

  it.effect("is the group's own where there is such a file, else the system's", () =>
    Effect.gen(function*() {
      const slow = yield* slowly({
        files: {
          ...version2,
          [`${box}/memory.pressure`]: stall("50.00"),
          [`${box}/cpu.pressure`]: "EOPNOTSUPP",
          "/proc/pressure/cpu": stall("25.00"),
          "/proc/pressure/memory": stall("1.00")
        }
      })
      assert.deepStrictEqual(all(slow), [
        [0.5, `${box}/memory.pressure`],
        [0.25, "/proc/pressure/cpu"],
        ["Missing", false]
      ])
    }))

  it.effect("is not known where the kernel has none, or says nonsense", () =>
    Effect.gen(function*() {
      const files = { ...version2, "/proc/pressure/io": "", "/proc/pressure/cpu": "EOPNOTSUPP" }
      assert.deepStrictEqual(all(yield* slowly({ files })), [["Missing", false], ["Unsupported", false], [
        "Unsupported",
        false
      ]])
    }))
})

describe("the other slow figures", () => {
  const figure = (name: keyof SlowFigures, script: Partial<Script>) =>
    Effect.map(slowly(script), (slow) => brief(slow[name]))

  it.effect("sockets: those of both kinds, one kind where there is no other", () =>
    Effect.gen(function*() {
      const four = { "/proc/self/net/sockstat": "TCP: inuse 11 orphan 0\n" }
      const both = { ...four, "/proc/self/net/sockstat6": "TCP6: inuse 2\n" }
      assert.strictEqual(yield* figure("sockets", { files: both }), 13)
      assert.strictEqual(yield* figure("sockets", { files: four }), 11)
      assert.strictEqual(
        yield* figure("sockets", { files: { ...four, "/proc/self/net/sockstat6": "EACCES" } }),
        "Denied"
      )
      assert.strictEqual(
        yield* figure("sockets", { files: { ...both, "/proc/self/net/sockstat": "" } }),
        "Unsupported"
      )
      assert.strictEqual(yield* figure("sockets", {}), "Missing")
    }))

  it.effect("threads: from the links of a directory, or by counting names where links say nothing", () =>
    Effect.gen(function*() {
      const names = { "/proc/self/task": ["1", "2", "3"] }
      assert.strictEqual(yield* figure("threads", { names, links: 9 }), 7)
      assert.strictEqual(yield* figure("threads", { names, links: 2 }), 3)
      assert.strictEqual(yield* figure("threads", { names: { "/proc/self/task": [] }, links: 1 }), "Unsupported")
      assert.strictEqual(yield* figure("threads", {}), "Missing")
    }))

  it.effect("heap: 0 and what cannot be are not known", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* figure("heap", {}), 4_000_000)
      assert.strictEqual(yield* figure("heapLimit", {}), 2_000_000_000)
      assert.strictEqual(yield* figure("heap", { heap: { used: 0, limit: 0 } }), "Unsupported")
      assert.strictEqual(yield* figure("heapLimit", { heap: { used: 0, limit: 0 } }), "Unsupported")
      assert.strictEqual(yield* figure("heap", { heap: { used: Number.NaN, limit: 2 ** 64 } }), "Unsupported")
      assert.strictEqual(yield* figure("heapLimit", { heap: { used: Number.NaN, limit: 2 ** 64 } }), "Unlimited")
      assert.strictEqual(yield* figure("heap", { heap: "EIO" }), "Unsupported")
    }))
})

describe("descriptors for the slow figures", () => {
  const everything = {
    ...limitedBox,
    "/dev/null": "",
    [`${box}/memory.stat`]: "inactive_file 1\n",
    [`${box}/pids.max`]: "512\n",
    "/proc/self/net/sockstat": "TCP: inuse 11\n",
    "/proc/self/net/sockstat6": "TCP6: inuse 2\n",
    ...Object.fromEntries(["memory", "cpu", "io"].map((name) => [`/proc/pressure/${name}`, "some avg10=1.00 \n"]))
  }
  const script = { files: everything, names: { "/proc/self/task": ["1"] }, size: 60 }
  const known = (slow: SlowFigures) =>
    Object.values<Reading.Reading>({ ...slow }).filter(({ _tag }) => _tag === "Known").length
  const small = "Max open files            128                 128               files     \n"

  it.effect("14 are held from the first reading of the slow figures on, and all are given back", () =>
    Effect.gen(function*() {
      const { open, reader } = system(script)
      yield* Effect.scoped(Effect.gen(function*() {
        const probes = yield* Effect.provideService(Probes.make, ProcReader, reader)
        assert.deepStrictEqual([probes.held, open.size], [7, 7])
        assert.strictEqual(brief(probes.fast(7).descriptors), 60 - 7)
        probes.slow(7)
        assert.deepStrictEqual([probes.held, open.size], [14, 14])
        assert.strictEqual(brief(probes.fast(7).descriptors), 60 - 14)
      }))
      assert.strictEqual(open.size, 0)
    }))

  it.effect("take nothing from the headroom but the 4 that are always held", () =>
    Effect.gen(function*() {
      /** How many descriptors may be used for one more to be let in. */
      const mostUsed = (limit: number, held: number, options: Monitor.Options) =>
        Effect.gen(function*() {
          const limits = small.replaceAll("128", String(limit))
          const { layer, script: given } = system({ ...script, limits })
          const monitor = yield* Effect.map(
            Layer.build(
              Layer.fresh(Monitor.layerOptions({ maxDescriptors: Infinity, ...options })).pipe(Layer.provide(layer))
            ),
            Context.get(Monitor.ResourceMonitor)
          )
          let most = -1
          for (let used = 0; used < limit; used++) {
            given.size = used + held
            const exit = yield* Effect.exit(Effect.scoped(monitor.reserve({ label: "db" })))
            if (Exit.isSuccess(exit)) most = used
          }
          return most
        })
      assert.strictEqual(yield* mostUsed(600, 14, {}), 600 - 24 - 10 - 1)
      assert.strictEqual(yield* mostUsed(128, 4, {}), 128 - 24 - 1)
      assert.strictEqual(yield* mostUsed(600, 14, { headroom: 0 }), 600 - 14 - 1)
      assert.strictEqual(yield* mostUsed(128, 4, { headroom: 0 }), 128 - 4 - 1)
    }))

  it.effect("with a limit of 128, 4 are held, and never one more is used", () =>
    Effect.gen(function*() {
      const { calls, open, reader } = system({ ...script, limits: small })
      yield* Effect.scoped(Effect.gen(function*() {
        const probes = yield* Effect.provideService(Probes.make, ProcReader, reader)
        assert.deepStrictEqual([probes.held, open.size, calls.most], [4, 4, 4])
        assert.strictEqual(known(probes.slow(7)), 11)
        assert.deepStrictEqual([probes.held, open.size, calls.most], [4, 4, 4])
      }))
      assert.strictEqual(open.size, 0)
    }))

  it.effect("with none left, all figures are still read, held or in the place of the spare", () =>
    Effect.gen(function*() {
      for (const limits of [small, small.replaceAll("128", "512")]) {
        const { reader, script: given } = system({ ...script, limits })
        const probes = yield* Effect.provideService(Probes.make, ProcReader, reader)
        given.room = probes.held
        assert.strictEqual(known(probes.slow(7)), 11, limits)
      }
    }))

  it.effect("a spare that was lost to another comes back when there is room", () =>
    Effect.gen(function*() {
      const { reader, script: given } = system({ ...script, limits: small })
      const probes = yield* Effect.provideService(Probes.make, ProcReader, reader)
      given.room = 3
      assert.strictEqual(brief(probes.slow(7).sockets), "EMFILE")
      assert.strictEqual(probes.held, 3)
      assert.strictEqual(brief(probes.fast(7).descriptors), 60 - 3)
      given.room = 4
      assert.strictEqual(brief(probes.slow(8).sockets), 13)
      assert.strictEqual(probes.held, 4)
    }))
})

describe("the figures of this process", () => {
  it.effect("are what the runtime and the kernel say elsewhere", () =>
    Effect.gen(function*() {
      const probes = yield* Probes.make
      const slow = probes.slow(7)
      const value = (name: keyof Pick<Figures, keyof SlowFigures>): number => {
        const reading = slow[name]
        assert(reading._tag === "Known", `${name}: ${JSON.stringify(reading)}`)
        return reading.value
      }
      assert.isAbove(value("threads"), 4)
      assert.isAbove(value("sockets"), -1)
      assert.isBelow(value("heap"), value("heapLimit"))
      assert.isAbove(value("processLimit"), 1)
      // A kernel may be built without these, and a test may run outside any container.
      for (const resource of ["memory", "cpu", "io"] as const) {
        if (Fs.existsSync(`/proc/pressure/${resource}`)) assert.isAtMost(value(`${resource}Pressure`), 1)
        else assert.strictEqual(slow[`${resource}Pressure`]._tag, "Unknown")
      }
      if (slow.containerMemory._tag === "Known") assert.isAbove(value("containerMemory"), 1_000_000)
    }))
})
