import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Duration, Effect, Fiber } from "effect"
import type { Scope } from "effect"
import { CliError, CliOutput, Command } from "effect/cli"
import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import type * as Stream from "node:stream"
import { parseInterval, watch as watchCommand } from "../../../src/Cli/watch/Command.ts"
import { lookOf } from "../../../src/Cli/watch/JsonReport.ts"
import * as TextView from "../../../src/Cli/watch/TextView.ts"
import { eventually } from "../../support/TcpServer.ts"
import { wholeRun } from "../wholeRun.ts"
import { settings, watch } from "./watching.ts"

const main = Path.resolve(import.meta.dirname, "../../../src/Cli/main.ts")
const watchedPath = Path.join(import.meta.dirname, "children/watched.mjs")

interface Watched {
  readonly pid: number
  /** Where it listens. */
  readonly port: number
  /** How many descriptors it counts itself. */
  readonly open: number
  /** Waits until they are open. */
  readonly openFiles: (count: number) => Effect.Effect<void>
  readonly end: () => void
}

interface Holdings {
  readonly files?: number
  readonly clients?: number
  readonly halfClosed?: number
  readonly zombies?: number
  /** Its soft and hard limit of descriptors. */
  readonly limit?: number
}

/** A process that has these things open. It ends with the test. */
const watched = (
  { clients = 0, files = 0, halfClosed = 0, limit = 1000, zombies = 0 }: Holdings
): Effect.Effect<Watched, never, Scope.Scope> =>
  Effect.gen(function*() {
    const numbers = [files, clients, halfClosed, zombies].map(String)
    const shell = ["-c", `ulimit -n ${limit} && exec "$0" "$@"`, process.execPath, watchedPath, ...numbers]
    const child = yield* Effect.acquireRelease(
      Effect.sync(() => ChildProcess.spawn("sh", shell, { stdio: ["pipe", "pipe", "ignore"] })),
      (child) => Effect.sync(() => child.kill("SIGKILL"))
    )
    const said = yield* Effect.callback<string>((resume) => {
      child.stdout.once("data", (text) => resume(Effect.succeed(String(text))))
      child.on("exit", (status) => resume(Effect.die(new Error(`the process to watch ended with ${status}`))))
    })
    return {
      ...(JSON.parse(said) as Pick<Watched, "port" | "open">),
      pid: child.pid ?? -1,
      openFiles: (count) =>
        count === 0 ? Effect.void : Effect.callback((resume) => {
          child.stdout.once("data", () => resume(Effect.void))
          child.stdin.write(Buffer.alloc(count))
        }),
      end: () => child.stdin.end()
    }
  })

interface Outcome {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

type Running = ChildProcess.ChildProcessByStdio<null, Stream.Readable, Stream.Readable>

const spawn = (args: ReadonlyArray<string>, options: ChildProcess.SpawnOptions = {}): Running =>
  ChildProcess.spawn(process.execPath, [main, "watch", ...args], { ...options, stdio: ["ignore", "pipe", "pipe"] })

const outcomeOf = (child: Running): Effect.Effect<Outcome> =>
  Effect.callback((resume) => {
    let [stdout, stderr] = ["", ""]
    child.stdout.on("data", (data) => stdout += String(data))
    child.stderr.on("data", (data) => stderr += String(data))
    child.on("close", (status) => resume(Effect.succeed({ status, stdout, stderr })))
    return Effect.sync(() => child.kill("SIGKILL"))
  })

const sluiceWatch = (...args: ReadonlyArray<string>) => Effect.suspend(() => outcomeOf(spawn(args)))

/** The command said in one line why it failed, and nothing else. */
const failsWith = (outcome: Outcome, status: number, words: string) => {
  assert.strictEqual(outcome.status, status, outcome.stderr)
  assert.match(outcome.stderr, /^sluice[^\n]*\n$/)
  assert.include(outcome.stderr, words)
}

const linesOf = ({ stdout }: Outcome) => stdout.trim().split("\n").map((line) => JSON.parse(line))

/** What the command says to a wrong call, in this process and with this environment. */
const refusal = (args: ReadonlyArray<string>, environment: Record<string, string> = {}) =>
  Command.runWith(watchCommand, { version: "0" })(args).pipe(
    Effect.flip,
    Effect.map((error) =>
      CliError.isCliError(error) && error._tag === "ShowHelp"
        ? error.errors.map(({ message }) => message).join("; ")
        : assert.fail(error.message)
    ),
    Effect.provideService(CliOutput.Presenter, { present: () => Effect.void }),
    Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromUnknown(environment)),
    Effect.provide(NodeServices.layer)
  )

