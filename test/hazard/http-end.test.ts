/**
 * Requests that are under way when a signal ends a program are answered, over keep-alive connections, and the program ends right after
 * the last of them.
 */
import { assert, describe, it } from "@effect/vitest"
import * as ChildProcess from "node:child_process"
import { once } from "node:events"
import * as Fs from "node:fs"
import * as Http from "node:http"
import * as Os from "node:os"
import * as Path from "node:path"
import * as Tls from "node:tls"
import { Worker } from "node:worker_threads"
import { certificate } from "../support/Certificates.ts"
import * as Program from "./http-end-program.ts"

const { statuses } = Program

const platforms = ["Main", "CloudRun"] as const
const servers = ["effect", "node"] as const

/** The end of a program with requests under way that take so long, and idle keep-alive connections beside them. */
const endWith = (settings: Program.Settings, requests: ReadonlyArray<number>) =>
  Program.withProgram(settings, async (program) => {
    const agent = new Http.Agent({ keepAlive: true })
    try {
      const first = await Promise.all([0, 0, 0].map((millis) => Program.ask(program, agent, millis)))
      assert.deepStrictEqual(first.map(({ connection }) => connection), ["keep-alive", "keep-alive", "keep-alive"])
      const answers = Promise.all(requests.map((millis) => Program.ask(program, agent, millis)))
      await Program.pause(200)
      const { status, stderr, took } = await Program.end(program)
      return { answers: await answers, status, took, stderr, lines: program.lines }
    } finally {
      agent.destroy()
    }
  })

describe.concurrent("a program that ends while requests are under way", () => {
  for (const platform of platforms) {
    for (const server of servers) {
      it(`${platform}, server of ${server}: ends at once without a request`, async () => {
        const { status, stderr, took } = await endWith({ platform, server }, [])
        assert.deepStrictEqual([status, stderr], [statuses[platform], ""])
        assert.isBelow(took, 1000)
      }, 30_000)

      it(`${platform}, server of ${server}: answers one of 0.8 s and one of 6 s, and ends then`, async () => {
        const { answers, lines, status, stderr, took } = await endWith({ platform, server }, [800, 6000])
        assert.deepStrictEqual(answers, [{ text: "after 800", connection: "close" }, {
          text: "after 6000",
          connection: "close"
        }])
        assert.deepStrictEqual([status, stderr], [statuses[platform], ""])
        assert.isAbove(took, 5000)
        assert.isBelow(took, 7000)
        assert.includeMembers([...lines], ["closed"])
      }, 30_000)

      it(`${platform}, server of ${server}: ends right after a request of 0.8 s`, async () => {
        const { answers, status, took } = await endWith({ platform, server }, [800])
        assert.deepStrictEqual([answers.map(({ text }) => text), status], [["after 800"], statuses[platform]])
        assert.isBelow(took, 2000)
      }, 30_000)
    }
  }
})

const request = "GET /0 HTTP/1.1\r\nHost: a\r\n\r\n"

describe.concurrent("a program with connections on which there is no whole request", () => {
  for (const [what, sent] of [["nothing was sent", ""], ["half a head was sent", "GET /0 HTTP/1.1\r\nHos"]] as const) {
    it(
      `ends at once, although ${what}`,
      () =>
        Program.withProgram({ platform: "Main", server: "effect" }, async (program) => {
          const { socket } = await Program.connect(program)
          socket.write(sent)
          await Program.pause(200)
          const { status, took } = await Program.end(program)
          assert.strictEqual(status, 143)
          // They hold up the end for at most 600 ms, and not for the 20 seconds that the server would wait.
          assert.isBelow(took, 2000)
          socket.destroy()
        }),
      30_000
    )
  }

  for (const [what, open] of [["nothing was sent over TLS", true], ["TLS was not begun", false]] as const) {
    it(
      `ends at once, although ${what}`,
      () =>
        Program.withProgram({ platform: "Main", server: "node", tls: certificate() }, async (program) => {
          const { socket } = await Program.connect(program)
          if (open) {
            await once(Tls.connect({ socket, rejectUnauthorized: false }).on("error", () => {}), "secureConnect")
          }
          await Program.pause(200)
          const { status, took } = await Program.end(program)
          assert.strictEqual(status, 143)
          // The server has no limit, so that the end would take 22.5 seconds.
          assert.isBelow(took, 2000)
          socket.destroy()
        }),
      30_000
    )
  }

  it(
    "answers a request over TLS that is under way",
    () =>
      Program.withProgram({ platform: "Main", server: "node", tls: certificate() }, async (program) => {
        const { socket } = await Program.connect(program)
        const secure = Tls.connect({ socket, rejectUnauthorized: false }).setEncoding("utf8").on("error", () => {})
        secure.write(request.replace("/0", "/1500"))
        const answered = once(secure, "data")
        await Program.pause(200)
        const ended = Program.end(program)
        assert.match(String(await answered), /^HTTP\/1.1 200 OK\r\n/)
        assert.deepInclude(await ended, { status: 143, stderr: "" })
      }),
    30_000
  )

  it("answers requests over TLS on a Unix path, whose connections have no peer to tell them apart", async () => {
    const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "sluice-http-end-"))
    const path = Path.join(folder, "socket")
    try {
      await Program.withProgram({ platform: "Main", server: "node", tls: certificate(), path }, async (program) => {
        const answers = [1, 2].map(async () => {
          const secure = Tls.connect({ path, rejectUnauthorized: false }).setEncoding("utf8").on("error", () => {})
          secure.write(request.replace("/0", "/2000"))
          const [answer]: Array<unknown> = await Promise.race([once(secure, "data"), once(secure, "close")])
          return String(answer).split("\r\n")[0]
        })
        await Program.pause(500)
        const ended = Program.end(program)
        assert.deepStrictEqual(await Promise.all(answers), ["HTTP/1.1 200 OK", "HTTP/1.1 200 OK"])
        assert.deepInclude(await ended, { status: 143, stderr: "" })
      })
    } finally {
      Fs.rmSync(folder, { recursive: true })
    }
  }, 30_000)

  it(
    "answers a request whose head comes slowly, although the server has stopped listening",
    () =>
      Program.withProgram({ platform: "Main", server: "node" }, async (program) => {
        const { send, socket } = await Program.connect(program)
        socket.write(request.slice(0, 4))
        await Program.pause(200)
        const ended = Program.end(program)
        for (const byte of request.slice(4, -1)) {
          socket.write(byte)
          await Program.pause(50)
        }
        assert.strictEqual(await send("\n"), "HTTP/1.1 200 OK")
        assert.deepInclude(await ended, { status: 143, stderr: "" })
      }),
    30_000
  )
})

