/**
 * How long the scripts of a budget keep the processor of a real Redis busy.
 */
import * as Net from "node:net"
import { createClient } from "redis"
import { keysOf, scripts } from "../../src/Clients/internal/redisbudget/Scripts.ts"
import { redis, withServer } from "../servers.ts"
import type { Service } from "./setting.ts"

/** As many clients wait for an answer at once, each over a socket of its own. */
const sockets = 25

type Store = ReturnType<typeof makeStore>

const makeStore = (port: number) => createClient({ socket: { host: "127.0.0.1", port } })

type Argument = string | number

const command = (parts: ReadonlyArray<Argument>): string =>
  `*${parts.length}\r\n${parts.map((part) => `$${Buffer.byteLength(String(part))}\r\n${part}\r\n`).join("")}`

/** Sends each command when the answer to an earlier one has come, over all sockets at once. Returns the time in milliseconds. */
const drive = async (port: number, commands: ReadonlyArray<string>): Promise<number> => {
  const connected = await Promise.all(
    Array.from({ length: sockets }, () =>
      new Promise<Net.Socket>((resolve, reject) => {
        const socket = Net.connect({ host: "127.0.0.1", port, noDelay: true }, () => resolve(socket)).on(
          "error",
          reject
        )
      }))
  )
  const began = performance.now()
  let next = 0
  await Promise.all(connected.map((socket) =>
    new Promise<void>((resolve, reject) => {
      const send = () => {
        const text = commands[next++]
        if (text === undefined) resolve()
        else socket.write(text)
      }
      // Each answer is short and comes in one piece.
      socket.on("data", (answer) => answer[0] === 0x2d ? reject(new Error(String(answer))) : send())
      send()
    })
  ))
  for (const socket of connected) socket.destroy()
  return performance.now() - began
}

/** Processor time of the thread that runs scripts, in milliseconds. */
const processorTime = async (store: Store): Promise<number> => {
  const text = await store.info("cpu")
  const seconds = ["user", "sys"].map((kind) =>
    Number(new RegExp(`used_cpu_${kind}_main_thread:([\\d.]+)`).exec(text)?.[1])
  )
  return 1000 * seconds.reduce((sum, value) => sum + value, 0)
}

/** What Redis is measured with. */
export interface Measured {
  /** Processor time of one script, in milliseconds. */
  readonly service: Service
  /** From a process to Redis over the loopback, one way, in milliseconds. */
  readonly loopback: number
}

const ids = (count: number): ReadonlyArray<string> => Array.from({ length: count }, (_, index) => `i${index}`)

const measureAt = async (port: number, count: number): Promise<Measured> => {
  const store = makeStore(port)
  await store.connect()
  const keys = keysOf("fleet")
  const shaOf = async (name: keyof typeof scripts) => String(await store.scriptLoad(scripts[name].lua))
  const call = (sha: string, limit: number, ...args: ReadonlyArray<Argument>) =>
    command(["EVALSHA", sha, keys.length, ...keys, limit, ...args])
  const [acquire, release, renew] = await Promise.all([shaOf("acquire"), shaOf("release"), shaOf("renew")])
  const ask = (limit: number, id: string, isNew: boolean, channel = "-") =>
    call(acquire, limit, id, 1, 600_000, 600_000, channel, "holder", isNew ? 1 : 0, "db:5432")
  const measure = async (commands: ReadonlyArray<string>): Promise<number> => {
    const before = await processorTime(store)
    await drive(port, commands)
    return (await processorTime(store) - before) / commands.length
  }
  const all = ids(count)
  try {
    const granted = await measure(all.map((id) => ask(count, id, true)))
    const renewed = await measure(all.map((id) => call(renew, count, 600_000, id)))
    await store.flushAll()
    // So many permits that a permit has been handed on before it is given back.
    const permits = 4 * sockets
    await drive(port, all.map((id) => ask(permits, id, true, "channel")))
    const waited = await measure(all.slice(permits).map((id) => ask(permits, id, false, "channel")))
    const released = await measure(all.map((id) => call(release, permits, id)))
    const began = performance.now()
    for (let index = 0; index < 500; index++) await store.ping()
    const loopback = (performance.now() - began) / 500 / 2
    return { service: { acquire: granted, wait: waited, release: released, renew: renewed }, loopback }
  } finally {
    store.destroy()
  }
}

/** Measures a Redis of its own, with so many calls of each script. */
export const measured = (count: number): Promise<Measured> => withServer(redis, (port) => measureAt(port, count))
