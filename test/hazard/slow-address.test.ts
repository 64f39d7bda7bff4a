/**
 * A host one of whose addresses takes long to answer, as the kernel has it: a full queue drops what asks for a connection,
 * and the kernel asks again a second later.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import * as Endpoint from "effect-sluice/Endpoint"
import * as TcpConnection from "effect-sluice/TcpConnection"
import * as ChildProcess from "node:child_process"
import * as Net from "node:net"
import * as Path from "node:path"

const [slow, deaf] = ["127.0.0.2", "127.0.0.3"]

const child = Path.join(import.meta.dirname, "slow-address-child.ts")

const nextLine = (stream: NodeJS.ReadableStream) =>
  Effect.callback<string>((resume) => void stream.once("data", (data) => resume(Effect.succeed(String(data).trim()))))

const isConnected = (socket: Net.Socket, millis: number) =>
  Effect.callback<boolean>((resume) => {
    const timer = setTimeout(() => resume(Effect.succeed(false)), millis)
    socket.once("connect", () => {
      clearTimeout(timer)
      resume(Effect.succeed(true))
    })
  })

/** A server whose queue is full, and what has it go on. */
const fullServer = Effect.gen(function*() {
  const server = yield* Effect.acquireRelease(
    Effect.sync(() =>
      ChildProcess.spawn(process.execPath, ["--no-warnings", child, slow], { stdio: ["pipe", "pipe", "inherit"] })
    ),
    (server) => Effect.sync(() => server.kill("SIGKILL"))
  )
  const port = Number(yield* nextLine(server.stdout))
  for (let count = 0; count < 8; count++) {
    const socket = yield* Effect.acquireRelease(
      Effect.sync(() => Net.connect(port, slow).on("error", () => {}).resume()),
      (socket) => Effect.sync(() => socket.destroy())
    )
    if (!(yield* isConnected(socket, 200))) break
  }
  return { port, goOn: Effect.sync(() => void server.stdin.write("\n")) }
})

describe("a host with two addresses, the first of which takes a second to connect while the second refuses", () => {
  it.live("is connected, because `connectTimeout` is the only limit", () =>
    Effect.gen(function*() {
      const { goOn, port } = yield* fullServer
      const lookup: Net.LookupFunction = (_, __, callback) =>
        callback(null, [slow, deaf].map((address) => ({ address, family: 4 })))
      const connect = TcpConnection.connect(Endpoint.tcp("two.test", port), { connectTimeout: "20 seconds", lookup })
      const start = performance.now()
      const fiber = yield* Effect.forkChild(connect, { startImmediately: true })
      yield* Effect.sleep("400 millis")
      assert.isUndefined(fiber.pollUnsafe())
      yield* goOn
      const connection = yield* Fiber.join(fiber)
      assert.strictEqual(new TextDecoder().decode(yield* connection.read), "late")
      assert.isAtLeast(performance.now() - start, 900)
    }), 30_000)
})
