import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Exit, Fiber } from "effect"
import { TestClock } from "effect/testing"
import * as Os from "node:os"
import { lookOf } from "../../../src/Cli/watch/JsonReport.ts"
import {
  addressOf,
  countIn,
  listeningPortsOf,
  programOf,
  states,
  tcpRowsOf
} from "../../../src/Cli/watch/ProcessFiles.ts"
import * as Sockets from "../../../src/Cli/watch/Sockets.ts"
import * as TextView from "../../../src/Cli/watch/TextView.ts"
import type { Moment } from "../../../src/Cli/watch/Trend.ts"
import { type Script, system } from "../../Monitor/support.ts"
import { seeded } from "../../support/random.ts"
import { settings, watch } from "./watching.ts"

const ifLittleEndian = Os.endianness() === "LE" ? describe : describe.skip

const head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"

const row = (local: string, remote: string, state: string, inode: number): string =>
  `   0: ${local} ${remote} ${state} 00000000:00000000 00:00000000 00000000   107        0 ${inode} 1 0000000072c9cbc3\n`

const [here, there] = ["0100007F:1F90", "07000A0A:1538"]
const wildcard = "00000000000000000000000000000000:1F90"
const mapped = "0000000000000000FFFF00000900000A:C001"

ifLittleEndian("the tables of sockets", () => {
  it("have addresses of IPv4, of IPv6, and of IPv4 in IPv6, which is one and the same", () => {
    const addresses = [
      ["0100007F:0CEA", "127.0.0.1", 3306],
      ["00000000:0000", "0.0.0.0", 0],
      ["00000000000000000000000001000000:18EB", "::1", 6379],
      ["00000000000000000000000000000000:FFFF", "::", 65535],
      ["B80D0120000000000000000001000000:01BB", "2001:db8::1", 443],
      ["0000000000000000FFFF00000100007F:0050", "127.0.0.1", 80]
    ] as const
    for (const [text, host, port] of addresses) assert.deepStrictEqual(addressOf(text), { host, port })
    for (const text of ["", "x", "0100007F", "0100007F:0", "100007F:0CEA", `${wildcard}0`]) {
      assert.isUndefined(addressOf(text))
    }
  })

  it("give the rows of the process's own sockets, in every state, and nothing else", () => {
    const hex = (i: number) => (i + 1).toString(16).padStart(2, "0").toUpperCase()
    const text = head + states.map((_, i) => row(here, there, hex(i), 100 + i)).join("") + row(here, there, "01", 7) +
      "nonsense\n" + row(here, there, "0D", 101) + row("x", there, "01", 102) + "\n"
    const own = new Set(states.map((_, i) => 100 + i))
    assert.deepStrictEqual(tcpRowsOf(text, own).map(({ inode, state }) => [inode, state]), [
      ...states.map((state, i) => [100 + i, state])
    ])
    assert.deepStrictEqual(tcpRowsOf("", own), [])
    // A connection in TIME_WAIT belongs to no process, and its inode is 0.
    assert.deepStrictEqual(tcpRowsOf(head + row(here, there, "06", 0), own), [])
  })

  it("give the ports on which any process listens, and count sockets of other kinds", () => {
    const listeners = head + row(here, "00000000:0000", "0A", 1) + row(here, there, "01", 2)
    assert.deepStrictEqual(listeningPortsOf(listeners), [8080])
    assert.deepStrictEqual(listeningPortsOf(head + row(wildcard, `${"0".repeat(32)}:0000`, "0A", 1)), [8080])
    const unix = "Num       RefCount Protocol Flags    Type St Inode Path\n" +
      "00000000abe6a1b6: 00000002 00000000 00010000 0001 01  4599 /run/.s.PGSQL.5432\n" +
      "00000000b3a3966b: 00000003 00000000 00000000 0001 03 564977\n"
    assert.strictEqual(countIn(unix, "unix", new Set([564977, 4599, 3])), 2)
    assert.strictEqual(countIn(head + row(here, there, "07", 5), "udp", new Set([5])), 1)
  })

  it("make peers: those that it connected to with their port, those that connected to it with its own", () => {
    const tcp = head + row(here, "0900000A:C000", "01", 1) + row("0100007F:C003", there, "01", 3) +
      row("0100007F:C004", there, "02", 4)
    const tcp6 = head + row("0000000000000000FFFF00000100007F:1F90", mapped, "08", 2)
    const own = new Set([1, 2, 3, 4, 5])
    const rows = [tcp, tcp6].flatMap((text) => tcpRowsOf(text, own))
    // Another process has the listener, and hands the connections on.
    const sockets = Sockets.make({ rows, listening: new Set([8080]), udp: 0, unix: 0, total: 5 })
    assert.deepStrictEqual(
      sockets.peers.map(({ states, ...peer }) => ({ ...peer, states: Object.fromEntries(states) })),
      [
        { direction: "from", address: "10.0.0.9", port: 8080, count: 2, states: { ESTABLISHED: 1, CLOSE_WAIT: 1 } },
        {
          direction: "to",
          address: "10.10.0.7:5432",
          port: undefined,
          count: 2,
          states: { ESTABLISHED: 1, SYN_SENT: 1 }
        }
      ]
    )
    assert.deepInclude(sockets, { connections: 4, other: 1, listening: [] })
  })
})

