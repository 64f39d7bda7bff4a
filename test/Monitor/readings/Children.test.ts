import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as ChildProcess from "node:child_process"
import * as DiagnosticsChannel from "node:diagnostics_channel"
import type { Reading } from "../../../src/Monitor/Reading.ts"
import * as Zombies from "../../../src/Monitor/readings/Children.ts"
import { Children, watchStarted } from "../../../src/Monitor/readings/Children.ts"
import * as Probes from "../../../src/Monitor/readings/Probes.ts"
import { ProcReader } from "../../../src/Monitor/readings/Procfs.ts"
import { type Script, system } from "../support.ts"

const parent: Zombies.Parent = {
  pid: 4242,
  thread: 4242,
  start: 1000,
  age: 100_000,
  watchedSince: 0,
  started: new Set()
}

const child = (pid: number, given: Partial<Zombies.Child> = {}): Zombies.Child => ({
  pid,
  command: "sleep",
  isEnded: true,
  start: 6000,
  thread: 4242,
  ...given
})

const turned = (at: number): Zombies.Look => ({ at, hasTurned: () => true })
const unturned = (at: number): Zombies.Look => ({ at, hasTurned: () => false })

/** Takes one look after the other, and yields what each one counted and reported. */
const looks = (
  all: ReadonlyArray<readonly [ReadonlyArray<Zombies.Child>, Zombies.Look]>,
  given: Partial<Zombies.Parent> = {}
) => {
  let history: Zombies.History = new Map()
  return all.map(([children, look]) => {
    const step = Zombies.observeChildren(history, children, look, { ...parent, ...given })
    history = step.history
    return [step.count, step.fresh.map(({ cause, pid }) => [pid, cause])]
  })
}

