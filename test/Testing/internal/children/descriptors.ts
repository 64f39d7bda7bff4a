/**
 * A process that has done nothing yet, so that whatever it does is its first time. It prints what a check of its descriptors
 * says of each step, as one line of JSON.
 */
import { Effect, Exit } from "effect"
import * as ChildProcess from "node:child_process"
import * as Dns from "node:dns"
import * as Fs from "node:fs"
import * as Http from "node:http"
import * as Net from "node:net"
import { setTimeout as sleep } from "node:timers/promises"
import { Worker } from "node:worker_threads"
import * as LeakCheck from "../../../../src/Testing/LeakCheck.ts"

const server = Http.createServer((_request, response) => response.end("ok"))
await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
const { port } = server.address() as Net.AddressInfo

const said: Record<string, ReadonlyArray<string>> = {}

const step = async (name: string, act: () => Promise<unknown>, within = 300) => {
  const checked = LeakCheck.check(Effect.promise(act), { descriptors: true, within })
  const exit = await Effect.runPromiseExit(checked)
  said[name] = Exit.isSuccess(exit)
    ? []
    : exit.cause.reasons.flatMap((reason) =>
      reason._tag === "Fail" ? reason.error.leaks.map(({ message }) => message) : [String(reason)]
    )
}

await step("spawn", () => new Promise((resolve) => ChildProcess.execFile("true", resolve)))
await step("watch", async () => {
  const watcher = Fs.watch(import.meta.dirname)
  await sleep(20)
  watcher.close()
})
// oxlint-disable-next-line effecttsgo/global-fetch
await step("fetch", async () => (await fetch(`http://127.0.0.1:${port}`)).text())
await step("agent", () =>
  new Promise((resolve) => {
    Http.get(`http://127.0.0.1:${port}`, (response) => response.resume().once("end", resolve))
  }))
await step(
  "worker",
  () => new Promise((resolve) => new Worker("setTimeout(() => {}, 10)", { eval: true }).once("exit", resolve))
)
await step("lookup", () => Dns.promises.lookup("localhost"))
await step("closing", async () => {
  // It is closed when the check is waiting already.
  const file = Fs.openSync(import.meta.filename, "r")
  setTimeout(() => Fs.closeSync(file), 100)
})

const kept: Array<Net.Socket> = []
await step("unref", () =>
  new Promise((resolve) => {
    const socket = Net.connect(port, "127.0.0.1", () => resolve(undefined)) // at unref
    socket.unref()
    kept.push(socket)
  }), 50)
await step("file", () => Promise.resolve(Fs.openSync(import.meta.filename, "r")), 50)
await step("listener", () => {
  const listener = Net.createServer().unref()
  return new Promise((resolve) => listener.listen(0, "127.0.0.1", () => resolve(listener)))
}, 50)

process.stdout.write(JSON.stringify({ said, port }))
process.exit(0)