describe("the name of a program", () => {
  it("is that of its file, without arguments, or the title that it has given itself", () => {
    assert.strictEqual(programOf("/usr/bin/node\0server.js\0--password=x\0"), "node")
    assert.strictEqual(programOf("node\0"), "node")
    assert.strictEqual(programOf("nginx: worker process"), "nginx: worker process")
    assert.strictEqual(programOf(""), "")
  })
})

const pid = 77

interface Stat {
  readonly pid?: number
  readonly state?: string
  readonly threads?: number
  readonly start?: number
  readonly parent?: number
  readonly flags?: number
}

const statOf = (given: Stat = {}) =>
  `${given.pid ?? pid} (some thing) ${given.state ?? "S"} ${given.parent ?? 1} 0 0 0 0 ${given.flags ?? 4194304} ` +
  `0 0 0 0 0 0 0 0 20 0 ` +
  `${given.threads ?? 1} 0 ${given.start ?? 1000} 0 0`

const limitsText = (soft: string): string =>
  `Max processes             500                  500                  processes \n` +
  `Max open files            ${soft}                  524288               files     \n`

const statusText = (resident = "VmRSS:\t  2048 kB\n") => `Name:\tthing\nTgid:\t${pid}\n${resident}NSpid:\t${pid}\t4\n`

/** A process with so many files and these sockets open. */
const holding = (files: number, sockets: ReadonlyArray<number> = [], directory = `/proc/${pid}`): Partial<Script> => {
  const targets = [...Array.from({ length: files }, () => "/a/file"), ...sockets.map((inode) => `socket:[${inode}]`)]
  return {
    names: { [`${directory}/fd`]: targets.map((_, i) => String(i)), [`/proc/${pid}/task`]: [String(pid)] },
    targets: Object.fromEntries(targets.map((target, i) => [`${directory}/fd/${i}`, target]))
  }
}

const process = (given: Partial<Script> = {}) =>
  system({
    ...holding(30),
    ...given,
    files: {
      "/proc/self/stat": statOf({ pid: 4242 }),
      "/dev/null": "",
      "/proc/uptime": "110.00 200.00\n",
      [`/proc/${pid}/stat`]: statOf(),
      [`/proc/${pid}/status`]: statusText(),
      [`/proc/${pid}/limits`]: limitsText("100"),
      [`/proc/${pid}/task/${pid}/children`]: "",
      ...given.files
    }
  })

type System = ReturnType<typeof process>

/** One look at a scripted process, as JSON. */
const lookAt = ({ layer }: System) =>
  watch(settings(pid)).pipe(
    Effect.map(({ ending }) => JSON.parse(JSON.stringify(lookOf(ending.last, 10)))),
    Effect.provide(layer)
  )

