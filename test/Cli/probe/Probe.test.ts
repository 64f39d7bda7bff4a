import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Result } from "effect"
import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Net from "node:net"
import * as Path from "node:path"
import { oneLine, printableJson } from "../../../src/Cli/Output.ts"
import { parseEscapes } from "../../../src/Cli/probe/Escapes.ts"
import { showBytes } from "../../../src/internal/Printable.ts"
import { version } from "../../../src/internal/version.ts"
import * as TcpServer from "../../support/TcpServer.ts"
import { wholeRun } from "../wholeRun.ts"

const root = Path.resolve(import.meta.dirname, "../../..")
const main = Path.join(root, "src/Cli/main.ts")

interface Outcome {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

const spawn = (args: ReadonlyArray<string>) => ChildProcess.spawn(process.execPath, [main, ...args])

const outcomeOf = (child: ChildProcess.ChildProcessWithoutNullStreams): Effect.Effect<Outcome> =>
  Effect.callback((resume) => {
    let [stdout, stderr] = ["", ""]
    child.stdout.on("data", (data) => stdout += String(data))
    child.stderr.on("data", (data) => stderr += String(data))
    child.on("close", (status) => resume(Effect.succeed({ status, stdout, stderr })))
    return Effect.sync(() => child.kill("SIGKILL"))
  })

const sluice = (...args: ReadonlyArray<string>): Effect.Effect<Outcome> => Effect.suspend(() => outcomeOf(spawn(args)))

/** The command said in one line why it failed, and nothing else. */
const failsWith = (outcome: Outcome, status: number, words: string) => {
  assert.strictEqual(outcome.status, status, outcome.stderr)
  assert.match(outcome.stderr, /^sluice[^\n]*\n$/)
  assert.include(outcome.stderr, words)
}

const succeeds = (outcome: Outcome) => {
  assert.strictEqual(outcome.stderr, "")
  assert.strictEqual(outcome.status, 0)
}

const accepts = (host: string, port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = Net.connect({ host, port }, () => resolve(true))
    socket.on("error", () => resolve(false))
    socket.setTimeout(1000, () => resolve(false))
    socket.on("connect", () => socket.end())
  })

const [postgres, redis, redis6] = await Promise.all([
  accepts("127.0.0.1", 5432),
  accepts("127.0.0.1", 6379),
  accepts("::1", 6379)
])

/** A test that needs a server of this machine: skipped where there is none, except in CI, which must have it. */
const needs = (server: string, present: boolean) => {
  if (present || process.env["CI"] === "true") return it.live
  process.stderr.write(`skipped: ${server} does not run here\n`)
  return it.live.skip
}

const lines = (onLine: (message: { id?: number; method: string }, socket: Net.Socket) => void) =>
  TcpServer.make((socket) =>
    void socket.on("data", (data) => {
      for (const line of String(data).trim().split("\n")) onLine(JSON.parse(line), socket)
    })
  )