describe.concurrent("a program that goes on for 2 seconds after the signal", () => {
  for (const server of servers) {
    const settings = { platform: "Main", server, retirement: 2000 } as const

    it(
      `answers the next request on a kept connection (server of ${server})`,
      () =>
        Program.withProgram(settings, async (program) => {
          const { closed, send } = await Program.connect(program)
          assert.strictEqual(await send(request), "HTTP/1.1 200 OK")
          const ended = Program.end(program)
          await Program.pause(1000)
          assert.strictEqual(await send(request), "HTTP/1.1 200 OK")
          // That was the last one of this connection.
          await closed
          assert.deepInclude(await ended, { status: 143, stderr: "" })
        }),
      30_000
    )

    it(
      `answers on kept connections although a response ends on another one (server of ${server})`,
      () =>
        Program.withProgram(settings, async (program) => {
          const [kept, other] = await Promise.all([Program.connect(program), Program.connect(program)])
          assert.strictEqual(await kept.send(request), "HTTP/1.1 200 OK")
          const ended = Program.end(program)
          await Program.pause(500)
          assert.strictEqual(await other.send(request), "HTTP/1.1 200 OK")
          await Program.pause(500)
          assert.strictEqual(await kept.send(request), "HTTP/1.1 200 OK")
          assert.deepInclude(await ended, { status: 143, stderr: "" })
        }),
      30_000
    )

    it(
      `answers on connections that were opened in advance, before and after the signal (server of ${server})`,
      () =>
        Program.withProgram(settings, async (program) => {
          const before = await Program.connect(program)
          const ended = Program.end(program)
          await Program.pause(200)
          const after = await Program.connect(program)
          // Half a head, and the other half later.
          after.socket.write(request.slice(0, 20))
          await Program.pause(1000)
          assert.deepStrictEqual(
            await Promise.all([before.send(request), after.send(request.slice(20))]),
            ["HTTP/1.1 200 OK", "HTTP/1.1 200 OK"]
          )
          assert.deepInclude(await ended, { status: 143, stderr: "" })
        }),
      30_000
    )

    it(
      `serves an upgraded connection, also after that, until its client closes it (server of ${server})`,
      () =>
        Program.withProgram(settings, async (program) => {
          const socket = new WebSocket(`ws://127.0.0.1:${program.port}/socket`)
          await once(socket, "open")
          const echo = async (text: string) => {
            socket.send(text)
            const [event]: Array<MessageEvent> = await once(socket, "message")
            return event?.data
          }
          const ended = Program.end(program)
          await Program.pause(1000)
          assert.strictEqual(await echo("while it listens"), "while it listens")
          await Program.pause(2500)
          assert.strictEqual(await echo("after that"), "after that")
          socket.close()
          const { status, stderr, took } = await ended
          assert.deepStrictEqual([status, stderr], [143, ""])
          // Right after the client has closed it, and not at the 20 seconds of Effect's server or the 22.5 of the program.
          assert.isBelow(took, 6000)
        }),
      30_000
    )
  }
})

describe.concurrent("a program whose requests take longer than there is time", () => {
  for (const platform of platforms) {
    for (const server of servers) {
      it(
        `${platform}, server of ${server}: ends a request and an upgraded connection, then its pool`,
        () =>
          Program.withProgram({ platform, server, window: 3000 }, async (program) => {
            const waiting = await Program.connect(program)
            const answer = waiting.send(request.replace("/0", "/60000"))
            const socket = new WebSocket(`ws://127.0.0.1:${program.port}/socket`)
            await once(socket, "open")
            const { status, stderr, took } = await Program.end(program)
            assert.deepStrictEqual([await answer, status, stderr], ["closed", statuses[platform], ""])
            assert.includeMembers([...program.lines], ["closed"])
            // The requests have the time until pools close, and everything has the window.
            assert.isAtLeast(took, 1500)
            assert.isBelow(took, 3000)
          }),
        30_000
      )
    }
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

  it("of another copy of the library in one process is refused", async () => {
    // Whatever a copied module imports of the library is copied as well.
    const code = `
      import { Effect } from "effect"
      import { registerHooks } from "node:module"
      registerHooks({
        resolve: (specifier, context, next) => {
          const found = next(specifier, context)
          const isCopy = context.parentURL?.endsWith("?copy") && specifier.startsWith(".")
          return isCopy ? { ...found, url: found.url + "?copy" } : found
        }
      })
      const Main = await import(${main})
      const Copy = await import(${main} + "?copy")
      console.error(Main.run === Copy.run ? "the same copy" : "two copies")
      Main.run(Effect.sleep("1 second"))
      Copy.run(Effect.void)
    `
    assert.match(
      await failureOf(code),
      /^two copies\n[^]*Main: a program \(.*\) cannot be run a second time in this process/
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
