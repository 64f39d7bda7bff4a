/** The clients of the server of operations do not hold up the end of a program. */
import { assert, describe, it } from "@effect/vitest"
import * as ChildProcess from "node:child_process"
import { once } from "node:events"
import * as Http from "node:http"
import * as Net from "node:net"

const file = new URL("operations-server-child.ts", import.meta.url).pathname

interface Program {
  readonly child: ChildProcess.ChildProcessByStdio<null, import("node:stream").Readable, null>
  readonly url: string
}

const start = async (): Promise<Program> => {
  const child = ChildProcess.spawn(process.execPath, [file], { stdio: ["ignore", "pipe", "inherit"] })
  child.stdout.setEncoding("utf8")
  for await (const text of child.stdout as AsyncIterable<string>) {
    const url = /^http:\S+/m.exec(text)?.[0]
    if (url !== undefined) {
      child.stdout.resume()
      return { child, url }
    }
  }
  throw new Error("the program has printed no address")
}

/** How long the program takes from SIGTERM to its end, in milliseconds. */
const end = async ({ child }: Program): Promise<number> => {
  const sent = performance.now()
  child.kill("SIGTERM")
  const [status] = await once(child, "exit") as [number | null]
  assert.strictEqual(status, 143)
  return performance.now() - sent
}

const get = (url: string, agent: Http.Agent): Promise<number | undefined> =>
  new Promise((resolve) => {
    const request = Http.get(url, { agent }, (response) => {
      response.resume()
      response.on("end", () => resolve(response.statusCode))
      response.on("error", () => resolve(undefined))
    })
    request.on("error", () => resolve(undefined))
  })

/** A page as a browser has it open: it requests the JSON again and again, on a connection that is kept. */
const openPage = async (url: string) => {
  const agent = new Http.Agent({ keepAlive: true, maxSockets: 1 })
  assert.strictEqual(await get(url, agent), 200)
  assert.strictEqual(await get(`${url}pools.json`, agent), 200)
  const timer = setInterval(() => void get(`${url}pools.json`, agent), 50)
  return () => {
    clearInterval(timer)
    agent.destroy()
  }
}

/** A connection on which this text was sent, and an answer came if one is expected. It reads nothing more after that. */
const open = async (url: string, text: string, isAnswered: boolean) => {
  const socket = Net.connect(Number(new URL(url).port), "127.0.0.1")
  socket.on("error", () => {})
  await once(socket, "connect")
  socket.write(text)
  if (isAnswered) await once(socket, "data")
  socket.pause()
  return () => socket.destroy()
}

const head = (line: string) => `${line} HTTP/1.1\r\nHost: localhost\r\n`

describe("a program with the server of operations", () => {
  it("ends after SIGTERM at most a second later with its page open three times and slow clients than without", async () => {
    const alone = await end(await start())
    const program = await start()
    const { url } = program
    const opened = await Promise.all([
      openPage(url),
      openPage(url),
      openPage(url),
      open(url, `${head("GET /livez")}\r\n`, true),
      open(url, `${head("GET /readyz")}\r\n`, true),
      open(url, `${head("GET /metrics")}\r\n`, true),
      // Slow clients: one has sent nothing, one a part of its request, one a part of its body, and one reads no answer.
      open(url, "", false),
      open(url, "GET /livez HT", false),
      open(url, `${head("POST /pools/orders/evict")}Content-Length: 100\r\n\r\nab`, true),
      open(url, `${head("GET /")}\r\n`.repeat(200), true)
    ])
    const withClients = await end(program)
    for (const close of opened) close()
    assert.isBelow(withClients, alone + 1000, `${Math.round(withClients)} ms, and ${Math.round(alone)} ms without them`)
  })
})
