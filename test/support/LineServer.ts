/**
 * A server in a thread of its own, which answers and closes while the thread of the test is busy.
 */
import { Effect } from "effect"
import type { Scope } from "effect"
import * as Endpoint from "effect-sluice/Endpoint"
import { Worker } from "node:worker_threads"

/** The answer to a line: a JSON-RPC request is answered with its method. */
export const answerTo = (line: string): string => {
  if (!line.startsWith("{")) return `answer to ${line}`
  const { id, method } = JSON.parse(line) as { readonly id: number; readonly method: string }
  return JSON.stringify({ jsonrpc: "2.0", id, result: method })
}

export interface Options {
  /** Closes a connection that was silent for so long. */
  readonly idleMillis?: number
  /** What it says before it closes a connection that was silent for too long. */
  readonly farewell?: string
}

const program = `
const { createServer } = require("node:net")
const { parentPort, workerData: { idleMillis, farewell } } = require("node:worker_threads")
const server = createServer((socket) => {
  let rest = ""
  socket.on("error", () => {})
  socket.on("data", (data) => {
    const lines = (rest + data).split("\\n")
    rest = lines.pop()
    for (const line of lines) socket.write("answer to " + line + "\\n")
  })
  if (idleMillis !== undefined) socket.setTimeout(idleMillis, () => socket.end(farewell))
}).listen(0, "127.0.0.1", () => parentPort.postMessage(server.address().port))
`

export const make = (options: Options = {}): Effect.Effect<Endpoint.TcpEndpoint, never, Scope.Scope> =>
  Effect.gen(function*() {
    const worker = yield* Effect.acquireRelease(
      Effect.sync(() => new Worker(program, { eval: true, workerData: options })),
      (worker) => Effect.promise(() => worker.terminate())
    )
    const port = yield* Effect.callback<number>((resume) => {
      worker.once("message", (port: number) => resume(Effect.succeed(port)))
    })
    return Endpoint.tcp("127.0.0.1", port)
  })