/** So many looks, one each second of the test's clock. `act` is called after each. */
const looks = (system: System, count: number, act: (moment: Moment) => void, interval = Duration.seconds(1)) =>
  Effect.gen(function*() {
    const given = settings(pid, { count, interval })
    const run = watch(given, (moment) => Effect.sync(() => act(moment))).pipe(Effect.provide(system.layer))
    const fiber = yield* Effect.forkChild(run, { startImmediately: true })
    for (let i = 0; i < count * 2 && fiber.pollUnsafe() === undefined; i++) yield* TestClock.adjust("1 second")
    return yield* Fiber.join(fiber)
  })

const setFiles = ({ script }: System, files: number) => Object.assign(script, holding(files))

describe("a look", () => {
  it.effect("has all figures", () =>
    Effect.gen(function*() {
      const report = yield* lookAt(process())
      assert.deepInclude(report, { pid, command: "some thing", level: "Normal", threads: 1, processLimit: 500 })
      assert.deepInclude(report.descriptors, { used: 30, limit: 100, share: 0.3, kinds: { file: 30 } })
      assert.deepInclude(report.memory, { used: 2048 * 1024, limit: "unlimited", resident: 2048 * 1024 })
      assert.deepInclude(report.connections, { used: 0, limit: "unlimited" })
      assert.deepInclude(report.zombies, { count: 0 })
      assert.deepStrictEqual(report.unknown, { container: `Missing: /proc/${pid}/cgroup` })
    }))

  it.effect("takes nothing that cannot be read for 0", () =>
    Effect.gen(function*() {
      const files = { [`/proc/${pid}/limits`]: "EACCES", [`/proc/${pid}/status`]: statusText("") }
      const report = yield* lookAt(process({ ...holding(3, [1]), files }))
      assert.deepInclude(report.descriptors, { used: 4, limit: null, share: null })
      assert.deepInclude(report.memory, { used: null, resident: null })
      assert.deepInclude(report.connections, { used: null })
      assert.isNull(report.sockets)
      assert.isNull(report.processLimit)
      assert.deepStrictEqual(Object.keys(report.unknown).toSorted(), [
        "connections",
        "container",
        "descriptorLimit",
        "memory",
        "processLimit"
      ])
    }))

  it.effect("counts descriptors whose links may not be read, and does not know their sockets", () =>
    Effect.gen(function*() {
      const system = process({ ...holding(3, [1]), files: { [`/proc/${pid}/net/tcp`]: head } })
      delete system.script.targets[`/proc/${pid}/fd/1`]
      const report = yield* lookAt(system)
      assert.deepInclude(report.descriptors, { used: 4, kinds: { file: 2, unreadable: 1, socket: 1 } })
      assert.isNull(report.sockets)
      assert.isNull(report.connections.used)
    }))

  it.effect("does without IPv6 and without tables of other kinds", () =>
    Effect.gen(function*() {
      const table = head + row(here, there, "01", 1)
      const report = yield* lookAt(process({ ...holding(1, [1, 2]), files: { [`/proc/${pid}/net/tcp`]: table } }))
      assert.deepInclude(report.sockets, { connections: 1, tcp: { ESTABLISHED: 1 }, udp: 0, unix: 0, other: 1 })
    }))

  it.effect("reads the threads that go on when the first one has ended", () =>
    Effect.gen(function*() {
      const directory = `/proc/${pid}/task/78`
      const { names, targets } = holding(5, [], directory)
      const system = process({
        names: { ...names, [`/proc/${pid}/task`]: [String(pid), "78"] },
        targets: targets ?? {},
        files: {
          [`/proc/${pid}/stat`]: statOf({ state: "Z", threads: 2, flags: 4 }),
          [`${directory}/stat`]: statOf({ pid: 78, threads: 2, start: 1001 }),
          [`${directory}/status`]: statusText(),
          [`${directory}/limits`]: limitsText("50")
        }
      })
      const report = yield* lookAt(system)
      assert.deepInclude(report.descriptors, { used: 5, limit: 50 })
    }))

  it.effect("takes the memory of its container for the level, and no container's where its groups are not visible", () =>
    Effect.gen(function*() {
      const box = "/sys/fs/cgroup/box"
      const files = {
        "/proc/self/cgroup": "0::/ours\n",
        "/proc/self/mountinfo": "31 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
        [`/proc/${pid}/cgroup`]: "0::/box\n",
        [`${box}/memory.current`]: "95\n",
        [`${box}/memory.max`]: "100\n",
        [`${box}/pids.max`]: "7\n",
        "/sys/fs/cgroup/memory.current": "1\n",
        "/sys/fs/cgroup/memory.max": "2000\n"
      }
      const inside = yield* lookAt(process({ files }))
      assert.deepInclude(inside, { level: "Critical", processLimit: 7 })
      assert.deepInclude(inside.memory, { used: 95, limit: 100, resident: 2048 * 1024 })
      const outside = yield* lookAt(process({ files: { ...files, [`/proc/${pid}/cgroup`]: "0::/../box\n" } }))
      assert.deepInclude(outside, { level: "Normal", processLimit: 500 })
      assert.deepInclude(outside.memory, { used: 2048 * 1024, limit: "unlimited" })
      assert.include(outside.unknown.container, "not visible here")
    }))

  it.effect("with other limits: none, and one that is nonsense", () =>
    Effect.gen(function*() {
      const limitOf = (text: string) =>
        Effect.map(
          lookAt(process({ files: { [`/proc/${pid}/limits`]: limitsText(text) } })),
          (report) => [report.descriptors.limit, report.level]
        )
      assert.deepStrictEqual(yield* limitOf("unlimited"), ["unlimited", "Normal"])
      assert.deepStrictEqual(yield* limitOf("many"), [null, "Normal"])
      assert.deepStrictEqual(yield* limitOf("0"), [0, "Exhausted"])
    }))
})

