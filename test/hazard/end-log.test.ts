/** What a service logs when it ends, each in a process of its own. */
import { assert, describe, it } from "@effect/vitest"
import * as ChildProcess from "node:child_process"

const file = new URL("end-log-child.ts", import.meta.url).pathname

const run = (...args: ReadonlyArray<string>): Promise<{ readonly stdout: string; readonly stderr: string }> =>
  new Promise((resolve) => {
    const options = { timeout: 50_000, env: { ...process.env, NO_COLOR: "1" } }
    ChildProcess.execFile(
      process.execPath,
      [file, ...args],
      options,
      (_, stdout, stderr) => resolve({ stdout, stderr })
    )
  })

const begin = (window: string) =>
  `The program ends: SIGTERM. It waits for 0 requests and 1 leased connection, and closes its layers, for at most ${window}`
const end = /^Everything is closed, (less than 1ms|\d+m?s( \d+ms)?) after the program began to end$/

describe.concurrent("a service that ends", { timeout: 60_000 }, () => {
  it.each([["launch", "25s"], ["cloudrun", "9s"]])(
    "logs the begin and the end of it as JSON, with the program's own logger: %s",
    async (how, window) => {
      const { stderr, stdout } = await run(how, "json")
      const [first = "", data, last = "", ...others] = stdout.trim().split("\n")
      assert.deepStrictEqual([data, others, stderr], ["data", [], ""])
      const [begun, ended] = [JSON.parse(first), JSON.parse(last)]
      assert.deepInclude(begun, { level: "INFO", message: begin(window) })
      assert.strictEqual(ended.level, "INFO")
      assert.match(ended.message, end)
    }
  )

  it.each(["pretty", "default"])("logs both with the %s logger", async (logger) => {
    const { stdout } = await run("launch", logger)
    const lines = stdout.trim().split("\n")
    assert.lengthOf(lines, 3)
    assert.include(lines[0], `INFO`)
    assert.include(lines[0], begin("25s"))
    assert.include(lines[2], "Everything is closed, ")
  })

  it("logs neither as a command, whose output is data, and neither without logs", async () => {
    const ends = await Promise.all([run("run", "default"), run("launch", "none")])
    for (const found of ends) assert.deepStrictEqual(found, { stdout: "data\n", stderr: "" })
  })
})