describe.concurrent("sluice probe", () => {
  it.live("connects, closes gracefully, and leaves as many descriptors as there were", () =>
    Effect.gen(function*() {
      const server = yield* TcpServer.echo
      const outcome = yield* sluice("probe", String(server.endpoint))
      succeeds(outcome)
      assert.match(outcome.stdout, new RegExp(`^${server.endpoint.host}:${server.endpoint.port} accepts connections\n`))
      assert.match(outcome.stdout, /\n {2}connect {6}[\d.]+ ms\n/)
      assert.match(outcome.stdout, /\n {2}closed {7}gracefully\n/)
      assert.match(outcome.stdout, /\n {2}descriptors {2}(\d+) before, \1 after\n$/)
      yield* server.drained
      assert.deepStrictEqual(server.account, { opened: 1, peak: 1, graceful: 1, broken: 0 })
    }))

  it.live("repeats with a fresh connection each, one at a time, and reports one JSON object", () =>
    Effect.gen(function*() {
      const server = yield* TcpServer.echo
      const endpoint = String(server.endpoint)
      const outcome = yield* sluice("probe", endpoint, "--count", "5", "--send", "a\\x00b\\n", "--json")
      succeeds(outcome)
      const report = JSON.parse(outcome.stdout)
      assert.deepInclude(report, {
        endpoint,
        ok: true,
        attempts: 5,
        bytesSent: 20,
        bytesReceived: 20,
        reply: "\"a\\0b\\n\"",
        closed: { graceful: 5, reset: 0, forced: 0 }
      })
      assert.isAtMost(report.connectMillis.min, report.connectMillis.median)
      assert.isAtMost(report.connectMillis.median, report.connectMillis.max)
      assert.strictEqual(report.descriptors.before, report.descriptors.after)
      yield* server.drained
      assert.deepStrictEqual(server.account, { opened: 5, peak: 1, graceful: 5, broken: 0 })
    }))

  it.live("finds what is expected wherever the answer is split", () =>
    Effect.gen(function*() {
      const server = yield* TcpServer.make((socket) => {
        socket.write("well")
        setTimeout(() => socket.write("come"), 30)
      })
      succeeds(yield* sluice("probe", String(server.endpoint), "--expect", "llco"))
    }))

  it.live("a closed port fails with one line", () =>
    Effect.gen(function*() {
      // A port that was just released may be in use by another test; nothing listens on this one.
      const endpoint = "127.0.0.1:1"
      const outcome = yield* sluice("probe", endpoint)
      failsWith(outcome, 1, "ECONNREFUSED")
      assert.strictEqual(outcome.stdout, "")
      const repeated = yield* sluice("probe", endpoint, "--count", "3", "--json")
      failsWith(repeated, 1, "attempt 1 of 3: ")
      assert.deepInclude(JSON.parse(repeated.stdout), { endpoint, ok: false })
    }))

  it.live("a port that accepts and stays silent is good, unless an answer is expected", () =>
    Effect.gen(function*() {
      const server = yield* TcpServer.silent
      const endpoint = String(server.endpoint)
      succeeds(yield* sluice("probe", endpoint))
      const sent = yield* sluice("probe", endpoint, "--send", "hello", "--timeout", "0.2")
      succeeds(sent)
      assert.include(sent.stdout, "  received     0 bytes\n")
      const expected = yield* sluice("probe", endpoint, "--expect", "x", "--timeout", "0.3")
      failsWith(expected, 1, "no matching answer within 300ms; received nothing")
      failsWith(yield* sluice("probe", endpoint, "--tls", "--timeout", "0.3"), 1, "within 300ms")
    }))

  it.live("another answer than the expected one fails and is quoted", () =>
    Effect.gen(function*() {
      const server = yield* TcpServer.make((socket) => void socket.write("\u001b[2Jno\r\n"))
      const outcome = yield* sluice("probe", String(server.endpoint), "--expect", "yes", "--timeout", "0.3")
      failsWith(outcome, 1, "no matching answer within 300ms; received 8 bytes: \"\\x1b[2Jno\\r\\n\"")
    }))

  it.live("a server that accepts and resets fails the probe", () =>
    Effect.gen(function*() {
      const atOnce = yield* TcpServer.make((socket) => void socket.resetAndDestroy())
      failsWith(yield* sluice("probe", String(atOnce.endpoint)), 1, "ECONNRESET")
      const onData = yield* TcpServer.make((socket) => void socket.on("data", () => socket.resetAndDestroy()))
      failsWith(yield* sluice("probe", String(onData.endpoint), "--send", "x"), 1, "broke the connection: ECONNRESET")
    }))

  it.live("says that the connection closed by force when the peer does not end its side", () =>
    Effect.gen(function*() {
      const holds = yield* TcpServer.make((socket) => void socket.resume(), { allowHalfOpen: true })
      const forced = yield* sluice("probe", String(holds.endpoint))
      succeeds(forced)
      assert.match(forced.stdout, /\n {2}closed {7}by force\n/)
    }))

  it.live("--mcp performs the handshake and pings", () =>
    Effect.gen(function*() {
      const heard: Array<string> = []
      const result = {
        protocolVersion: "2025-06-18",
        capabilities: {},
        serverInfo: { name: "tools", version: "7" }
      }
      const server = yield* lines(({ id, method }, socket) => {
        heard.push(method)
        if (id === undefined) return
        socket.write(JSON.stringify({ jsonrpc: "2.0", id, result: method === "initialize" ? result : {} }) + "\n")
      })
      const outcome = yield* sluice("probe", String(server.endpoint), "--mcp")
      succeeds(outcome)
      assert.include(outcome.stdout, "  server       \"tools 7\"\n")
      assert.deepStrictEqual(heard, ["initialize", "notifications/initialized", "ping"])
      const silent = yield* TcpServer.silent
      const failed = yield* sluice("probe", String(silent.endpoint), "--mcp", "--timeout", "0.3")
      failsWith(failed, 1, "the MCP handshake failed: no answer to initialize within 300ms")
    }))

  it.live("a URL is refused without its password", () =>
    Effect.gen(function*() {
      const outcome = yield* sluice("probe", "postgres://app:s3cret@db:5432/app")
      failsWith(outcome, 2, "but that is a URL")
      assert.notInclude(outcome.stdout + outcome.stderr, "s3cret")
    }))

  it.live("no server can write to the terminal, nor fill it", () =>
    Effect.gen(function*() {
      const message = "\u001b]0;owned\u0007\u009b2J\u007f\u202e" + "x".repeat(900_000)
      const server = yield* lines(({ id }, socket) =>
        void socket.write(JSON.stringify({ jsonrpc: "2.0", id, error: { code: 1, message } }) + "\n")
      )
      const plain = yield* sluice("probe", String(server.endpoint), "--mcp")
      failsWith(plain, 1, "\\x1b]0;owned\\x07\\x9b2J\\x7f\\u{202e}xxx")
      assert.match(plain.stderr, /^[\x20-\x7e]+\n$/)
      assert.isAtMost(plain.stderr.length, 510)
      const { stdout } = yield* sluice("probe", String(server.endpoint), "--mcp", "--json")
      assert.match(stdout, /^[\x20-\x7e]+\n$/)
      assert.isAtMost(stdout.length, 1000)
      assert.include(JSON.parse(stdout).error, "\\x1b]0;owned\\x07\\x9b2J\\x7f\\u{202e}xxx")
    }))

  it.live("an MCP answer that is nested too deeply is reported like any other failure", () =>
    Effect.gen(function*() {
      const deep = "[".repeat(200_000) + "]".repeat(200_000)
      const server = yield* lines(({ id }, socket) =>
        void socket.write(`{"jsonrpc":"2.0","id":${id},"result":${deep}}\n`)
      )
      const outcome = yield* sluice("probe", String(server.endpoint), "--mcp", "--json")
      failsWith(outcome, 1, "the MCP handshake failed: malformed JSON-RPC message")
      assert.deepInclude(JSON.parse(outcome.stdout), { endpoint: String(server.endpoint), ok: false })
    }))

  const full = "/dev/full"
  const onFull = Fs.existsSync(full) ? it.live : it.live.skip
  onFull("an output that cannot be written exits with 1 and one line", () =>
    Effect.gen(function*() {
      const server = yield* TcpServer.echo
      const endpoint = String(server.endpoint)
      for (const args of [["probe", endpoint], ["probe", endpoint, "--json"], ["--help"]]) {
        const descriptor = yield* Effect.acquireRelease(
          Effect.sync(() => Fs.openSync(full, "w")),
          (descriptor) => Effect.sync(() => Fs.closeSync(descriptor))
        )
        const child = ChildProcess.spawn(process.execPath, [main, ...args], { stdio: ["pipe", descriptor, "pipe"] })
        const outcome = yield* Effect.callback<Outcome>((resume) => {
          let stderr = ""
          child.stderr?.on("data", (data) => stderr += String(data))
          child.on("close", (status) => resume(Effect.succeed({ status, stdout: "", stderr })))
          return Effect.sync(() => child.kill("SIGKILL"))
        })
        failsWith(outcome, 1, "cannot write to standard output: ENOSPC")
      }
    }), 20_000)

  it.live("wrong calls exit with 2 and one line", () =>
    Effect.forEach(
      [
        [
          ["probe", "localhost:notaport"],
          "\"localhost:notaport\". Expected: a port, a whole number from 1 to 65535 at position 10"
        ],
        [["probe", "localhost"], "a colon and a port after the host at position 9"],
        [["probe"], "Missing required argument: endpoint"],
        [["probe", "a:1", "b:2"], "Unexpected positional argument"],
        [["probe", "a:1", "--bogus"], "Unrecognized flag: --bogus"],
        [["probe", "a:1", "--count", "0"], "a whole number from 1 to 1000000"],
        [["probe", "a:1", "--count", "x"], "--count"],
        [["probe", "a:1", "--timeout", "0"], "a number of seconds from 0.001 to 86400"],
        [["probe", "a:1", "--timeout", "1e-12"], "a number of seconds from 0.001 to 86400"],
        [["probe", "a:1", "--send", "\\q"], "\\r \\n \\t \\0 \\\\ \\xNN at position 0"],
        [["probe", "a:1", "--expect", ""], "--expect"],
        [["probe", "a:1", "--mcp", "--send", "x"], "--mcp cannot be used together"],
        [["frobnicate"], "Unknown subcommand \"frobnicate\""]
      ] as const,
      ([args, words]) =>
        Effect.map(sluice(...args), (outcome) => {
          failsWith(outcome, 2, words)
          assert.strictEqual(outcome.stdout, "")
        }),
      { concurrency: 4, discard: true }
    ), 60_000)

  const signalled = (signal: NodeJS.Signals, status: number) =>
    it.live(`${signal} ends it at once, also with a peer that never ends its side`, () =>
      Effect.gen(function*() {
        const server = yield* TcpServer.make((socket) => void socket.resume(), { allowHalfOpen: true })
        const child = spawn(["probe", String(server.endpoint), "--expect", "x", "--timeout", "60"])
        const running = yield* Effect.forkChild(outcomeOf(child), { startImmediately: true })
        yield* TcpServer.eventually(() => server.sockets.size === 1, 15_000)
        const start = performance.now()
        child.kill(signal)
        const oneRun = wholeRun()
        const outcome = yield* Fiber.join(running)
        const took = performance.now() - start
        assert.isBelow(took / (yield* Effect.promise(() => oneRun)), 4)
        assert.deepStrictEqual(outcome, { status, stdout: "", stderr: "" })
      }))
  signalled("SIGINT", 130)
  signalled("SIGTERM", 143)

  it.live("a reader that goes away before the report is no error", () =>
    Effect.gen(function*() {
      const server = yield* TcpServer.echo
      const child = spawn(["probe", String(server.endpoint)])
      child.stdout.destroy()
      assert.deepStrictEqual(yield* outcomeOf(child), { status: 0, stdout: "", stderr: "" })
    }))

  it.live("help and version go to standard output", () =>
    Effect.gen(function*() {
      const help = yield* sluice("probe", "--help")
      succeeds(help)
      for (const flag of ["--send", "--expect", "--timeout", "--count", "--mcp", "--tls", "--json"]) {
        assert.include(help.stdout, flag)
      }
      const shown = yield* sluice("--version")
      succeeds(shown)
      assert.include(shown.stdout, version)
      const manifest = JSON.parse(Fs.readFileSync(Path.join(root, "package.json"), "utf8"))
      assert.strictEqual(version, manifest.version)
    }))

  describe("on real servers", () => {
    needs("PostgreSQL", postgres)(
      "PostgreSQL accepts",
      () =>
        Effect.map(sluice("probe", "127.0.0.1:5432"), (outcome) => {
          succeeds(outcome)
          assert.match(outcome.stdout, /closed {7}gracefully/)
        })
    )

    needs("Redis", redis)(
      "Redis answers PING",
      () =>
        Effect.map(sluice("probe", "127.0.0.1:6379", "--send", "PING\\r\\n", "--expect", "PONG"), (outcome) => {
          succeeds(outcome)
          assert.include(outcome.stdout, "received     7 bytes \"+PONG\\r\\n\"")
        })
    )

    needs("Redis on ::1", redis6)("Redis accepts on IPv6", () => Effect.map(sluice("probe", "[::1]:6379"), succeeds))
  })
})

