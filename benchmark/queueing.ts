/**
 * What it costs to queue for descriptors instead of running into the limit: 1500 tasks of 200 ms in a process that has room
 * for eighty connections, with the gate and without.
 */
import { execFile } from "node:child_process"
import { createServer } from "node:net"
import type { AddressInfo } from "node:net"
import { promisify } from "node:util"
import { median, ratio } from "./measure.ts"
import type { Table } from "./report.ts"

const tasks = 1500
const limit = 128

const child = new URL("../test/hazard/queueing-child.ts", import.meta.url).pathname

/** Milliseconds from the first task to the last. */
const run = async (mode: "retry" | "naive", port: number): Promise<number> => {
  const argv = [process.execPath, "--no-warnings", child, mode, String(port), String(tasks)]
  const { stdout } = await promisify(execFile)("sh", ["-c", `ulimit -n ${limit}; exec "$@"`, "sh", ...argv])
  // The child prints exactly this.
  return (JSON.parse(stdout) as { readonly millis: number }).millis
}

/** Both ways, in turns. */
export const queueing = async (rounds: number): Promise<Table> => {
  const server = createServer((socket) => void socket.resume())
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const { port } = server.address() as AddressInfo
  const gated: Array<number> = []
  const naive: Array<number> = []
  for (let round = 0; round < rounds; round++) {
    gated.push(await run("retry", port))
    naive.push(await run("naive", port))
  }
  server.close()
  return {
    title: `${tasks} tasks under a limit of ${limit} descriptors (ms, median of ${rounds} runs)`,
    columns: ["with the gate", "without, retried at once"],
    rows: [[median(gated).toFixed(0), median(naive).toFixed(0)]],
    targets: [{ what: "time with the gate to time without", ratio: ratio(gated, naive), atMost: 1.15 }]
  }
}