describe("watching", () => {
  const reasonOf = (system: System) =>
    watch(settings(pid)).pipe(
      Effect.flip,
      Effect.map(({ message, reason }) => [reason._tag, message]),
      Effect.provide(system.layer)
    )

  it.effect("needs /proc", () =>
    Effect.gen(function*() {
      const needs = "sluice watch: another process can be watched only on Linux with /proc mounted, and this is"
      assert.deepStrictEqual(yield* reasonOf(process({ platform: "win32" })), ["UnsupportedPlatform", `${needs} win32`])
      const files = { "/proc/self/stat": "ENOENT", [`/proc/${pid}/stat`]: "ENOENT" }
      assert.deepStrictEqual(
        yield* reasonOf(process({ files })),
        ["UnsupportedPlatform", `${needs} linux without /proc`]
      )
    }))

  it.effect("needs the right to list descriptors, and to read anything at all", () =>
    Effect.gen(function*() {
      const locked = process()
      locked.script.names[`/proc/${pid}/fd`] = "EACCES"
      assert.deepStrictEqual(yield* reasonOf(locked), [
        "PermissionDenied",
        `sluice watch: permission denied: /proc/77/fd of process 77 (some thing) can be read only by its own user and by root`
      ])
      const [tag] = yield* reasonOf(process({ files: { [`/proc/${pid}/stat`]: "EPERM" } }))
      assert.strictEqual(tag, "PermissionDenied")
    }))

  it.effect("distinguishes a shortage of descriptors here from one in the watched process", () =>
    Effect.gen(function*() {
      for (let room = 0; room < 4; room++) {
        const exit = yield* Effect.exit(lookAt(process({ room })))
        if (Exit.isSuccess(exit)) assert.strictEqual(exit.value.level, "Normal")
        else {
          const [tag, message] = yield* reasonOf(process({ room }))
          assert.strictEqual(tag, "CannotLook")
          assert.match(String(message), /^sluice watch: cannot read \/proc\/\S+: EMFILE$/)
        }
        if (room === 0) assert.isTrue(Exit.isFailure(exit))
        if (room === 3) assert.isTrue(Exit.isSuccess(exit))
      }
      const [tag, message] = yield* reasonOf(process({ files: { [`/proc/${pid}/limits`]: "ENFILE" } }))
      assert.deepStrictEqual([tag, message], ["CannotLook", "sluice watch: cannot read /proc/77/limits: ENFILE"])
    }))

  it.effect("ends with the process, also when that ends during a look", () =>
    Effect.gen(function*() {
      const system = process()
      const { list } = system.reader
      let listings = 0
      // It is there when the third look begins, and not when that ends.
      const dying = (path: string) => {
        if (++listings === 3) system.script.files[`/proc/${pid}/stat`] = "ESRCH"
        return list(path)
      }
      Object.assign(system.reader, { list: dying })
      const { ending, moments } = yield* looks(system, 10, () => {})
      assert.deepStrictEqual([ending.reason, moments.length], ["ProcessEnded", 2])
    }))

  it.effect("ends when another process has the pid, or only the entry is left", () =>
    Effect.gen(function*() {
      for (
        const stat of [statOf({ start: 1001 }), statOf({ state: "Z" }), statOf({ state: "X", threads: 0 }), "ESRCH"]
      ) {
        const system = process()
        const { ending, moments } = yield* looks(system, 5, () => {
          system.script.files[`/proc/${pid}/stat`] = stat
        })
        assert.deepStrictEqual([ending.reason, moments.length], ["ProcessEnded", 1])
      }
    }))

  it.effect("does not take a process that is ending for one that has nothing open", () =>
    Effect.gen(function*() {
      const system = process({ ...holding(95) })
      const { list } = system.reader
      let listings = 0
      // It gives up its descriptors while it is looked at, and is not a zombie yet.
      const dying = (path: string) => {
        if (++listings === 2) {
          setFiles(system, 0)
          system.script.files[`/proc/${pid}/stat`] = statOf({ state: "R", flags: 4194304 | 4 })
        }
        return list(path)
      }
      Object.assign(system.reader, { list: dying })
      const { ending, moments } = yield* looks(system, 10, () => {})
      assert.deepStrictEqual([ending.reason, moments.length, ending.last.level], ["ProcessEnded", 1, "Critical"])
    }))

  it.effect("goes on with another thread when the one that is looked at ends", () =>
    Effect.gen(function*() {
      const system = process({ ...holding(95) })
      const directory = `/proc/${pid}/task/78`
      const { list } = system.reader
      let listings = 0
      const dying = (path: string) => {
        if (++listings === 1) {
          const { names, targets } = holding(40, [], directory)
          Object.assign(system.script, { targets, names: { ...names, [`/proc/${pid}/task`]: [`${pid}`, "78"] } })
          Object.assign(system.script.names, { [`/proc/${pid}/fd`]: [] })
          Object.assign(system.script.files, {
            [`/proc/${pid}/stat`]: statOf({ state: "R", threads: 2, flags: 4 }),
            [`${directory}/stat`]: statOf({ pid: 78, start: 1005 }),
            [`${directory}/limits`]: limitsText("50"),
            [`${directory}/status`]: statusText()
          })
        }
        return list(path)
      }
      Object.assign(system.reader, { list: dying })
      const report = yield* lookAt(system)
      assert.deepInclude(report.descriptors, { used: 40, limit: 50 })
    }))

  it.effect("counts each socket once, and finds one that a table lacked because it changed while it was read", () =>
    Effect.gen(function*() {
      const path = `/proc/${pid}/net/tcp`
      const [first, second] = [row(here, there, "01", 1), row(here, there, "08", 2)]
      const twice = process({ ...holding(0, [1, 2]), files: { [path]: head + first + second + first } })
      assert.deepInclude((yield* lookAt(twice)).sockets, { tcp: { ESTABLISHED: 1, CLOSE_WAIT: 1 }, other: 0 })
      const lacking = process({ ...holding(0, [1, 2]), files: { [path]: head + first } })
      const { contents } = lacking.reader
      const changing = (at: string) => {
        const text = contents(at)
        if (at === path) lacking.script.files[path] = head + second
        return text
      }
      Object.assign(lacking.reader, { contents: changing })
      assert.deepInclude((yield* lookAt(lacking)).sockets, { tcp: { ESTABLISHED: 1, CLOSE_WAIT: 1 }, other: 0 })
      const udp = head + row(here, there, "07", 3) + row(here, there, "07", 3)
      const files = { [path]: head, [`/proc/${pid}/net/udp`]: udp }
      assert.deepInclude((yield* lookAt(process({ ...holding(0, [3]), files }))).sockets, { udp: 1, other: 0 })
    }))

  it.effect("closes what it has opened, however it ends", () =>
    Effect.gen(function*() {
      const system = process({ ...holding(100, [1, 2]), files: { [`/proc/${pid}/net/tcp`]: head } })
      yield* looks(system, 2, () => {})
      assert.deepStrictEqual([...system.open], [])
      const run = watch(settings(pid, { count: Infinity })).pipe(Effect.provide(system.layer))
      for (let i = 0; i < 20; i++) {
        const fiber = yield* Effect.forkChild(run, { startImmediately: true })
        for (let step = 0; step < i; step++) yield* Effect.yieldNow
        yield* Fiber.interrupt(fiber)
        assert.deepStrictEqual([...system.open], [])
      }
      for (system.script.room = 0; system.script.room < 5; system.script.room++) {
        yield* Effect.exit(lookAt(system))
        assert.deepStrictEqual([...system.open], [])
      }
      assert.isAbove(system.calls.opened, 20)
      assert.strictEqual(system.calls.opened, system.calls.closed)
    }))

  it.effect("finds the zombies that there are at two looks a second apart", () =>
    Effect.gen(function*() {
      const child = (state: string, given = {}) => statOf({ pid: 90, parent: pid, state, start: 2000, ...given })
      const list = `/proc/${pid}/task/${pid}/children`
      const system = process({
        files: { [list]: "90 91 ", "/proc/90/stat": child("Z"), "/proc/91/stat": child("S", { pid: 91 }) }
      })
      const counts: Array<unknown> = []
      const { moments } = yield* looks(system, 5, ({ look: { zombies } }) => {
        counts.push(zombies.count._tag === "Known" ? zombies.count.value : zombies.count._tag)
        if (counts.length === 4) system.script.files[list] = "91 "
      }, Duration.millis(500))
      assert.deepStrictEqual(counts, [0, 0, 1, 1, 0])
      assert.deepStrictEqual(
        moments.map(({ look }) => look.zombies.all.map(({ age, cause, pid }) => [pid, age, cause])),
        [
          [],
          [],
          [[90, 90_000, "Unknown"]],
          [[90, 90_500, "Unknown"]],
          []
        ]
      )
    }))

  it.effect("knows a zombie that an init would have waited for", () =>
    Effect.gen(function*() {
      const files = {
        [`/proc/${pid}/task/${pid}/children`]: "90",
        "/proc/90/stat": statOf({ pid: 90, parent: pid, state: "Z", start: 2000 }),
        [`/proc/${pid}/status`]: `NSpid:\t${pid}\t1\n`
      }
      const { moments } = yield* looks(process({ files }), 2, () => {})
      assert.deepStrictEqual(moments.at(-1)?.look.zombies.all.map(({ cause }) => cause), ["Adopted"])
    }))

  it.effect("rises at once, falls slowly, and reports each change once", () =>
    Effect.gen(function*() {
      const system = process()
      const counts = [30, 91, 60, 60, 60, 60, 60, 60, 60, 60, 60, 60, 60, 60, 60]
      const { moments } = yield* looks(system, counts.length, () => setFiles(system, counts.shift() ?? 60))
      const levels = moments.map(({ level }) => level)
      assert.strictEqual(levels[2], "Critical")
      // Ten seconds at least after the first look that would allow it.
      assert.deepStrictEqual(levels.slice(3, 13), Array.from({ length: 10 }, () => "Critical"))
      assert.strictEqual(levels.at(-1), "Normal")
      assert.deepStrictEqual(
        moments.flatMap(({ alerts }) => alerts.map(({ _tag }) => _tag)),
        ["Raised", "Recovered"]
      )
    }))

  it.effect("has a trend once there are enough looks, and the pace of the last three until then", () =>
    Effect.gen(function*() {
      const system = process()
      let files = 30
      const { moments } = yield* looks(system, 20, () => setFiles(system, files += 2))
      const growths = moments.map(({ figures }) => figures.descriptors.growth)
      assert.isUndefined(growths[0])
      assert.deepStrictEqual(growths[1], { perSecond: 2, secondsToLimit: 34, isTrend: false })
      const last = growths.at(-1)
      assert.isTrue(last?.isTrend)
      assert.closeTo(Number(last?.perSecond), 2, 1e-9)
      assert.closeTo(Number(last?.secondsToLimit), (100 - 68) / 2, 1e-6)
      assert.include(
        TextView.line(moments[1] as Moment),
        "32 of 100 (32.0 %) descriptors, +2.0/s lately, at the limit in 34s;"
      )
      assert.include(TextView.line(moments.at(-1) as Moment), ", +2.0/s, at the limit in 16s;")
      const projected = moments.flatMap(({ alerts }) => alerts).filter(({ _tag }) => _tag === "Forecast")
      assert.strictEqual(projected.length, 1)
    }))

  it.effect("shows no growth of a constant figure, nor across figures of two sources", () =>
    Effect.gen(function*() {
      const system = process()
      const { moments } = yield* looks(system, 4, () => setFiles(system, 29))
      assert.notInclude(TextView.line(moments.at(-1) as Moment), "/s")
      const box = "/sys/fs/cgroup/box"
      const files = {
        "/proc/self/mountinfo": "31 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
        [`/proc/${pid}/cgroup`]: "0::/box\n",
        [`${box}/memory.current`]: "1\n",
        [`${box}/memory.max`]: "max\n"
      }
      const flipping = process({ files })
      const { moments: both } = yield* looks(flipping, 2, () => {
        flipping.script.files[`${box}/memory.max`] = "1000\n"
      })
      assert.deepStrictEqual(
        both.map(({ figures: { memory } }) =>
          [memory.used, memory.growth].map((one) => one !== undefined && "value" in one ? one.value : one)
        ),
        [[2048 * 1024, undefined], [1, undefined]]
      )
    }))

  it.effect("shows nothing that a terminal could act on, whatever a process calls itself", () =>
    Effect.gen(function*() {
      const evil = "\u001b]0;owned\u0007\u202e" + "x".repeat(5000)
      const files = {
        [`/proc/${pid}/cmdline`]: `${evil}\0`,
        [`/proc/${pid}/task/${pid}/children`]: "90",
        "/proc/90/stat": statOf({ pid: 90, parent: pid, state: "Z" }).replace("some thing", evil.slice(0, 15))
      }
      const { ending, moments } = yield* looks(process({ files }), 2, () => {})
      const shown = [
        ...moments.flatMap((moment) => TextView.lines(moment, { mostPeers: 5, recent: [] })),
        TextView.farewell({ ...ending, reason: "ProcessEnded" })
      ]
      for (const line of shown) assert.match(String(line), /^[\x20-\x7e]*$/)
      assert.isBelow(Math.max(...shown.map((line) => String(line).length)), 500)
    }))

  it.effect("withstands any text in any file", () =>
    Effect.gen(function*() {
      const random = seeded(20_260_101)
      const pick = <A>(all: ReadonlyArray<A>): A => all[Math.floor(random() * all.length)] as A
      const garbage = () =>
        pick([
          "",
          "\n",
          "-1",
          "N/A",
          "9".repeat(30),
          "0 (",
          ") (",
          "EIO",
          "EACCES",
          "ESRCH",
          "EMFILE",
          "ENOENT",
          statOf(),
          head + row(here, there, "01", 1),
          "VmRSS:\t-5 kB",
          "Max open files -3 -3",
          "\0\0",
          "0::/../..",
          "77 77 77"
        ])
      const paths = [
        "stat",
        "status",
        "limits",
        "cmdline",
        "cgroup",
        "net/tcp",
        "net/tcp6",
        "net/udp",
        "net/unix",
        `task/${pid}/children`
      ]
      for (let i = 0; i < 400; i++) {
        const broken = Object.fromEntries(
          paths.flatMap((path) => random() < 0.4 ? [[`/proc/${pid}/${path}`, garbage()]] : [])
        )
        const exit = yield* Effect.exit(lookAt(process({ ...holding(2, [1, 2]), files: broken })))
        const isTyped = Exit.isSuccess(exit) || exit.cause.reasons.every(({ _tag }) => _tag === "Fail")
        assert.isTrue(isTyped, `${JSON.stringify(broken)}: ${String(Exit.isFailure(exit) ? exit.cause : "")}`)
        if (Exit.isSuccess(exit)) assert.notMatch(JSON.stringify(exit.value), /NaN|Infinity|undefined/)
      }
    }))
})
