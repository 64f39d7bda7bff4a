/**
 * A crowd of borrowers on three connections, alone in a process with `--expose-gc`, again and again. It prints one line
 * of JSON.
 *
 * Usage: node --expose-gc crowd-child.ts WAITERS
 */
import { Deferred, Effect, Fiber } from "effect"
import * as ResourceMonitor from "../../src/Monitor/ResourceMonitor.ts"
import * as ConnectionPool from "../../src/Pool/ConnectionPool.ts"
import * as Connector from "../../src/Resource/Connector.ts"

/** What this process prints. Sizes are in bytes of the heap. */
export interface CrowdReport {
  readonly waited: number
  readonly served: number
  /** The first place at which borrowers were served in another order than they came, or -1. */
  readonly outOfOrder: number
  readonly opened: number
  /** After the first crowd, while the second one waits, and after each further one. */
  readonly base: number
  readonly atPeak: number
  readonly after: ReadonlyArray<number>
}

const connections = 3
const waiters = Number(process.argv[2] ?? "25000")

/** Bytes in use after everything that is due has run and the rest was collected. */
const heapUsed = Effect.promise(async () => {
  for (let left = 3; left > 0; left--) {
    await new Promise((resolve) => setTimeout(resolve, 20))
    globalThis.gc?.()
  }
  return process.memoryUsage().heapUsed
})

const program = Effect.gen(function*() {
  let opened = 0
  const connector = Connector.make({
    open: () => Effect.acquireRelease(Effect.sync(() => ({ number: ++opened })), () => Effect.void)
  })
  const pool = yield* ConnectionPool.make({
    connector,
    maxPerEndpoint: connections,
    maxTotal: connections,
    acquireTimeout: "5 minutes"
  })
  const fork = Effect.forkChild({ startImmediately: true })
  const crowd = Effect.gen(function*() {
    const latch = yield* Deferred.make<void>()
    const hold = ConnectionPool.use(pool, "db", () => Deferred.await(latch))
    const holders = yield* Effect.forEach(Array.from({ length: connections }), () => fork(hold))
    const order: Array<number> = []
    const borrow = (index: number) =>
      ConnectionPool.use(pool, "db", () => Effect.andThen(Effect.yieldNow, Effect.sync(() => order.push(index))))
    const borrowers = yield* Effect.forEach(
      Array.from({ length: waiters }, (_, index) => index),
      (index) => fork(borrow(index))
    )
    const { waiting } = yield* ConnectionPool.stats(pool)
    const atPeak = yield* heapUsed
    yield* Deferred.succeed(latch, undefined)
    yield* Fiber.joinAll([...holders, ...borrowers])
    return {
      waited: waiting,
      served: order.length,
      outOfOrder: order.findIndex((number, place) => number !== place),
      atPeak
    }
  })
  yield* crowd
  const base = yield* heapUsed
  const outcome = yield* crowd
  const after = [yield* heapUsed]
  yield* crowd
  after.push(yield* heapUsed)
  const report: CrowdReport = { ...outcome, opened, base, after }
  process.stdout.write(`${JSON.stringify(report)}\n`)
})

await Effect.runPromise(program.pipe(Effect.scoped, Effect.provide(ResourceMonitor.layer)))
