/**
 * Every way in which a process can end, with its connections in every state: a real process against a real server, which is
 * the one that says how each connection ended.
 */
import { assert, beforeAll, describe, it } from "@effect/vitest"
import * as ChildProcess from "node:child_process"
import * as Net from "node:net"
import { cleanupTimeout, closeTimeout, pending, type State, states, statuses, type Way } from "./exit-cells.ts"

/** What the server saw of one connection. */
interface Seen {
  bytes: number
  /** The client ended its side: FIN. */
  ended: boolean
  /** Node's code of the error that broke it, such as ECONNRESET. */
  error: string | undefined
  closed: boolean
}

/** How many connections each state has. */
const counts: Record<State, number> = {
  "idle connections": 3,
  "a connection in use": 1,
  "a connect in progress": 1,
  "a close in progress": 3,
  "a hung peer": 3,
  "unread bytes": 1
}

interface Server {
  readonly port: number
  readonly seen: ReadonlyArray<Seen>
  /** The program was told to end: a moment later the server ends its side of what is being closed. */
  readonly told: () => void
  /** Has a server that hung read again. */
  readonly thaw: () => void
  readonly close: () => Promise<void>
}

/** How long the server does not read, or does not end its side, where that is the point; in milliseconds. */
const slowness = 300

/** More than Node reads ahead for a program that does not read. */
const unread = new Uint8Array(1024 * 1024)