describe("complaints", () => {
  it("are one line of at most 500 characters in which nothing steers a terminal", () => {
    assert.strictEqual(oneLine(" a\n\tgrüße 🌍\u001b\u0085 "), "a grüße 🌍\\x1b\\x85")
    assert.strictEqual(oneLine("x".repeat(500)), "x".repeat(500))
    assert.strictEqual(oneLine("x".repeat(501)), `${"x".repeat(500)}...`)
    assert.strictEqual(oneLine("\u0007".repeat(400)).length, 503)
    assert.strictEqual(oneLine("\ud83c!"), "\\u{d83c}!")
  })

  it("as JSON read back as the same text", () => {
    const text = "\u001b\u007f\u009b\u202e\u{e0041}é"
    const json = printableJson(JSON.stringify(text))
    assert.match(json, /^[\x20-\x7eé]+$/)
    assert.strictEqual(JSON.parse(json), text)
  })
})

describe("escapes", () => {
  it("stand for one byte each, and everything else is UTF-8", () => {
    const bytes = (text: string) => Array.from(Result.getOrThrow(parseEscapes(text)))
    assert.deepStrictEqual(bytes("\\r\\n\\t\\0\\\\\\xfF"), [13, 10, 9, 0, 92, 255])
    assert.deepStrictEqual(bytes("é\\x41"), [0xc3, 0xa9, 0x41])
    for (const text of ["\\", "\\q", "\\x4", "\\xgg", ""]) assert.isTrue(Result.isFailure(parseEscapes(text)), text)
  })

  it("what is shown reads back as the same bytes", () => {
    const all = Uint8Array.from({ length: 256 }, (_, byte) => byte)
    const shown = showBytes(all).slice(1, -1).replace("\\\"", "\"")
    assert.match(shown, /^[\x20-\x7e]+$/)
    assert.deepStrictEqual(Uint8Array.from(Result.getOrThrow(parseEscapes(shown))), all)
  })
})
