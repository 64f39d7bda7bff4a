/**
 * A freeze as that of a micro virtual machine: the process is stopped and the network is gone, so that the process does not
 * hear of it when the server drops the session. Stopping the process alone would not do: the kernel hears for it.
 *
 * The function runs in a network namespace of its own, with one link to the server. It needs root and `ip`.
 */
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import * as ChildProcess from "node:child_process"
import { once } from "node:events"
import * as Net from "node:net"
import * as Readline from "node:readline"

const name = `sluice${process.pid}`
const [here, there] = [`sh${process.pid}`, `st${process.pid}`]
const subnet = `10.254.${process.pid % 256}`

const ip = (command: string): boolean => ChildProcess.spawnSync("ip", command.split(" ")).status === 0

const hasNamespaces = process.platform === "linux" && ip(`netns add ${name}`)
if (!hasNamespaces) {
  console.error("SKIPPED: the freeze of a micro virtual machine needs network namespaces (root and iproute2)")
}

const connect = () => {
  for (
    const command of [
      `link add ${here} type veth peer name ${there}`,
      `link set ${there} netns ${name}`,
      `addr add ${subnet}.1/24 dev ${here}`,
      `link set ${here} up`,
      `-n ${name} addr add ${subnet}.2/24 dev ${there}`,
      `-n ${name} link set ${there} up`
    ]
  ) assert.isTrue(ip(command), `ip ${command}`)
}

interface Answer {
  readonly answer?: string
  readonly error?: string
  readonly millis: number
}

const sleep = (millis: number) => new Promise((resolve) => setTimeout(resolve, millis))

/** Answers each request with the number of the connection on which it came. */
const serve = async () => {
  const sockets: Array<Net.Socket> = []
  const server = Net.createServer((socket) => {
    const index = sockets.push(socket)
    socket.on("error", () => {})
    Readline.createInterface(socket).on("error", () => {}).on("line", (line) => {
      const { id } = JSON.parse(line)
      socket.write(`${JSON.stringify({ jsonrpc: "2.0", id, result: `connection ${index}` })}\n`)
    })
  }).listen(0, `${subnet}.1`)
  await once(server, "listening")
  return { server, sockets, port: (server.address() as Net.AddressInfo).port }
}

/** Invokes the function, freezes it, has the server drop the session, and invokes it again. */
const freeze = async (variant: string, drop: (socket: Net.Socket) => void): Promise<ReadonlyArray<Answer>> => {
  const { port, server, sockets } = await serve()
  const file = new URL("microvm-child.ts", import.meta.url).pathname
  const child = ChildProcess.spawn(
    "ip",
    ["netns", "exec", name, process.execPath, file, variant, `${subnet}.1`, `${port}`],
    { stdio: ["pipe", "pipe", "inherit"] }
  )
  const lines = Readline.createInterface(child.stdout)[Symbol.asyncIterator]()
  const next = async (): Promise<string> => (await lines.next()).value ?? assert.fail("the function has ended")
  const invoke = async (): Promise<Answer> => {
    child.stdin.write("\n")
    return JSON.parse(await next())
  }
  try {
    assert.strictEqual(await next(), "loaded")
    const before = await invoke()
    child.kill("SIGSTOP")
    assert.isTrue(ip(`link set ${here} down`))
    sockets.forEach(drop)
    await sleep(1500)
    assert.isTrue(ip(`link set ${here} up`))
    child.kill("SIGCONT")
    return [before, await invoke()]
  } finally {
    child.kill("SIGKILL")
    sockets.forEach((socket) => socket.destroy())
    server.close()
    ip(`link set ${here} up`)
  }
}

/** The server's machine says that the session is gone, and nobody hears it. */
const reset = (socket: Net.Socket) => void socket.resetAndDestroy()

/** The server ends the session, and its machine says so again and again. */
const end = (socket: Net.Socket) => void socket.destroy()

/** The `connectTimeout` of the preset for functions, in milliseconds. */
const connectTimeout = 2000

describe.skipIf(!hasNamespaces)("after a freeze in which the server dropped the session, the first invocation", () => {
  beforeAll(connect)
  afterAll(() => {
    ip(`netns del ${name}`)
    ip(`link del ${here}`)
  })

  it.each([["check", "reset", reset], ["check", "end", end], ["age", "reset", reset], ["age", "end", end]] as const)(
    "succeeds on a fresh connection within the connect timeout, by %s after a lost %s",
    async (variant, _, drop) => {
      const [before, after] = await freeze(variant, drop)
      assert.strictEqual(before?.answer, "connection 1")
      assert.strictEqual(after?.answer, "connection 2", after?.error)
      assert.isBelow(after?.millis ?? Infinity, connectTimeout)
    }
  )

  it("fails without a check within the idle time: nothing can be known of the connection", async () => {
    const [before, after] = await freeze("neither", reset)
    assert.strictEqual(before?.answer, "connection 1")
    assert.match(after?.error ?? "", /ECONNRESET|closed/i)
  })
})
