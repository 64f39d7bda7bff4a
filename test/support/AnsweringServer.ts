/**
 * A TCP server in a thread of its own: it answers while the event loop of the test is busy, and what it has done is known then.
 */
import { Effect, type Scope } from "effect"
import { Worker } from "node:worker_threads"
import { stall } from "./stall.ts"

const [port, opened, peak, answered] = [0, 1, 2, 3]

/** A connection is gone when its client has ended it, which the server knows before the client can open the next one. */
const program = `
  const [port, opened, peak, answered, open] = [0, 1, 2, 3, 4]
  const Net = require("node:net")
  const counts = require("node:worker_threads").workerData
  const count = (what) => {
    Atomics.add(counts, what, 1)
    Atomics.notify(counts, what)
  }
  const server = Net.createServer((socket) => {
    Atomics.store(counts, peak, Math.max(Atomics.load(counts, peak), Atomics.add(counts, open, 1) + 1))
    count(opened)
    let isOpen = true
    const gone = () => {
      if (isOpen) Atomics.sub(counts, open, 1)
      isOpen = false
    }
    socket.on("error", gone).on("end", gone).on("close", gone).on("data", () => {
      socket.write("answer")
      count(answered)
    })
  })
  server.listen(0, "127.0.0.1", () => {
    Atomics.store(counts, port, server.address().port)
    Atomics.notify(counts, port)
  })
`

export interface AnsweringServer {
  readonly port: number
  /** Connections that it has accepted so far. */
  readonly opened: () => number
  /** Most connections at once. */
  readonly peak: () => number
  /** Keeps the event loop of the caller busy until it has accepted or answered so many in all, and then for so long. */
  readonly stallBeyond: (what: "Accept" | "Answer", count: number, millis: number) => void
}

const longest = 10_000

export const make: Effect.Effect<AnsweringServer, never, Scope.Scope> = Effect.gen(function*() {
  const counts = new Int32Array(new SharedArrayBuffer(20))
  yield* Effect.acquireRelease(
    Effect.sync(() => new Worker(program, { eval: true, workerData: counts })),
    (worker) => Effect.promise(() => worker.terminate())
  )
  Atomics.wait(counts, port, 0, longest)
  const of = (what: number) => () => Atomics.load(counts, what)
  return {
    port: of(port)(),
    opened: of(opened),
    peak: of(peak),
    stallBeyond: (what, count, millis) => {
      const index = what === "Accept" ? opened : answered
      const end = performance.now() + longest
      for (let now = of(index)(); now < count && performance.now() < end; now = of(index)()) {
        Atomics.wait(counts, index, now, 100)
      }
      stall(millis)
    }
  }
})