const serve = async (state: State): Promise<Server> => {
  const seen: Array<Seen> = []
  const sockets = new Set<Net.Socket>()
  const closing: Array<Net.Socket> = []
  const server = Net.createServer({ allowHalfOpen: true }, (socket) => {
    const one: Seen = { bytes: 0, ended: false, error: undefined, closed: false }
    seen.push(one)
    sockets.add(socket)
    socket.on("end", () => {
      one.ended = true
      if (state === "a close in progress") closing.push(socket)
      else if (state === "idle connections") setTimeout(() => socket.end(), slowness)
      else socket.end()
    })
    socket.on("error", (error: NodeJS.ErrnoException) => one.error = error.code ?? error.message)
    socket.on("close", () => {
      one.closed = true
      sockets.delete(socket)
    })
    socket.on("data", (chunk) => {
      one.bytes += chunk.length
      if (state === "unread bytes") socket.write(unread)
    })
    if (state === "a hung peer" || state === "a connection in use") socket.pause()
    if (state === "a connection in use") setTimeout(() => socket.resume(), slowness * 2)
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  return {
    port: (server.address() as Net.AddressInfo).port,
    seen,
    told: () => setTimeout(() => closing.forEach((socket) => socket.end()), slowness),
    thaw: () => sockets.forEach((socket) => socket.resume()),
    close: () =>
      new Promise((resolve) => {
        sockets.forEach((socket) => socket.destroy())
        server.close(() => resolve())
      })
  }
}

const sleep = (millis: number) => new Promise((resolve) => setTimeout(resolve, millis))

const until = async (condition: () => boolean, millis: number): Promise<void> => {
  for (const start = performance.now(); !condition() && performance.now() - start < millis;) await sleep(5)
}

interface Outcome {
  readonly status: number | null
  readonly signal: NodeJS.Signals | null
  readonly stderr: string
  /** Milliseconds from the moment at which the program ended, or was told to, until the process was gone. */
  readonly millis: number
  /** The same from the second signal. */
  readonly sinceSecond: number
  readonly seen: ReadonlyArray<Seen>
}

const insist = 300

const runCell = async (way: Way, state: State): Promise<Outcome> => {
  const server = await serve(state)
  const child = ChildProcess.spawn(
    process.execPath,
    [new URL("exit-child.ts", import.meta.url).pathname, way, state, `${server.port}`],
    { stdio: ["pipe", "pipe", "pipe"], env: process.env }
  )
  let stderr = ""
  child.stderr.on("data", (chunk: Buffer) => stderr += chunk.toString())
  const exited = new Promise<readonly [number | null, NodeJS.Signals | null]>((resolve) =>
    child.on("exit", (status, signal) => resolve([status, signal]))
  )
  try {
    await Promise.race([new Promise((resolve) => child.stdout.once("data", resolve)), exited])
    await until(() => server.seen.length === counts[state], 3000)
    const start = performance.now()
    server.told()
    let second = start
    if (way === "SIGHUP" || way === "SIGTERM" || way === "SIGINT" || way === "SIGKILL") child.kill(way)
    else if (way === "second SIGINT") {
      child.kill("SIGINT")
      await sleep(insist)
      second = performance.now()
      child.kill("SIGINT")
    } else child.stdin.write("go\n")
    const [status, signal] = await exited
    const end = performance.now()
    server.thaw()
    await until(() => server.seen.every((one) => one.closed), 3000)
    return { status, signal, stderr, millis: end - start, sinceSecond: end - second, seen: server.seen }
  } finally {
    child.kill("SIGKILL")
    await server.close()
  }
}

const ways = Object.keys(statuses) as Array<keyof typeof statuses>

/** In these the process has no say. */
const abrupt = new Set<Way>(["process.exit in user code", "second SIGINT"])

/** What stderr has to say, of ways in which the program has nothing to say itself. */
const silent = new Set<Way>(["success", "interruption", "SIGHUP", "SIGTERM", "SIGINT"])

const assertEnded = (outcome: Outcome, state: State): void => {
  assert.strictEqual(outcome.seen.length, counts[state], "connections that the server saw")
  for (const one of outcome.seen) {
    assert.isTrue(one.closed, "the server saw the end of the connection")
    assert.deepInclude(one, { ended: true, error: undefined })
  }
}

const assertFlushed = ({ seen }: Outcome): void => assert.deepStrictEqual(seen.map(({ bytes }) => bytes), [pending])

/** The stated time: everything is closed within `cleanupTimeout`, and a peer that hangs costs `closeTimeout`. */
const assertInTime = ({ millis }: Outcome, state: State): void => {
  assert.isAtMost(millis, cleanupTimeout)
  // A timer may be early by less than a millisecond, and this process may hear late that it has begun.
  if (state === "a hung peer") assert.isAtLeast(millis, 0.95 * closeTimeout)
  if (state === "idle connections" || state === "a close in progress") assert.isAtLeast(millis, slowness - 1)
}

// At its end the first process writes the code that it has compiled for the next ones, which takes its time.
beforeAll(() => runCell("success", "idle connections"))

describe.concurrent("a process that ends", () => {
  const graceful = ways.filter((way) => !abrupt.has(way))
  it.each(graceful.flatMap((way) => states.map((state) => [way, state] as const)))(
    "by %s closes %s in order and in time",
    async (way, state) => {
      const outcome = await runCell(way, state)
      assert.deepInclude(outcome, { status: statuses[way], signal: null }, outcome.stderr)
      assertEnded(outcome, state)
      assertInTime(outcome, state)
      if (state === "a connection in use") assertFlushed(outcome)
      if (silent.has(way)) assert.strictEqual(outcome.stderr, "")
    }
  )

  it.each(states)("by a second SIGINT takes a tenth of a second for %s, although a finalizer hangs", async (state) => {
    const outcome = await runCell("second SIGINT", state)
    assert.deepInclude(outcome, { status: 130, signal: null }, outcome.stderr)
    assertEnded(outcome, state)
    // Without the second signal it would be `cleanupTimeout` from the first. What exceeds 100 ms is the end of the process.
    assert.isBelow(outcome.sinceSecond, cleanupTimeout / 2)
    assert.match(outcome.stderr, /^A second signal came before everything was closed\. In pools: /)
  })

  it.each(states)("by process.exit in user code leaves %s to the kernel and says so", async (state) => {
    const outcome = await runCell("process.exit in user code", state)
    assert.deepInclude(outcome, { status: 7, signal: null })
    assertEnded(outcome, state)
    assert.match(
      outcome.stderr,
      new RegExp(
        "^The process was ended with status 7 before everything was closed\\. " +
          `In pools: ${counts[state]} connections? to 127\\.0\\.0\\.1:`
      )
    )
  })

  it.each(["process.exit in user code", "second SIGINT", "SIGKILL"] as const)(
    "by %s loses what was not sent yet",
    async (way) => {
      const { seen } = await runCell(way, "a connection in use")
      assert.isBelow(seen[0]?.bytes ?? 0, pending)
    }
  )

  it.each(["process.exit in user code", "SIGKILL"] as const)(
    "by %s resets a connection with unread bytes",
    async (way) => {
      const { seen } = await runCell(way, "unread bytes")
      assert.deepInclude(seen[0], { error: "ECONNRESET", closed: true })
    }
  )

  it("by SIGTERM ends a connection with unread bytes in order", async () => {
    const outcome = await runCell("SIGTERM", "unread bytes")
    assert.strictEqual(outcome.status, 143)
    assertEnded(outcome, "unread bytes")
  })

  it("by SIGKILL leaves idle connections to the kernel", async () => {
    const outcome = await runCell("SIGKILL", "idle connections")
    assert.deepInclude(outcome, { status: null, signal: "SIGKILL", stderr: "" })
    assertEnded(outcome, "idle connections")
  })
})
