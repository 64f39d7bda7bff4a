/**
 * Most descriptors of a server are connections of its own clients. With the limits that are the default they cost no route anything.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as ChildProcess from "node:child_process"
import * as Http from "node:http"
import * as Net from "node:net"
import * as Path from "node:path"
import * as TcpServer from "../support/TcpServer.ts"

const child = Path.join(import.meta.dirname, "inbound-child.ts")

/** The port of an HTTP server in a process with this limit, which asks the server at `backend`. */
const serverUnder = (limit: number, backend: number) =>
  Effect.gen(function*() {
    const running = yield* Effect.acquireRelease(
      Effect.sync(() =>
        ChildProcess.spawn(
          "sh",
          ["-c", `ulimit -n ${limit}; exec "$@"`, "sh", process.execPath, "--no-warnings", child, String(backend)],
          { stdio: ["pipe", "pipe", "inherit"] }
        )
      ),
      (running) => Effect.sync(() => running.kill())
    )
    return yield* Effect.callback<number>((resume) => {
      running.stdout.once("data", (line) => resume(Effect.succeed(Number(String(line)))))
    })
  })

const idleClient = (port: number) =>
  Effect.acquireRelease(
    Effect.callback<Net.Socket>((resume) => {
      const socket = Net.connect(port, "127.0.0.1", () => resume(Effect.succeed(socket)))
      socket.on("error", (error) => resume(Effect.die(error)))
    }),
    (socket) => Effect.sync(() => socket.destroy())
  )

const get = (port: number, path: string) =>
  Effect.callback<string>((resume) => {
    const request = Http.get({ port, host: "127.0.0.1", path, agent: false }, (response) => {
      let body = ""
      response.on("data", (part) => body += String(part))
      response.on("end", () => resume(Effect.succeed(`${response.statusCode} ${body}`)))
    })
    request.on("error", (error) => resume(Effect.die(error)))
  })

describe("1000 idle inbound connections at ulimit -n 20000", () => {
  it.live("every route of a server with a pool behind it is served", () =>
    Effect.gen(function*() {
      const backend = yield* TcpServer.make((socket) => void socket.on("data", (data) => socket.write(data)))
      const port = yield* serverUnder(20_000, backend.endpoint.port)
      yield* Effect.forEach(Array.from({ length: 1000 }), () => idleClient(port), { concurrency: 50 })
      const paths = Array.from({ length: 60 }, (_, i) => `/route/${i % 3}`)
      const answers = yield* Effect.forEach(paths, (path) => get(port, path), { concurrency: 10 })
      assert.deepStrictEqual([...new Set(answers)], [`200 ${"/route/0".length}`])
    }).pipe(Effect.scoped), 60_000)
})
