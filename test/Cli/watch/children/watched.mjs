/**
 * A process to watch. It prints what it has open, opens one file for each byte that it reads and prints a line, and ends with its input.
 *
 * Usage: node watched.mjs FILES CLIENTS HALF_CLOSED ZOMBIES
 */
import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Net from "node:net"

const [files, clients, halfClosed, zombies] = process.argv.slice(2).map(Number)

const openFile = () => Fs.openSync(import.meta.filename)
for (let i = 0; i < files; i++) openFile()
for (let i = 0; i < zombies; i++) {
  // A private handle: a child whose handle is closed is not waited for.
  ChildProcess.spawn("true", { stdio: "ignore" })._handle.close()
}

/** Both ends are here. A client that ends its side leaves the other one half closed. */
const connect = async () => {
  const listener = Net.createServer({ allowHalfOpen: true }, (socket) => socket.resume())
  await new Promise((resolve) => listener.listen(0, resolve))
  const { port } = listener.address()
  const half = { left: halfClosed }
  await new Promise((resolve) => {
    let missing = clients
    listener.on("connection", (socket) => {
      socket.on("end", () => --half.left === 0 && missing === 0 && resolve())
      if (--missing === 0 && half.left === 0) resolve()
    })
    for (let i = 0; i < clients; i++) {
      const socket = Net.connect({ port, host: "127.0.0.1", allowHalfOpen: true })
      if (i < halfClosed) socket.on("connect", () => socket.end())
    }
  })
  return port
}

const port = clients > 0 ? await connect() : 0
process.stdin.on("data", (bytes) => {
  bytes.forEach(openFile)
  process.stdout.write("opened\n")
})
process.stdin.on("end", () => process.exit())
process.stdout.write(`${JSON.stringify({ port, open: Fs.readdirSync("/proc/self/fd").length - 1 })}\n`)
