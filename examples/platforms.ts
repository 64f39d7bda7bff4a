/**
 * Runs the examples for platforms as their platforms would: the route of Vercel, the service of Cloud Run as a process that
 * gets SIGTERM, and the worker of the edge. Each uses the same local server, which counts its connections.
 *
 * Run it with `node examples/platforms.ts` after `npm run build`.
 */
import * as Assert from "node:assert/strict"
import { spawn } from "node:child_process"
import { once } from "node:events"
import * as Net from "node:net"
import * as Readline from "node:readline"

/** A JSON-RPC server that doubles numbers. */
const open = new Set<Net.Socket>()
let opened = 0
const server = Net.createServer((socket) => {
  opened++
  open.add(socket.on("close", () => open.delete(socket)))
  Readline.createInterface(socket).on("line", (line) => {
    const { id, params } = JSON.parse(line)
    socket.write(`${JSON.stringify({ jsonrpc: "2.0", id, result: params.n * 2 })}\n`)
  })
}).listen(0, "127.0.0.1")
await once(server, "listening")
const { port } = server.address() as Net.AddressInfo
const endpoint = `127.0.0.1:${port}`
process.env["AGENTS_ENDPOINT"] = endpoint

/** Makes two requests, and returns the connections that the server has accepted and that are open afterwards. */
const twice = async (ask: (n: number) => Promise<Response>) => {
  const before = opened
  const answers: Array<number> = []
  for (const n of [4, 21]) {
    const { doubled } = await (await ask(n)).json() as { readonly doubled: number }
    answers.push(doubled)
  }
  return { answers, opened: opened - before, open: open.size }
}

const gone = async () => {
  while (open.size > 0) await new Promise((resolve) => setTimeout(resolve, 10))
}

// Vercel: both requests share a connection, and the last one holds the instance until it is closed.
const held: Array<Promise<unknown>> = []
const context = { waitUntil: (promise: Promise<unknown>) => held.push(promise) }
Object.assign(globalThis, { [Symbol.for("@vercel/request-context")]: { get: () => context } })
const { GET } = await import("./vercel/api/double.ts")
const onVercel = await twice((n) => GET(new Request(`http://localhost/api/double?n=${n}`)))
Assert.deepEqual(onVercel, { answers: [8, 42], opened: 1, open: 1 })
await Promise.all(held)
Assert.equal(open.size, 0)
console.log("Vercel: one connection for both requests, closed when the instance was released")

// The edge: each request has its own connection.
const { default: worker } = await import("./edge/worker.ts")
const atTheEdge = await twice((n) =>
  worker.fetch(new Request(`http://localhost/?n=${n}`), { AGENTS_ENDPOINT: endpoint })
)
Assert.deepEqual({ ...atTheEdge, open: 0 }, { answers: [8, 42], opened: 2, open: 0 })
await gone()
console.log("Edge: a connection for each request, closed with it")

// Cloud Run: a process, which ends in order.
const free = Net.createServer().listen(0)
await once(free, "listening")
const { port: httpPort } = free.address() as Net.AddressInfo
await new Promise((resolve) => free.close(resolve))
const service = spawn(process.execPath, [new URL("cloudrun/main.ts", import.meta.url).pathname], {
  stdio: "inherit",
  env: { ...process.env, PORT: `${httpPort}` }
})
const ended = once(service, "exit")
const ask = async (n: number): Promise<Response> => {
  try {
    // oxlint-disable-next-line effecttsgo/global-fetch
    return await fetch(`http://127.0.0.1:${httpPort}/?n=${n}`)
  } catch {
    // The service does not listen yet.
    Assert.equal(service.exitCode, null)
    await new Promise((resolve) => setTimeout(resolve, 50))
    return ask(n)
  }
}
const onCloudRun = await twice(ask)
Assert.deepEqual(onCloudRun, { answers: [8, 42], opened: 1, open: 1 })
service.kill("SIGTERM")
Assert.deepEqual(await ended, [0, null])
await gone()
console.log("Cloud Run: one connection for both requests, closed after SIGTERM, status 0")

server.close()
