/** Programs under `Main` whose end is not in order, each in a process of its own. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Main from "effect-sluice/Main"
import * as ChildProcess from "node:child_process"
import { once } from "node:events"

interface Outcome {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

const file = new URL("main-child.ts", import.meta.url).pathname

const run = (name: string): Promise<Outcome> =>
  new Promise((resolve) => {
    ChildProcess.execFile(process.execPath, [file, name], { timeout: 10_000 }, (error, stdout, stderr) => {
      resolve({ status: error === null ? 0 : typeof error.code === "number" ? error.code : null, stdout, stderr })
    })
  })

describe.concurrent("Main", () => {
  it("ends at the deadline although a connection never closes, and names it", async () => {
    const { status, stderr } = await run("a connection that never closes")
    assert.strictEqual(status, 1)
    assert.match(
      stderr,
      /^400 ms have passed before everything was closed\. In pools: 1 connection to db \(1 closing\)\. In the event loop: /
    )
  })

  it("closes at once what would take too long one after the other", async () => {
    // Five times 300 ms are more than the second that there is.
    assert.deepStrictEqual(await run("pools that depend on each other"), {
      status: 143,
      stdout: "closed\n".repeat(5),
      stderr: ""
    })
  })

  it("closes a pool that others need to close after them, also when everything closes at once", async () => {
    // The connection closes 100 ms after the others began to close at once.
    assert.deepStrictEqual(await run("a pool that others need to close"), {
      status: 0,
      stdout: "given back\n",
      stderr: ""
    })
  })

  it("closes a pool that others need to close after them, also after a second signal", async () => {
    const { status, stdout } = await run("a pool that others need to close, and a second signal")
    assert.deepStrictEqual({ status, stdout }, { status: 130, stdout: "given back\n" })
  })

  it.each([
    "a hung peer of a pool that would wait for longer",
    "hung peers of connections without a pool"
  ])("does not wait longer than there is time for %s", async (name) => {
    // A pool and the connections would wait for a minute and for twice 2 seconds, of the one that there is.
    assert.deepStrictEqual(await run(name), { status: 0, stdout: "", stderr: "" })
  })

  it("closes everything under a body that cannot be interrupted", async () => {
    const { status, stderr, stdout } = await run("a body that cannot be interrupted")
    assert.strictEqual(status, 143)
    assert.sameMembers(stdout.trim().split("\n"), ["finalized", "closed"])
    assert.match(stderr, /^400 ms have passed before everything was closed\. In pools: nothing\./)
  })

  it("takes two signals at once for one", async () => {
    assert.deepStrictEqual(await run("a signal that comes twice"), { status: 130, stdout: "closed\n", stderr: "" })
  })

  it("tells of a finalizer that dies, and closes the rest", async () => {
    const { status, stderr, stdout } = await run("a finalizer that dies")
    assert.deepStrictEqual({ status, stdout }, { status: 143, stdout: "closed\n" })
    assert.match(stderr, /^Error: the finalizer died/)
  })

  it("is no success with a finalizer that dies, and claims nothing else", async () => {
    const { status, stderr, stdout } = await run("a finalizer that dies after success")
    assert.deepStrictEqual({ status, stdout }, { status: 1, stdout: "closed\n" })
    assert.match(stderr, /^Error: the finalizer died/)
    assert.notMatch(stderr, /have passed/)
  })

  it("closes what a layer has opened that cannot be interrupted while it is built", async () => {
    const { status, stderr, stdout } = await run("a layer that cannot be interrupted while it is built")
    assert.deepStrictEqual({ status, stdout }, { status: 143, stdout: "closed\n" })
    assert.match(stderr, /^400 ms have passed before everything was closed/)
  })

  it("closes everything after an exception whose message cannot be had", async () => {
    assert.deepStrictEqual(await run("an exception that cannot be shown"), {
      status: 1,
      stdout: "closed\n",
      stderr: "Uncaught exception: an error whose message cannot be read, because reading it throws\n"
    })
  })

  it("tells all of a long failure, although the pipe takes it in parts", async () => {
    const { status, stderr, stdout } = await run("a failure with a long text")
    assert.deepStrictEqual({ status, stdout }, { status: 42, stdout: "closed\n" })
    assert.include(stderr, "y".repeat(300_000))
  })

  it("ends although nobody reads what it says", async () => {
    const child = ChildProcess.spawn(process.execPath, [file, "a failure with a long text"], {
      stdio: ["ignore", "ignore", "pipe"]
    })
    const [status] = await once(child, "exit")
    assert.strictEqual(status, 42)
  })

  it("ends in order when whoever read its output is gone, as the shell's head", async () => {
    const child = ChildProcess.spawn(process.execPath, [file, "a program that logs again and again"], {
      stdio: ["ignore", "pipe", "pipe"]
    })
    let stderr = ""
    child.stderr.setEncoding("utf8").on("data", (text: string) => stderr += text)
    child.stdout.once("data", () => child.stdout.destroy())
    const [status] = await once(child, "close")
    assert.strictEqual(status, 1)
    assert.match(stderr, /^Uncaught exception: Error: write EPIPE\n[^]*closed\n$/)
  })

  it("tells of an exception while closing, closes the rest, and is no success any more", async () => {
    const { status, stderr, stdout } = await run("an exception while closing")
    assert.deepStrictEqual({ status, stdout }, { status: 1, stdout: "closed\n" })
    assert.match(stderr, /^Uncaught exception: Error: too late/)
  })

  it("has the status that the error has", async () => {
    const { status, stderr } = await run("a program that fails with a status of its own")
    assert.strictEqual(status, 42)
    assert.match(stderr, /^Error: unlucky/)
  })

  it("leaves a status alone that the program has set", async () => {
    assert.strictEqual((await run("a program that sets its status")).status, 3)
  })

  it("says nothing of a failure where that is not wanted", async () => {
    const { status, stderr } = await run("a failure that nobody wants to read")
    assert.deepStrictEqual({ status, stderr }, { status: 42, stderr: "" })
  })

  it("runs a layer until a signal comes", async () => {
    assert.deepStrictEqual(await run("a layer"), { status: 143, stdout: "closed\n", stderr: "" })
  })

  it("fails when its layer does", async () => {
    assert.strictEqual((await run("a layer that fails")).status, 42)
  })

  it.each([0, -1, Infinity, NaN])("refuses a cleanupTimeout of %s", (cleanupTimeout) => {
    assert.throws(
      () => Main.run(Effect.void, { cleanupTimeout }),
      /^Main: option cleanupTimeout is .*, but it must be a finite duration above 0/
    )
    assert.strictEqual(process.listenerCount("SIGINT"), 0)
  })
})
