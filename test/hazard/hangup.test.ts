/** SIGHUP, which a program gets when its terminal is closed: real processes, also under nohup. */
import { assert, describe, it } from "@effect/vitest"
import * as ChildProcess from "node:child_process"
import { once } from "node:events"
import * as Path from "node:path"
import * as Readline from "node:readline"

const file = Path.join(import.meta.dirname, "hangup-child.ts")

/** A process, and the lines that it has printed. */
const start = async (args: ReadonlyArray<string>, launcher: ReadonlyArray<string> = []) => {
  const [command = "", ...rest] = [...launcher, process.execPath, file, ...args]
  const child = ChildProcess.spawn(command, rest, { stdio: ["ignore", "pipe", "pipe"] })
  let stderr = ""
  child.stderr.on("data", (data) => void (stderr += String(data)))
  const lines: Array<string> = []
  const reader = Readline.createInterface(child.stdout).on("line", (line) => lines.push(line))
  const line = async (text: string) => {
    while (!lines.includes(text)) await once(reader, "line")
  }
  await line("ready")
  const ended: Promise<ReadonlyArray<unknown>> = once(child, "close")
  return {
    lines,
    line,
    kill: (signal: NodeJS.Signals) => child.kill(signal),
    end: async () => {
      const [status, signal] = await ended
      return { status, signal, stderr, lines: lines.slice(1) }
    }
  }
}

describe.concurrent("SIGHUP", () => {
  for (const platform of ["Main", "CloudRun"]) {
    for (const launcher of [[], ["nohup"]]) {
      const how = launcher.length === 0 ? "" : " under nohup"
      it(`ends a program of ${platform}${how} in order, with status 129`, async () => {
        const { end, kill } = await start([platform, "none"], launcher)
        kill("SIGHUP")
        const { lines, signal, status } = await end()
        assert.deepStrictEqual({ lines, signal, status }, { lines: ["closed"], signal: null, status: 129 })
      }, 30_000)
    }
  }

  it("ends a program of Node under nohup at once, because Node does not keep that it was ignored", async () => {
    const { end, kill } = await start(["none", "none"], ["nohup"])
    kill("SIGHUP")
    const { signal, status } = await end()
    assert.deepStrictEqual({ signal, status }, { signal: "SIGHUP", status: null })
  }, 30_000)

  it("is left to a listener of the program, as long as it has one", async () => {
    const { end, kill, line, lines } = await start(["Main", "reload"])
    kill("SIGHUP")
    await line("reloaded")
    kill("SIGHUP")
    while (lines.filter((text) => text === "reloaded").length < 2) {
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    kill("SIGUSR2")
    await line("without a listener")
    kill("SIGHUP")
    assert.deepStrictEqual(await end(), {
      status: 129,
      signal: null,
      stderr: "",
      lines: ["reloaded", "reloaded", "without a listener", "closed"]
    })
  }, 30_000)

  it("ends the process as without Main, if a listener does so that counts the others", async () => {
    const { end, kill } = await start(["Main", "alone"])
    kill("SIGHUP")
    const { lines, signal } = await end()
    assert.deepStrictEqual({ lines, signal }, { lines: ["alone"], signal: "SIGHUP" })
  }, 30_000)
})