describe("a zombie", () => {
  it("is one that is seen ended twice, with a turn of the loop in between, and it is reported once", () => {
    const children = [child(1)]
    assert.deepStrictEqual(
      looks([[children, turned(0)], [children, turned(1)], [children, turned(2)]]),
      [[0, []], [1, [[1, "WorkerEnded"]]], [1, []]]
    )
  })

  it("is known as it was reported for as long as it is there, and then no more", () => {
    const zombies: ReadonlyArray<Zombies.Child> = [{ pid: 7, command: "sh", isEnded: true, start: 6000, thread: 4242 }]
    const turned = (at: number) => ({ at, hasTurned: () => true })
    const first = Zombies.observeChildren(new Map(), zombies, turned(0), parent)
    assert.deepStrictEqual(Zombies.reported(first.history), [])
    const second = Zombies.observeChildren(first.history, zombies, turned(1), parent)
    assert.strictEqual(second.fresh.length, 1)
    const third = Zombies.observeChildren(second.history, zombies, turned(2), { ...parent, age: 999_999 })
    assert.deepStrictEqual(third.fresh, [])
    assert.deepStrictEqual(Zombies.reported(third.history), second.fresh)
    assert.deepStrictEqual(Zombies.reported(Zombies.observeChildren(third.history, [], turned(3), parent).history), [])
  })

  it("is none before the loop has made a turn, however often it is seen", () => {
    const children = [child(1)]
    assert.deepStrictEqual(
      looks([[children, unturned(0)], [children, unturned(1)], [children, unturned(100_000)]]),
      [[0, []], [0, []], [0, []]]
    )
  })

  it("is none twice within one look", () => {
    const look = turned(0)
    assert.deepStrictEqual(looks([[[child(1)], look], [[child(1)], look]]), [[0, []], [0, []]])
  })

  it("is none when it was reaped in between", () => {
    assert.deepStrictEqual(
      looks([[[child(1)], turned(0)], [[], turned(1)], [[child(1)], turned(2)]]),
      [[0, []], [0, []], [0, []]]
    )
  })

  it("is none when the pid has gone to another process", () => {
    assert.deepStrictEqual(
      looks([[[child(1)], turned(0)], [[child(1, { start: 7000 })], turned(1)]]),
      [[0, []], [0, []]]
    )
  })

  it("is none while it runs", () => {
    const running = [child(1, { isEnded: false })]
    assert.deepStrictEqual(looks([[running, turned(0)], [running, turned(1)], [running, turned(2)]]), [
      [0, []],
      [0, []],
      [0, []]
    ])
  })

  it("of another thread, whose loop cannot be asked, is one only after a minute", () => {
    const children = [child(1, { thread: 4250 })]
    assert.deepStrictEqual(
      looks([[children, turned(0)], [children, turned(59_999)], [children, turned(60_000)]]),
      [[0, []], [0, []], [1, [[1, "Unknown"]]]]
    )
  })

  it("of another thread is one as soon as the given patience is over", () => {
    const children = [child(1, { thread: 4243 })]
    assert.deepStrictEqual(
      looks([[children, turned(0)], [children, turned(999)], [children, turned(1000)]], { patience: 1000 }),
      [[0, []], [0, []], [1, [[1, "Unknown"]]]]
    )
  })

  it("that came from a thread that has ended was left by a worker", () => {
    assert.deepStrictEqual(
      looks(
        [
          [[child(1, { isEnded: false, thread: 4250 })], turned(0)],
          [[child(1)], turned(1)],
          [[child(1)], turned(2)]
        ],
        { pid: 1, watchedSince: 99_999 }
      ),
      [[0, []], [0, []], [1, [[1, "WorkerEnded"]]]]
    )
  })

  it("has the cause that is known of it", () => {
    const causeWith = (given: Partial<Zombies.Parent>) =>
      looks([[[child(1)], turned(0)], [[child(1)], turned(1)]], given)[1]?.[1]
    assert.deepStrictEqual(causeWith({}), [[1, "WorkerEnded"]])
    assert.deepStrictEqual(causeWith({ pid: 1 }), [[1, "Adopted"]])
    assert.deepStrictEqual(causeWith({ started: new Set([1]) }), [[1, "HandleClosed"]])
    assert.deepStrictEqual(causeWith({ pid: 1, started: new Set([1]) }), [[1, "HandleClosed"]])
    // It began 50 seconds after the process, and the looks began later.
    assert.deepStrictEqual(causeWith({ watchedSince: 49_999 }), [[1, "WorkerEnded"]])
    assert.deepStrictEqual(causeWith({ watchedSince: 50_001 }), [[1, "Unknown"]])
  })

  it("is described with pid, name, age, cause and remedy", () => {
    const zombies = [child(1)]
    const history = Zombies.observeChildren(new Map(), zombies, turned(0), parent).history
    const [zombie] = Zombies.observeChildren(history, zombies, turned(1), parent).fresh
    assert(zombie !== undefined)
    assert.strictEqual(
      Zombies.describeZombie(zombie, { _tag: "Known", value: 512, at: 0, source: "pids.max", exact: true }, 3),
      "child 1 (sleep), begun 50s ago, is a zombie: the worker that started it ended before it. " +
        "It stays until this process ends; there are 3, of at most 512 processes. To prevent more, " +
        "let a worker wait for the exit of its children before it ends, or start them from the main thread."
    )
  })
})

const stat = (pid: number, state: string, given: { readonly parent?: number; readonly start?: number } = {}) =>
  `${pid} (sleep) ${state} ${given.parent ?? 4242} 2 3 0 -1 4 5 6 7 8 9 10 11 12 20 0 1 0 ${given.start ?? 6000} 0 0\n`

const machine: Partial<Script> = {
  files: {
    "/dev/null": "",
    "/proc/self/stat": stat(4242, "R", { parent: 1, start: 1000 }),
    "/proc/self/task/4242/children": "77 78 ",
    "/proc/self/task/4250/children": "79 ",
    "/proc/77/stat": stat(77, "Z"),
    "/proc/78/stat": stat(78, "S"),
    "/proc/79/stat": stat(79, "Z")
  },
  names: { "/proc/self/task": ["4242", "4250"] },
  targets: { "/proc/thread-self": "4242/task/4242" }
}

