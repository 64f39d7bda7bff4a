/**
 * Requests that are under way when a signal ends a program are answered, over keep-alive connections, and the program ends right after
 * the last of them.
 */
import { assert, describe, it } from "@effect/vitest"
import * as ChildProcess from "node:child_process"
import { once } from "node:events"
import * as Http from "node:http"
import * as Net from "node:net"
import * as Path from "node:path"
import * as Readline from "node:readline"
import { Worker } from "node:worker_threads"

const child = Path.join(import.meta.dirname, "http-end-child.ts")

interface Program {
  readonly port: number
  readonly lines: Array<string>
  readonly process: ChildProcess.ChildProcess
  readonly stderr: () => string
}

const start = async (platform: string, kind: string): Promise<Program> => {
  const started = ChildProcess.spawn(process.execPath, [child, platform, kind], { stdio: "pipe" })
  let stderr = ""
  started.stderr.on("data", (data) => void (stderr += String(data)))
  const lines: Array<string> = []
  const reader = Readline.createInterface(started.stdout).on("line", (line) => lines.push(line))
  while (!lines.some((line) => /^\d+$/.test(line))) await once(reader, "line")
  return { port: Number(lines.find((line) => /^\d+$/.test(line))), lines, process: started, stderr: () => stderr }
}

/** Asks for an answer after so many milliseconds, and keeps the connection. */
const ask = async ({ port }: Program, agent: Http.Agent, millis: number) => {
  const request = Http.get({ port, host: "127.0.0.1", path: `/${millis}`, agent })
  const [response]: Array<Http.IncomingMessage> = await once(request, "response")
  assert(response !== undefined)
  let text = ""
  for await (const chunk of response) text += String(chunk)
  return { text, connection: response.headers.connection }
}

/** The end of a program with requests under way that take so long, and idle keep-alive connections beside them. */
const endWith = async (platform: string, kind: string, requests: ReadonlyArray<number>) => {
  const program = await start(platform, kind)
  const agent = new Http.Agent({ keepAlive: true })
  try {
    const first = await Promise.all([0, 0, 0].map((millis) => ask(program, agent, millis)))
    assert.deepStrictEqual(first.map(({ connection }) => connection), ["keep-alive", "keep-alive", "keep-alive"])
    const answers = Promise.all(requests.map((millis) => ask(program, agent, millis)))
    await new Promise((resolve) => setTimeout(resolve, 200))
    const begin = performance.now()
    program.process.kill("SIGTERM")
    const [status]: Array<unknown> = await once(program.process, "exit")
    const took = performance.now() - begin
    return { answers: await answers, status, took, stderr: program.stderr(), lines: program.lines }
  } finally {
    agent.destroy()
    program.process.kill("SIGKILL")
  }
}

const statuses: Record<string, number> = { Main: 143, CloudRun: 0 }

describe.concurrent("a program that ends while requests are under way", () => {
  for (const platform of ["Main", "CloudRun"]) {
    for (const kind of ["effect", "node"]) {
      it(`${platform}, server of ${kind}: ends at once without a request`, async () => {
        const { status, stderr, took } = await endWith(platform, kind, [])
        assert.deepStrictEqual([status, stderr], [statuses[platform], ""])
        assert.isBelow(took, 1000)
      }, 30_000)

      it(`${platform}, server of ${kind}: answers one of 0.8 s and one of 6 s, and ends then`, async () => {
        const { answers, lines, status, stderr, took } = await endWith(platform, kind, [800, 6000])
        assert.deepStrictEqual(answers, [{ text: "after 800", connection: "close" }, {
          text: "after 6000",
          connection: "close"
        }])
        assert.deepStrictEqual([status, stderr], [statuses[platform], ""])
        assert.isAbove(took, 5000)
        assert.isBelow(took, 7000)
        assert.includeMembers(lines, ["closed"])
      }, 30_000)

      it(`${platform}, server of ${kind}: ends right after a request of 0.8 s`, async () => {
        const { answers, status, took } = await endWith(platform, kind, [800])
        assert.deepStrictEqual([answers.map(({ text }) => text), status], [["after 800"], statuses[platform]])
        assert.isBelow(took, 2000)
      }, 30_000)
    }
  }
})

describe.concurrent("a program with connections on which there is no whole request", () => {
  for (const [what, sent] of [["nothing was sent", ""], ["half a head was sent", "GET /0 HTTP/1.1\r\nHos"]] as const) {
    it(`ends at once, although ${what}`, async () => {
      const program = await start("Main", "effect")
      const socket = Net.connect(program.port, "127.0.0.1")
      try {
        await once(socket, "connect")
        socket.on("error", () => {}).write(sent)
        await new Promise((resolve) => setTimeout(resolve, 200))
        const begin = performance.now()
        program.process.kill("SIGTERM")
        const [status]: Array<unknown> = await once(program.process, "exit")
        assert.strictEqual(status, 143)
        assert.isBelow(performance.now() - begin, 2000)
      } finally {
        socket.destroy()
        program.process.kill("SIGKILL")
      }
    }, 30_000)
  }
})

const main = JSON.stringify(Path.resolve(import.meta.dirname, "../../src/Serverless/Main.ts"))

const failureOf = (code: string): Promise<string> =>
  new Promise((resolve) => {
    const args = ["--input-type=module", "--eval", code]
    ChildProcess.execFile(process.execPath, args, (_, __, stderr) => resolve(stderr))
  })

describe("a second program", () => {
  it("in one process is refused", async () => {
    const code = `
      import { Effect } from "effect"
      const Main = await import(${main})
      Main.run(Effect.sleep("1 minute"))
      Main.run(Effect.void)
    `
    assert.include(
      await failureOf(code),
      "Main: a program (Main.run, Main.launch, CloudRun.run, CloudRun.launch) cannot be run a second time in this process"
    )
  })

  it("in a worker thread is refused", async () => {
    const code = `import(${main}).then(({ run }) => import("effect").then(({ Effect }) => run(Effect.void)))
      .catch((error) => require("node:worker_threads").parentPort.postMessage(error.message))`
    const worker = new Worker(code, { eval: true })
    try {
      const [message]: Array<unknown> = await once(worker, "message")
      assert.include(String(message), "cannot be run in a worker thread, which gets no signals")
    } finally {
      await worker.terminate()
    }
  })
})
