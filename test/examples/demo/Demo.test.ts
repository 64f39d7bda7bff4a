import { assert, beforeAll, describe, it } from "@effect/vitest"
import * as Endpoint from "effect-sluice/Endpoint"
import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { lines } from "../../../examples/demo/Display.ts"
import type { Report } from "../../../examples/demo/Report.ts"
import { fateOf, outagesOf, ports } from "../../../examples/demo/server/Misbehaviour.ts"
import * as Tally from "../../../examples/demo/Tally.ts"
import { fit, frame } from "../../../src/Cli/Terminal.ts"
import { wholeRun } from "../../Cli/wholeRun.ts"

const sources = Path.resolve(import.meta.dirname, "../../../scripts/sources.mjs")
const main = Path.resolve(import.meta.dirname, "../../../examples/demo/main.ts")

interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

interface Running {
  readonly child: ChildProcess.ChildProcess
  readonly ended: Promise<Ended>
  /** Resolves as soon as this many lines of progress were printed, or the process has ended. */
  readonly progress: (lines: number) => Promise<void>
}

const start = (...args: ReadonlyArray<string>): Running => {
  const child = ChildProcess.spawn(process.execPath, ["--import", sources, main, ...args], {
    stdio: ["ignore", "pipe", "pipe"]
  })
  let stdout = ""
  let stderr = ""
  child.stdout.setEncoding("utf8").on("data", (text) => stdout += text)
  child.stderr.setEncoding("utf8").on("data", (text) => stderr += text)
  const ended = new Promise<Ended>((resolve) => {
    child.on("close", (code, signal) => resolve({ code, signal, stdout, stderr }))
  })
  const progress = (lines: number) =>
    Promise.race([
      ended.then(() => {}),
      new Promise<void>((resolve) => {
        child.stderr.on("data", () => {
          if (stderr.split("\n").length > lines) resolve()
        })
      })
    ])
  return { child, ended, progress }
}

/** The report of a run. Whatever else it printed is in the message, should there be none. */
const reportOf = ({ code, stderr, stdout }: Ended): Report => {
  assert.match(stdout, /^\{.*\}\n$/, `exit status ${code}\n${stdout}\n${stderr}`)
  return JSON.parse(stdout)
}

const sleep = (millis: number) => new Promise<void>((resolve) => setTimeout(resolve, millis))

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    // A zombie has ended.
    return !/^\d+ \(.*\) Z/.test(Fs.readFileSync(`/proc/${pid}/stat`, "utf8"))
  } catch {
    return false
  }
}

const childrenOf = (pid: number | undefined): ReadonlyArray<number> => {
  const list = `/proc/${pid}/task/${pid}/children`
  return Fs.existsSync(list) ? Fs.readFileSync(list, "utf8").split(" ").filter((text) => text !== "").map(Number) : []
}

interface Stopped {
  readonly ended: Ended
  /** The time from the signal to the end, in runs of the command that start at the signal and do nothing. */
  readonly runs: number
  readonly children: ReadonlyArray<number>
  /** Its children that are alive at the end. */
  readonly leftBehind: ReadonlyArray<number>
}

const stop = async (signal: NodeJS.Signals, moment: (running: Running) => Promise<void>): Promise<Stopped> => {
  const running = start("--json")
  await moment(running)
  const children = childrenOf(running.child.pid)
  const begin = performance.now()
  running.child.kill(signal)
  const oneRun = wholeRun()
  const ended = await running.ended
  const took = performance.now() - begin
  const leftBehind = children.filter(isAlive)
  return { ended, runs: took / await oneRun, children, leftBehind }
}

describe("npm run demo", () => {
  let pooled: Ended
  let naive: Ended
  beforeAll(async () => {
    const runs = [start("--json", "--requests", "500"), start("--json", "--naive", "--requests", "500")]
    const [first, second] = await Promise.all(runs.map((run) => run.ended))
    assert.isDefined(first)
    assert.isDefined(second)
    pooled = first
    naive = second
  }, 60_000)

  it("keeps every promise, and its exit status says so", () => {
    const report = reportOf(pooled)
    assert.deepStrictEqual(report.broken, [])
    assert.isTrue(report.ok)
    assert.strictEqual(pooled.code, 0)
  })

  it("has as many descriptors after as before, and the server has no connection left", () => {
    const { descriptors, server } = reportOf(pooled)
    assert.isNumber(descriptors.before)
    assert.strictEqual(descriptors.after, descriptors.before)
    assert.isAbove(Number(descriptors.peak), Number(descriptors.before))
    assert.strictEqual(server?.open, 0)
    assert.strictEqual(server?.opened, Number(server?.graceful) + Number(server?.reset))
  })

  it("opens a connection for at most a tenth of the requests, and never more than five at once", () => {
    const { connections, requests } = reportOf(pooled)
    assert.strictEqual(requests.total, 500)
    assert.isAtMost(connections.opened, 50)
    assert.isAtMost(connections.peak, 5)
    assert.isAtLeast(connections.reusedShare, 0.9)
  })

  it("succeeds at live endpoints and fails at the dead one with its reason", () => {
    const { requests } = reportOf(pooled)
    const endpoints = Object.values(requests.byEndpoint)
    const live = endpoints.filter(({ dead }) => !dead)
    const failed = live.reduce((sum, endpoint) => sum + endpoint.failed, 0)
    assert.isAtMost(failed / (500 - requests.failed + failed), 0.01)
    const dead = endpoints.find(({ dead }) => dead)
    assert.strictEqual(dead?.succeeded, 0)
    assert.isAbove(Number(dead?.failed), 0)
    assert.strictEqual(requests.byReason["ConnectFailed"], dead?.failed)
  })

  it("has met each kind of misbehaviour", () => {
    const { connections, retries, server } = reportOf(pooled)
    for (const [kind, times] of Object.entries(server?.misbehaviour ?? {})) assert.isAbove(times, 0, kind)
    assert.isAbove(connections.failedDials, 0)
    assert.isAbove(retries, 0)
  })

  it("opens at least five times as many connections in the naive way", () => {
    const [ours, theirs] = [reportOf(pooled), reportOf(naive)]
    assert.strictEqual(naive.code, 0)
    assert.strictEqual(theirs.mode, "naive")
    assert.isAtLeast(theirs.connections.opened, 5 * ours.connections.opened)
    assert.isAbove(theirs.connections.peak, 5)
    // The same seed makes the same requests.
    const load = ({ requests }: Report) =>
      Object.values(requests.byEndpoint).map(({ failed, succeeded }) => failed + succeeded)
    assert.deepStrictEqual(load(theirs), load(ours))
  })

  it("prints progress on standard error only", () => assert.match(pooled.stderr, /^1\.\d s: \d+\/500 requests/m))
})