const watching = (overrides: Partial<Script> = {}) =>
  Effect.gen(function*() {
    const { reader, script } = system({ ...machine, ...overrides, files: { ...machine.files, ...overrides.files } })
    const probes = yield* Effect.provideService(Probes.make, ProcReader, reader)
    const turns: Array<() => void> = []
    const children = new Children({
      reader,
      files: probes.files,
      started: () => new Set(),
      afterTurn: (act) => turns.push(act)
    })
    const turn = () => turns.splice(0).forEach((act) => act())
    return { children, script, turn, probes }
  })

const brief = (reading: Reading): unknown =>
  reading._tag === "Known"
    ? reading.value
    : reading._tag === "Unknown"
    ? reading.reason
    : reading._tag === "Saturated"
    ? reading.code
    : reading._tag

describe("the children of a process", () => {
  it.effect("are looked at over all its threads", () =>
    Effect.gen(function*() {
      const { children, turn } = yield* watching()
      assert.strictEqual(brief(children.look(0, 7).zombies), 0)
      assert.isTrue(children.isPending)
      assert.strictEqual(brief(children.look(1, 7).zombies), 0)
      turn()
      const second = children.look(2, 7)
      assert.deepStrictEqual([brief(second.zombies), second.fresh.map(({ pid }) => pid)], [1, [77]])
      // The one of the other thread is still waited for.
      assert.isTrue(children.isPending)
      const third = children.look(60_000, 7)
      assert.deepStrictEqual([brief(third.zombies), third.fresh.map(({ pid }) => pid)], [2, [79]])
      assert.isFalse(children.isPending)
    }))

  it.effect("of a process that reaps late are no zombies", () =>
    Effect.gen(function*() {
      const { children, script, turn } = yield* watching()
      children.look(0, 7)
      script.files["/proc/self/task/4242/children"] = "78 "
      delete script.files["/proc/77/stat"]
      turn()
      assert.deepStrictEqual([children.look(1, 7).fresh, brief(children.look(2, 7).zombies)], [[], 0])
    }))

  it.effect("are found by their parent where the kernel has no list of children", () =>
    Effect.gen(function*() {
      const { children, turn } = yield* watching({
        files: {
          "/proc/self/task/4242/children": "ENOENT",
          "/proc/self/task/4250/children": "ENOENT",
          "/proc/4242/stat": stat(4242, "R", { parent: 1 }),
          "/proc/79/stat": stat(79, "Z", { parent: 1 })
        },
        names: { ...machine.names, "/proc": ["self", "uptime", "77", "78", "79", "4242", "9999"] }
      })
      children.look(0, 7)
      turn()
      assert.deepStrictEqual(children.look(1, 7).fresh.map(({ pid }) => pid), [77])
    }))

  it.effect("are not known where there are too many processes to look through", () =>
    Effect.gen(function*() {
      const { children } = yield* watching({
        files: { "/proc/self/task/4242/children": "ENOENT" },
        names: { "/proc": Array.from({ length: 201 }, (_, i) => String(i + 1)) }
      })
      assert.strictEqual(brief(children.look(0, 7).zombies), "Unsupported")
    }))

  it.effect("more than one look may read are read in turn, and all zombies are found", () =>
    Effect.gen(function*() {
      const pids = Array.from({ length: 450 }, (_, i) => 1000 + i)
      const { children, turn } = yield* watching({
        files: {
          "/proc/self/task/4242/children": pids.join(" "),
          "/proc/self/task/4250/children": "",
          ...Object.fromEntries(pids.map((pid) => [`/proc/${pid}/stat`, stat(pid, "Z")]))
        }
      })
      const reported: Array<number> = []
      let first = children.look(0, 7)
      assert.deepInclude(first.zombies, { value: 0, exact: false })
      for (let at = 1; at < 15; at++) {
        turn()
        first = children.look(at, 7)
        reported.push(...first.fresh.map(({ pid }) => pid))
      }
      assert.deepInclude(first.zombies, { value: 450, exact: true })
      assert.deepStrictEqual(reported.toSorted((left, right) => left - right), pids)
    }))

  it.effect("that got the pid of a zombie that is gone are none", () =>
    Effect.gen(function*() {
      const { children, script, turn } = yield* watching()
      children.look(0, 7)
      turn()
      assert.strictEqual(brief(children.look(1, 7).zombies), 1)
      script.files["/proc/77/stat"] = stat(77, "S", { start: 9000 })
      assert.strictEqual(brief(children.look(2, 7).zombies), 0)
    }))

  const failures: ReadonlyArray<readonly [string, Partial<Script>, string | number]> = [
    ["a hidden /proc", { files: { "/proc/self/stat": "ENOENT" } }, "Missing"],
    ["a forbidden /proc", { files: { "/proc/self/stat": "EACCES" } }, "Denied"],
    ["nonsense for the own process", { files: { "/proc/self/stat": "1 (" } }, "Unsupported"],
    ["EMFILE at the list of children", { files: { "/proc/self/task/4242/children": "EMFILE" } }, "EMFILE"],
    ["EMFILE at the list of threads", { names: { "/proc/self/task": "EMFILE" } }, "EMFILE"],
    ["ENFILE at a child", { files: { "/proc/77/stat": "ENFILE" } }, "ENFILE"],
    ["nonsense for a child", { files: { "/proc/77/stat": "", "/proc/78/stat": ")( Z" } }, 0],
    ["a child that may not be read", { files: { "/proc/77/stat": "EACCES" } }, 0],
    ["Windows, which has no such thing", { platform: "win32", files: { "/proc/self/stat": "ENOENT" } }, 0]
  ]
  for (const [claim, script, expected] of failures) {
    it.effect(`${claim}: ${expected}`, () =>
      Effect.gen(function*() {
        const { children } = yield* watching(script)
        const { fresh, zombies } = children.look(0, 7)
        assert.deepStrictEqual([brief(zombies), fresh], [expected, []])
      }))
  }

  it.effect("are still read when no descriptor is left", () =>
    Effect.gen(function*() {
      const { children, probes, script, turn } = yield* watching()
      script.room = probes.held
      children.look(0, 7)
      turn()
      assert.deepStrictEqual(children.look(1, 7).fresh.map(({ pid }) => pid), [77])
    }))
})

