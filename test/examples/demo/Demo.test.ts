/**
 * The demo as a user runs it: real processes, sockets and signals.
 */
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import type { Summary } from "../../../examples/demo/Summary.ts"
import { wholeRun } from "../../Cli/wholeRun.ts"
import { type Ended, resultOf, start } from "./Process.ts"

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

/** The load, and for each of the three contenders its process and its server. */
const processes = 7

describe("npm run demo -- --quick --rate 30", () => {
  let ended: Ended
  let result: Summary
  let folder: string
  beforeAll(async () => {
    folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "demo-"))
    ended = await start("--quick", "--json", "--rate", "30", "--report", Path.join(folder, "report.html")).ended
    result = resultOf(ended)
  }, 90_000)
  afterAll(() => Fs.rmSync(folder, { recursive: true }))

  it("writes the report as one page", () => {
    const html = Fs.readFileSync(Path.join(folder, "report.html"), "utf8")
    assert.match(html, /^<!doctype html>/)
    for (const { name } of result.contenders) assert.include(html, name)
  })

  it("keeps every promise, and its exit status says so", () => {
    assert.deepStrictEqual(result.broken, [])
    assert.isTrue(result.ok)
    assert.strictEqual(ended.code, 0)
  })

  it("gives the same load to each contender, and each answers a part of it", () => {
    const [ours, ...theirs] = result.contenders.map(({ figures }) => figures)
    assert.isDefined(ours)
    assert.strictEqual(theirs.length, 2)
    for (const { answered, requests } of [ours, ...theirs]) {
      assert.strictEqual(requests, ours.requests)
      assert.isAbove(answered, 0)
    }
  })

  it("has never held more than ten connections, and none is left", () => {
    for (const { figures: { descriptors, held, left }, name } of result.contenders) {
      assert.strictEqual(left, 0, name)
      assert.isNumber(descriptors.before, name)
      assert.isAbove(Number(descriptors.peak), Number(descriptors.before), name)
      if (name === "effect-sluice") {
        assert.isAtMost(Number(held), 10)
        assert.strictEqual(descriptors.after, descriptors.before)
      }
    }
  })

  it("dials less than half as often as one dial per request does", () => {
    const [ours, , dialing] = result.contenders.map(({ figures }) => figures)
    assert.isAtLeast(Number(dialing?.dials), 2 * Number(ours?.dials))
  })

  it("says at first what happens and how long it takes, and prints progress on standard error only", () => {
    assert.match(ended.stderr, /^3 HTTP APIs get 30 requests a second each, .*\. This takes about \d+ seconds\.\n/)
    assert.match(ended.stderr, /^\d\.\d s \((ok|down|frozen|restart|slow)\): effect-sluice \d+ answered/m)
  })
})

describe("an invalid call", () => {
  it.concurrent.each(
    [
      ["--rate", "9", "10 to 1000"],
      ["--rate", "many", "many"],
      ["--seed", "x", "x"]
    ] as const
  )("%s %s ends with status 2 and one line, before anything is started", async (flag, value, text) => {
    const { code, stderr, stdout } = await start(flag, value).ended
    assert.strictEqual(code, 2)
    assert.strictEqual(stdout, "")
    assert.match(stderr, /^npm run demo --: .*\n$/)
    assert.include(stderr, text)
  }, 60_000)
})

describe("a report that cannot be written", () => {
  it("ends the demo with status 1 and one line, before anything is started", async () => {
    const path = Path.join(Os.tmpdir(), "there-is-no-such-folder", "report.html")
    const { code, stderr, stdout } = await start("--report", path).ended
    assert.strictEqual(code, 1)
    assert.strictEqual(stdout, "")
    assert.strictEqual(stderr, `sluice demo: the report cannot be written to ${path}: ENOENT\n`)
  }, 60_000)
})

describe("a signal", () => {
  const statuses = { SIGINT: 130, SIGTERM: 143 } as const

  it.each(["SIGINT", "SIGTERM"] as const)("%s during the load ends all processes", async (signal) => {
    const running = start("--json")
    await running.printed(2)
    const children = childrenOf(running.child.pid)
    const begin = performance.now()
    running.child.kill(signal)
    const oneRun = wholeRun()
    const { code } = await running.ended
    const took = performance.now() - begin
    const leftBehind = children.filter(isAlive)
    assert.strictEqual(code, statuses[signal])
    assert.strictEqual(children.length, processes)
    assert.deepStrictEqual(leftBehind, [])
    // Children are killed after half a second, so that the end takes no longer than a few starts of the command.
    assert.isBelow(took / await oneRun, 4)
  }, 90_000)

  it("SIGKILL ends the children too, which see the end of their input", async () => {
    const running = start("--json")
    await running.printed(2)
    const children = childrenOf(running.child.pid)
    running.child.kill("SIGKILL")
    await running.ended
    assert.strictEqual(children.length, processes)
    for (let i = 0; i < 100 && children.some(isAlive); i++) await sleep(50)
    assert.deepStrictEqual(children.filter(isAlive), [])
  }, 90_000)
})
