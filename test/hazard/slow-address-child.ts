/**
 * A server that takes no connection until it reads a line: its event loop stands still, and the kernel's queue fills up.
 *
 * Usage: node slow-address-child.ts ADDRESS. It prints its port.
 */
import * as Fs from "node:fs"
import * as Net from "node:net"

const server = Net.createServer((socket) => void socket.on("error", () => {}).end("late"))
server.listen({ host: process.argv[2], port: 0, backlog: 1 }, () => {
  const address = server.address()
  Fs.writeSync(1, `${typeof address === "object" ? address?.port : undefined}\n`)
  Fs.readSync(0, Buffer.alloc(1))
})