describe("a wrong call", () => {
  const rows: ReadonlyArray<readonly [args: string, refusal: string, environment?: Record<string, string>]> = [
    ["", "Missing required flag: --pid"],
    ["--pid x", "Invalid value for flag --pid: \"x\". Expected a string representing a finite number"],
    ["--pid 1.5", "Invalid value for flag --pid: \"1.5\". Expected an integer"],
    ["--pid 4194305", "Invalid value for flag --pid: \"4194305\". Expected: a whole number from 1 to 4194304"],
    ["--pid 1 --count 0", "Invalid value for flag --count: \"0\". Expected: a whole number from 1 to 1000000000"],
    ["--pid 1 --once --count 2", "--once cannot be used together with --count"],
    [
      "--pid 1 --interval 99ms",
      "Invalid value for flag --interval: \"99ms\". " +
      "Expected: a time from 100ms to 60m, such as 500ms, 2s or 1m; without a unit it is in seconds"
    ],
    [
      "--pid 1 --warning-threshold 0",
      "Invalid value for flag --warning-threshold: \"0\". Expected: a number above 0 and at most 1"
    ],
    [
      "--pid 1 --warning-threshold 0.95",
      "the warning threshold is 0.95, but it must be at most the error threshold, which is 0.9"
    ],
    [
      "--pid 1 --max-descriptors 1.5",
      "Invalid value for flag --max-descriptors: \"1.5\". Expected: a whole number from 1 to 1000000000"
    ],
    [
      "--pid 1",
      "MAX_FILE_DESCRIPTORS is \"0x10\", but it must be a whole number from 1 to 1000000000",
      { MAX_FILE_DESCRIPTORS: "0x10" }
    ],
    [
      "--pid 1 --error-threshold 0.5",
      "the warning threshold is 0.6, but it must be at most the error threshold, which is 0.5",
      { FD_WARNING_THRESHOLD: " 0.6 ", FD_ERROR_THRESHOLD: "nonsense" }
    ]
  ]
  for (const [args, expected, environment] of rows) {
    it.live(`is refused with the option, the value and the rule: ${args} ${JSON.stringify(environment ?? {})}`, () =>
      Effect.gen(function*() {
        const words = args === "" ? [] : args.split(" ")
        assert.strictEqual(yield* refusal(words, environment), expected)
      }))
  }

  it("of the interval is one that is no time, or is too short or too long", () => {
    const texts = ["100ms", "0.1", "1.5s", "2m", "60m", "99ms", "61m", "1h", "-1s", "1e3", "s", "", "1 s", "Infinity"]
    assert.deepStrictEqual(texts.map(parseInterval), [
      ...[100, 100, 1500, 120_000, 3_600_000],
      ...Array.from({ length: 9 }, () => undefined)
    ])
  })
})

const onLinux = process.platform === "linux" ? describe.concurrent : describe.skip