describe("the processes that this thread has started", () => {
  it.live("are known by pid until they have ended, and none is kept for long", () =>
    Effect.gen(function*() {
      const started = watchStarted()
      const long = ChildProcess.spawn("sleep", ["10"])
      const refs: Array<WeakRef<ChildProcess.ChildProcess>> = []
      const ended = Promise.all(Array.from({ length: 10 }, () => {
        const short = ChildProcess.spawn("true")
        refs.push(new WeakRef(short))
        return new Promise((resolve) => short.once("exit", resolve))
      }))
      const failed = ChildProcess.spawn("/no/such/program")
      failed.once("error", () => {})
      assert.strictEqual(started.pids().size, 11)
      yield* Effect.promise(() => ended)
      assert.deepStrictEqual(started.pids(), new Set([long.pid ?? -1]))
      started.close()
      const later = ChildProcess.spawn("true")
      assert.strictEqual(started.pids().size, 0)
      yield* Effect.promise(() => new Promise((resolve) => later.once("exit", resolve)))
      long.kill()
    }))

  it("are forgotten when they have ended, without a reading", () => {
    const started = watchStarted()
    const channel = DiagnosticsChannel.channel("child_process")
    let reads = 0
    for (let i = 0; i < 10_000; i++) {
      const process = {
        pid: i,
        signalCode: null,
        get exitCode() {
          reads++
          return 0
        }
      }
      channel.publish({ process })
    }
    // Each was looked at about once while it was kept, and not again and again.
    assert.isAtLeast(reads, 9900)
    assert.isAtMost(reads, 10_000)
    assert.strictEqual(started.pids().size, 0)
    assert.isAtMost(reads, 10_000)
    started.close()
  })
})
