/**
 * What a borrow costs when many wait: 100 and 25 000 borrowers on three connections, each borrowing once. The queue must
 * not cost more the longer it is; what remains is memory.
 *
 * Usage: node --expose-gc benchmark/crowd.ts [ROUNDS]
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as ResourceMonitor from "../src/Monitor/ResourceMonitor.ts"
import * as ConnectionPool from "../src/Pool/ConnectionPool.ts"
import * as Connector from "../src/Resource/Connector.ts"
import { growth } from "./measure.ts"
import { crowdOfFibers, opened } from "./peers/fibers.ts"

const connections = 3
const few = 100
const many = 25_000
const bound = 3
const measured = Number(process.argv[2] ?? "15")

const connector = Connector.make({ open: (name: string) => Effect.sync(() => ({ name })) })

const { close, pool } = await opened(
  ConnectionPool.make({
    connector,
    maxPerEndpoint: connections,
    maxTotal: connections,
    acquireTimeout: "5 minutes"
  }).pipe(Effect.provide(ResourceMonitor.layer))
)

const hold = (latch: Deferred.Deferred<void>) => ConnectionPool.use(pool, "db", () => Deferred.await(latch))

/** All of them wait before the first one is served. */
const crowd = (borrowers: number) => async (): Promise<void> => {
  const latch = Deferred.makeUnsafe<void>()
  const holders = Effect.runPromise(
    Effect.all(Array.from({ length: connections }, () => hold(latch)), { concurrency: "unbounded", discard: true })
  )
  let coming = borrowers
  const borrow = () => {
    if (--coming === 0) Deferred.doneUnsafe(latch, Effect.void)
    return ConnectionPool.use(pool, "db", () => Effect.void)
  }
  await crowdOfFibers(borrow)(borrowers, 1)
  await holders
}

/** Short rounds tell nothing, so the few come as often as makes as many. */
const repeated = (borrowers: number) => async (): Promise<void> => {
  for (let left = many; left > 0; left -= borrowers) await crowd(borrowers)()
}

process.stdout.write(
  await growth({
    few,
    many,
    bound,
    operations: many,
    run: repeated,
    among: (borrowers) => `${borrowers} waiting on ${connections} connections`
  }, { warmUp: 3, measured })
)
await close()