onLinux("a watched process", () => {
  it.live("shows its descriptors by kind, its sockets by state and peer, and its zombies", () =>
    Effect.gen(function*() {
      const { open, pid, port } = yield* watched({ files: 7, clients: 5, halfClosed: 2, zombies: 2, limit: 500 })
      const { moments: [moment] } = yield* watch(settings(pid))
      if (moment === undefined) return assert.fail("no look")
      const report = JSON.parse(JSON.stringify(lookOf(moment, 10)))
      assert.deepInclude(report, { type: "look", pid, command: "node", level: "Normal", unknown: {} })
      assert.deepInclude(report.descriptors, { used: open, limit: 500, level: "Normal" })
      assert.strictEqual(report.descriptors.kinds.socket, 13)
      assert.isAtLeast(report.descriptors.kinds.file, 7)
      const sum = Object.values<number>(report.descriptors.kinds).reduce((a, b) => a + b, 0)
      assert.strictEqual(sum, open)
      assert.deepStrictEqual(report.sockets, {
        connections: 10,
        tcp: { ESTABLISHED: 6, CLOSE_WAIT: 2, FIN_WAIT2: 2, LISTEN: 1 },
        udp: 0,
        // Its standard input and output.
        unix: 2,
        other: 0,
        listening: [`[::]:${port}`],
        peers: [
          { direction: "from", address: "127.0.0.1", port, count: 5, states: { ESTABLISHED: 3, CLOSE_WAIT: 2 } },
          { direction: "to", address: `127.0.0.1:${port}`, count: 5, states: { ESTABLISHED: 3, FIN_WAIT2: 2 } }
        ]
      })
      assert.strictEqual(report.connections.used, 10)
      const resident = Number(/^VmRSS:\s+(\d+) kB/m.exec(Fs.readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) * 1024
      assert.closeTo(report.memory.resident, resident, 16 * 1024 * 1024)
      assert.strictEqual(report.threads, Fs.readdirSync(`/proc/${pid}/task`).length)
      assert.strictEqual(report.zombies.count, 2)
      assert.deepInclude(report.zombies.all[0], { command: "true", cause: "Unknown" })
      const view = TextView.lines(moment, { mostPeers: 1, recent: [] }).join("\n")
      assert.include(view, `${open} of 500 (${(Math.floor(open / 500 * 1000) / 10).toFixed(1)} %)`)
      assert.include(view, `     5  from 127.0.0.1 at port ${port}: 3 ESTABLISHED, 2 CLOSE_WAIT\n`)
      assert.include(view, "and 1 more")
      assert.include(view, "zombies      2 of ")
    }))

  it.live("shows the rate of growth, and the time that is left", () =>
    Effect.gen(function*() {
      const { open, openFiles, pid } = yield* watched({ limit: 200 })
      const { moments } = yield* watch(settings(pid, { count: 4 }), () => openFiles(10))
      const growth = moments.at(-1)?.figures.descriptors.growth
      const last = moments.at(-1)?.look
      const before = moments.at(-3)?.look
      if (growth === undefined || last === undefined || before === undefined) return assert.fail("no growth")
      const pace = 20 / (last.now - before.now) * 1000
      assert.closeTo(growth.perSecond, pace, pace / 4)
      assert.isFalse(growth.isTrend)
      assert.closeTo(Number(growth.secondsToLimit), (200 - open - 30) / growth.perSecond, 0.001)
    }))

  it.live("is at the level that the monitor would give it, and rises at once", () =>
    Effect.gen(function*() {
      const { open, openFiles, pid } = yield* watched({ limit: 100 })
      const levels: Array<string> = []
      const steps = [70 - open, 20, 10]
      const { moments } = yield* watch(settings(pid, { count: 4 }), ({ level, look: { descriptors: { used } } }) => {
        levels.push(`${used._tag === "Known" ? used.value : used._tag} ${level}`)
        return openFiles(steps.shift() ?? 0)
      })
      assert.deepStrictEqual(levels, [`${open} Normal`, "70 Warning", "90 Critical", "100 Exhausted"])
      assert.deepStrictEqual(moments.flatMap(({ alerts }) => alerts.map(({ message }) => message)), [
        "descriptors: Normal -> Warning, 70 used of 100 (70 %)",
        "descriptors: Warning -> Critical, 90 used of 100 (90 %)",
        "descriptors: Critical -> Exhausted, 100 used of 100 (100 %)"
      ])
    }))

  it.live("is held against limits of one's own", () =>
    Effect.gen(function*() {
      const { open, pid } = yield* watched({ clients: 10 })
      const { limits } = settings(pid)
      const levelsWith = (given: Partial<typeof limits>) =>
        Effect.map(watch(settings(pid, { limits: { ...limits, ...given } })), ({ ending: { last } }) => last.level)
      assert.strictEqual(yield* levelsWith({}), "Normal")
      assert.strictEqual(yield* levelsWith({ maxDescriptors: open }), "Exhausted")
      assert.strictEqual(yield* levelsWith({ maxConnections: 22 }), "Critical")
      assert.strictEqual(yield* levelsWith({ maxMemory: 1024 * 1024 }), "Exhausted")
      const rules = { ...limits.rules, warningThreshold: 0.01, errorThreshold: 0.02 }
      assert.strictEqual(yield* levelsWith({ rules }), "Critical")
    }))

  it.live("ends the watch when it ends, also between two looks that are far apart", () =>
    Effect.gen(function*() {
      const { end, pid } = yield* watched({})
      const start = performance.now()
      const given = settings(pid, { count: Infinity, interval: Duration.hours(1) })
      const { ending, moments } = yield* watch(given, () => Effect.sync(end))
      assert.isBelow(performance.now() - start, 5000)
      assert.strictEqual(ending.reason, "ProcessEnded")
      assert.strictEqual(moments.length, 1)
      assert.strictEqual(TextView.farewell(ending), `process ${pid} (node) has ended, Normal at the last of 1 look`)
    }))

  it.live("cannot be a thread, nor a process that has ended", () =>
    Effect.gen(function*() {
      const { pid } = yield* watched({ zombies: 1 })
      const thread = Number(Fs.readdirSync(`/proc/${pid}/task`).find((thread) => thread !== `${pid}`))
      const child = Number(Fs.readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8"))
      yield* eventually(() => / Z /.test(Fs.readFileSync(`/proc/${child}/stat`, "utf8")))
      const reasons = yield* Effect.forEach(
        [thread, child],
        (target) => Effect.map(Effect.flip(watch(settings(target))), ({ message, reason }) => [reason._tag, message])
      )
      assert.deepStrictEqual(reasons, [
        ["IsThread", `sluice watch: ${thread} is a thread of process ${pid}: watch that one`],
        [
          "AlreadyEnded",
          `sluice watch: process ${child} (true) is a zombie: it has ended, and its parent ${pid} has not waited for it`
        ]
      ])
    }))

  it.live("leaves no descriptor open in the process that watches", () =>
    Effect.gen(function*() {
      const { pid } = yield* watched({ clients: 2, zombies: 1 })
      const held = () =>
        Fs.readdirSync("/proc/self/fd").flatMap((descriptor) => {
          try {
            return [Fs.readlinkSync(`/proc/self/fd/${descriptor}`)]
          } catch {
            return []
          }
        }).filter((target) => target.startsWith(`/proc/${pid}`))
      const fiber = yield* Effect.forkChild(watch(settings(pid, { count: Infinity })), { startImmediately: true })
      // It is interrupted in the middle of whatever it does.
      for (let i = 0; i < 5; i++) {
        yield* Effect.sleep(7 * i)
        const next = yield* Effect.forkChild(watch(settings(pid, { count: Infinity })), { startImmediately: true })
        yield* Effect.sleep(3 * i)
        yield* Fiber.interrupt(next)
      }
      yield* Fiber.interrupt(fiber)
      yield* eventually(() => held().length === 0)
      assert.deepStrictEqual(held(), [])
    }))
})

onLinux("sluice watch", () => {
  it.live("prints one JSON object for each look and one for the end, and exits with 3 when that was at Critical", () =>
    Effect.gen(function*() {
      const { end, open, pid } = yield* watched({ files: 70, limit: 100 })
      const child = spawn(["--pid", `${pid}`, "--json", "--interval", "100ms"])
      child.stdout.once("data", end)
      const outcome = yield* outcomeOf(child)
      const lines = linesOf(outcome)
      const last = lines.pop()
      assert.deepInclude(last, { type: "end", pid, reason: "ProcessEnded", level: "Critical", looks: lines.length })
      assert.deepInclude(lines[0].descriptors, { used: open, limit: 100, share: open / 100, level: "Critical" })
      // It closes its input before it ends, and is never seen with nothing.
      for (const line of lines) assert.isAtLeast(line.descriptors.used, open - 4)
      const { used } = lines.at(-1).descriptors
      failsWith(outcome, 3, `process ${pid} (node) is Critical at the end: descriptors ${used} of 100 (${used}.0 %)`)
    }))

  it.live("prints one line for each look, ends with the process, and exits with 0 when that was well", () =>
    Effect.gen(function*() {
      const { end, open, pid } = yield* watched({ limit: 400 })
      const child = spawn(["--pid", `${pid}`, "--interval", "0.1"])
      let lines = 0
      child.stdout.on("data", (text) => {
        lines += String(text).split("\n").length - 1
        if (lines >= 2) end()
      })
      const { status, stderr, stdout } = yield* outcomeOf(child)
      assert.strictEqual(stderr, "")
      assert.strictEqual(status, 0)
      const printed = stdout.trimEnd().split("\n")
      const look = new RegExp(`^\\d{4}-[^ ]+Z Normal: ${open} of 400 \\(`)
      for (const line of printed.slice(0, 2)) assert.match(line, look)
      assert.match(
        printed.at(-1) ?? "",
        new RegExp(`^process ${pid} \\(node\\) has ended, Normal at the last of \\d+ looks$`)
      )
    }))

  it.live("prints the whole view once, without colours for a reader that is no terminal", () =>
    Effect.gen(function*() {
      const { open, pid, port } = yield* watched({ clients: 3 })
      const outcome = yield* sluiceWatch("--pid", `${pid}`, "--once", "--max-descriptors", `${open + 1}`)
      failsWith(outcome, 3, "is Critical at the end")
      assert.match(outcome.stdout, /^[\x20-\x7e\n]+$/)
      assert.include(outcome.stdout, "sockets      TCP: 6 ESTABLISHED, 1 LISTEN; 2 Unix\n")
      assert.include(outcome.stdout, `     3  to 127.0.0.1:${port}: 3 ESTABLISHED\n`)
    }))

  const onTerminal = Fs.existsSync("/usr/bin/script") || process.env["CI"] === "true" ? it.live : it.live.skip
  for (const [name, variables] of [["colours", {}], ["NO_COLOR", { NO_COLOR: "1" }]] as const) {
    onTerminal(`redraws its view in place on a terminal, with ${name}`, () =>
      Effect.gen(function*() {
        const { pid } = yield* watched({ limit: 300 })
        const command = [process.execPath, main, "watch", "--pid", pid, "--count", "2", "--interval", "100ms"].join(" ")
        const env = { PATH: process.env["PATH"], TERM: "xterm-256color", ...variables }
        const child = ChildProcess.spawn("script", ["-qefc", command, "/dev/null"], {
          env,
          stdio: ["ignore", "pipe", "pipe"]
        })
        const { status, stdout } = yield* outcomeOf(child)
        assert.strictEqual(status, 0)
        const frames = stdout.split("\u001b[J").slice(1)
        assert.strictEqual(frames.length, 2)
        const [first = "", second = ""] = frames
        // As many rows up as the first view has.
        assert.include(first, `\u001b[${first.split("\n").length - 1}A`)
        assert.match(second, new RegExp(`process ${pid} \\(node\\) .*Normal`))
        assert.strictEqual(stdout.includes("\u001b[32m Normal\u001b[0m"), name === "colours")
        assert.strictEqual(stdout.includes("\u001b[0m"), name === "colours")
      }))
  }

  it.live("says why a process cannot be watched: there is none", () =>
    Effect.gen(function*() {
      const most = Number(Fs.readFileSync("/proc/sys/kernel/pid_max", "utf8"))
      const outcome = yield* sluiceWatch("--pid", `${most}`, "--json")
      failsWith(outcome, 1, `sluice watch: there is no process ${most}, or it is hidden from this user`)
      assert.strictEqual(linesOf(outcome).length, 1)
      assert.deepInclude(linesOf(outcome)[0], { type: "error", pid: most, reason: "NoSuchProcess" })
    }))

  const isRoot = process.getuid?.() === 0
  const foreign = Fs.readdirSync("/proc").map(Number).find((pid) =>
    pid > 0 && Fs.statSync(`/proc/${pid}`, { throwIfNoEntry: false })?.uid !== process.getuid?.()
  )
  const withOthers = isRoot || foreign !== undefined ? it.live : it.live.skip
  withOthers("says that a process of another user may not be watched", () =>
    Effect.gen(function*() {
      const { pid } = isRoot ? yield* watched({}) : { pid: foreign }
      const child = spawn(["--pid", `${pid}`, "--once"], isRoot ? { uid: 65_534, gid: 65_534 } : {})
      failsWith(yield* outcomeOf(child), 1, `sluice watch: permission denied: /proc/${pid}/fd of process ${pid}`)
    }))

  it.live("says that other platforms are not supported", () =>
    Effect.gen(function*() {
      const pretend = "data:text/javascript,Object.defineProperty(process,'platform',{value:'darwin'})"
      const child = spawn(["--pid", `${process.pid}`], { env: { ...process.env, NODE_OPTIONS: `--import=${pretend}` } })
      failsWith(yield* outcomeOf(child), 1, "only on Linux with /proc mounted, and this is darwin")
    }))

  it.live("a wrong call exits with 2, in one line", () =>
    Effect.map(sluiceWatch("--pid", "0"), (outcome) => {
      failsWith(outcome, 2, "--pid: \"0\". Expected: a whole number from 1 to 4194304")
      assert.strictEqual(outcome.stdout, "")
    }))

  const signalled = (signal: NodeJS.Signals, status: number) =>
    it.live(`${signal} ends it at once, and the process goes on`, () =>
      Effect.gen(function*() {
        // At Critical, which does not change the status of a watch that a signal ends.
        const { pid } = yield* watched({ files: 70, limit: 100 })
        const child = spawn(["--pid", `${pid}`, "--interval", "10s"])
        let start = 0
        let oneRun: Promise<number> | undefined
        child.stdout.once("data", () => {
          start = performance.now()
          child.kill(signal)
          oneRun = wholeRun()
        })
        const outcome = yield* outcomeOf(child)
        const took = performance.now() - start
        assert.isBelow(took / ((yield* Effect.promise(async () => oneRun)) ?? 0), 4)
        assert.strictEqual(outcome.status, status)
        assert.strictEqual(outcome.stderr, "")
        assert.isTrue(process.kill(pid, 0))
      }))
  signalled("SIGINT", 130)
  signalled("SIGTERM", 143)

  it.live("ends when its output has no reader", () =>
    Effect.gen(function*() {
      const { pid } = yield* watched({})
      const child = spawn(["--pid", `${pid}`, "--interval", "100ms"])
      child.stdout.once("data", () => child.stdout.destroy())
      assert.deepInclude(yield* outcomeOf(child), { status: 0, stderr: "" })
    }))
})
