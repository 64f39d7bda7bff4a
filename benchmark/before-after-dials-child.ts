/**
 * When and how often the copy of the library at PATH dials, in a process of its own. Prints milliseconds and numbers of dials for
 * each case as JSON.
 *
 * Usage: node benchmark/before-after-dials-child.ts PATH SCALE
 */
import { load } from "./copy.ts"
import { median } from "./measure.ts"

type Effect<A, E, R = never> = import("effect/Effect").Effect<A, E, R>

const scale = Number(process.argv[3] ?? "1")

const { ConnectionPool, Connector, Effect, Fiber, Latch, ResourceMonitor } = await load(process.argv[2] ?? ".")

const key = "db.internal:5432"
const repetitions = Math.max(1, Math.floor(3 * scale))

/** Each of its dials takes as many milliseconds as `millisOf` says of its number, from 1. */
const dialing = (millisOf: (dial: number) => number) => {
  const ledger = { dials: 0 }
  const connect = Effect.suspend(() => {
    const dial = ++ledger.dials
    return Effect.as(Effect.sleep(millisOf(dial)), { dial })
  })
  const connection = Effect.acquireRelease(connect, () => Effect.void, { interruptible: true })
  const open: (key: string) => typeof connection = () => connection
  return { ledger, connector: Connector.make({ open }) }
}

const fork = Effect.forkChild({ startImmediately: true })

/** The milliseconds that the second borrower waits, while the dial for the first one hangs. */
const afterHungDial = (isKept: boolean) =>
  Effect.scoped(Effect.gen(function*() {
    const { connector } = dialing((dial) => dial === 1 ? 600 : 20)
    const pool = yield* ConnectionPool.make({ connector, maxPerEndpoint: 10, maxTotal: 10 })
    const first = yield* fork(ConnectionPool.use(pool, key, () => isKept ? Effect.never : Effect.void))
    const start = performance.now()
    const millis = yield* ConnectionPool.use(pool, key, () => Effect.sync(() => performance.now() - start))
    yield* Fiber.interrupt(first)
    return millis
  }))

const spike = { warm: 5, requests: 50, perRequest: "2 millis", dialMillis: 150 } as const

const together = <E>(times: number, borrow: Effect<void, E>) =>
  Effect.all(Array.from({ length: times }, () => borrow), { concurrency: "unbounded", discard: true })

/** How many dials more requests at once than there are connections bring about, and the milliseconds until all are served. */
const afterSpike = Effect.scoped(Effect.gen(function*() {
  const { connector, ledger } = dialing(() => spike.dialMillis)
  const pool = yield* ConnectionPool.make({ connector, maxPerEndpoint: spike.requests, maxTotal: spike.requests })
  const latch = yield* Latch.make(false)
  let leased = 0
  const warmUp = () => ++leased === spike.warm ? Effect.asVoid(latch.open) : latch.await
  yield* together(spike.warm, ConnectionPool.use(pool, key, warmUp))
  const before = ledger.dials
  const start = performance.now()
  yield* together(spike.requests, ConnectionPool.use(pool, key, () => Effect.sleep(spike.perRequest)))
  return { dials: ledger.dials - before, millis: performance.now() - start }
}))

const repeated = <A, E, R>(effect: Effect<A, E, R>) => Effect.forEach(Array.from({ length: repetitions }), () => effect)

const program = Effect.gen(function*() {
  const free = yield* repeated(afterHungDial(false))
  const kept = yield* repeated(afterHungDial(true))
  const spikes = yield* repeated(afterSpike)
  return {
    "first dial hangs for 600 ms: second borrower (ms)": median(free),
    "the same, and the first borrower keeps its connection (ms)": median(kept),
    "50 borrowers at once on 5 warm connections: dials": median(spikes.map(({ dials }) => dials)),
    "50 borrowers at once on 5 warm connections: all served (ms)": median(spikes.map(({ millis }) => millis))
  }
}).pipe(Effect.provide(ResourceMonitor.layerUnlimited))

process.stdout.write(JSON.stringify(await Effect.runPromise(program)))