describe("a signal", () => {
  const statuses = { SIGINT: 130, SIGTERM: 143 } as const
  const soon = () => sleep(300)
  const after = (seconds: number) => (running: Running) => running.progress(seconds)
  const cases = [
    ["SIGINT", "after 1 s of load", after(1)],
    ["SIGTERM", "after 1 s of load", after(1)],
    ["SIGINT", "after 3 s of load", after(3)]
  ] as const

  it.concurrent.each(cases)("%s %s ends everything at once", async (signal, _, moment) => {
    const { children, ended, leftBehind, runs } = await stop(signal, moment)
    const report = reportOf(ended)
    assert.strictEqual(ended.code, statuses[signal])
    assert.strictEqual(report.interrupted, signal)
    assert.isBelow(runs, 4)
    assert.strictEqual(report.server?.open, 0)
    assert.isAbove(Number(report.server?.opened), 0)
    assert.strictEqual(report.descriptors.after, report.descriptors.before)
    assert.isBelow(report.requests.succeeded, report.requests.total)
    assert.strictEqual(children.length, 1)
    assert.deepStrictEqual(leftBehind, [])
  }, 60_000)

  it.concurrent.each(["SIGINT", "SIGTERM"] as const)("%s while it starts leaves nothing behind", async (signal) => {
    const { ended, leftBehind, runs } = await stop(signal, soon)
    // Before there is a listener, the signal itself ends the process.
    if (ended.signal === null) {
      assert.strictEqual(ended.code, statuses[signal])
      assert.strictEqual(reportOf(ended).server?.open, 0)
    } else assert.strictEqual(ended.signal, signal)
    assert.isBelow(runs, 4)
    assert.deepStrictEqual(leftBehind, [])
  }, 60_000)

  it.concurrent("SIGKILL ends the server too, which sees the end of its input", async () => {
    const { children } = await stop("SIGKILL", after(1))
    assert.strictEqual(children.length, 1)
    for (let i = 0; i < 40 && children.some(isAlive); i++) await sleep(50)
    assert.deepStrictEqual(children.filter(isAlive), [])
  }, 60_000)
})

describe("the live display", () => {
  const tally = Tally.make([{ endpoint: Endpoint.tcp("127.0.0.1", 9500), dead: false }], 10)

  it("never reaches the last column, so that no line wraps", () => {
    for (const columns of [1, 2, 20, 80]) {
      for (const line of lines({ tally, elapsed: 1, descriptors: 20 })) {
        assert.isAtMost(fit(line, columns).length, Math.max(1, columns - 1))
      }
    }
  })

  it("goes up by as many rows as the last frame has on the terminal, also when that has become narrower", () => {
    assert.match(frame(["a"], [], 80), /^\r/)
    assert.include(frame(["a"], ["x".repeat(79), "y"], 80), "\u001b[2A")
    assert.include(frame(["a"], ["x".repeat(79), "y"], 40), "\u001b[3A")
  })
})

describe("the schedule of misbehaviour", () => {
  it("holds every kind within the first 100 requests to a port, and answers nine of ten", () => {
    const fates = Array.from({ length: 100 }, (_, i) => fateOf(i + 1))
    for (const fate of ["Answer", "Slow", "Reset", "Mute"] as const) assert.include(fates, fate)
    assert.isAtLeast(fates.filter((fate) => fate === "Answer").length, 90)
  })

  it("has an outage of each port", () => {
    for (let port = 0; port < ports; port++) assert.isAtLeast(outagesOf(port).length, 1)
  })
})

describe("the tally", () => {
  it("takes percentiles by the nearest rank", () => {
    const values = Array.from({ length: 100 }, (_, i) => 100 - i)
    assert.deepStrictEqual([0.5, 0.99, 1].map((p) => Tally.percentile(values, p)), [50, 99, 100])
    assert.strictEqual(Tally.percentile([], 0.5), 0)
  })

  it("names the failure, not the policy that gave up on it", () => {
    const failure = { _tag: "PoolError", reason: { _tag: "ConnectFailed", cause: { _tag: "Other" } } }
    assert.strictEqual(
      Tally.reasonOf({ _tag: "RetryError", reason: { _tag: "NotRetryable" }, cause: failure }),
      "ConnectFailed"
    )
    assert.strictEqual(
      Tally.reasonOf({ _tag: "RetryError", reason: { _tag: "DeadlineExceeded" }, cause: undefined }),
      "DeadlineExceeded"
    )
  })
})
