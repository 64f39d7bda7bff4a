/**
 * The servers on this machine that tests of clients ask. What needs one that is not there is skipped in one line, and fails in CI.
 */
import { describe } from "@effect/vitest"
import * as Net from "node:net"

export const ports = { PostgreSQL: 5432, MariaDB: 3306, Redis: 6379, RabbitMQ: 5672, NATS: 4222 } as const

const listens = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = Net.connect({ host: "127.0.0.1", port }, () => {
      socket.destroy()
      resolve(true)
    })
    socket.setTimeout(1000, () => {
      socket.destroy()
      resolve(false)
    })
    socket.on("error", () => resolve(false))
  })

/** `describe` for tests that need this server. */
export const describeWith = async (...names: ReadonlyArray<keyof typeof ports>): Promise<typeof describe.skip> => {
  const found = await Promise.all(names.map((name) => listens(ports[name])))
  const missing = names.filter((_, index) => found[index] === false)
  if (missing.length === 0 || process.env["CI"] === "true") return describe
  process.stderr.write(`skipped: there is no ${missing.join(", no ")} on 127.0.0.1\n`)
  return describe.skip
}
