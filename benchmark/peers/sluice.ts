/**
 * Our pool, with its key, its deadline, a check and a watch on every connection: as a service runs it.
 */
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as ResourceMonitor from "../../src/Monitor/ResourceMonitor.ts"
import * as ConnectionPool from "../../src/Pool/ConnectionPool.ts"
import * as Connector from "../../src/Resource/Connector.ts"
import { crowdOfFibers, hold, opened } from "./fibers.ts"
import { connect, type Connection, poolSize } from "./peer.ts"

const key = "db.internal:5432"

const connector = Connector.make({
  open: (_: string) => Effect.acquireRelease(Effect.sync(connect), () => Effect.void),
  check: () => Effect.void,
  closed: () => Effect.never
})

/** Holds as many connections at once as the pool may have, so that all of them are open. */
const warmed = (pool: ConnectionPool.ConnectionPool<string, Connection>) =>
  Effect.gen(function*() {
    const latch = yield* Latch.make(false)
    let lent = 0
    const borrow = ConnectionPool.use(pool, key, () => ++lent === poolSize ? latch.open : latch.await)
    yield* Effect.all(Array.from({ length: poolSize }, () => borrow), { concurrency: "unbounded", discard: true })
    return pool
  })

/** The pool, warm. */
export const make = (acquireTimeout: number) =>
  ConnectionPool.make({ connector, maxPerEndpoint: poolSize, maxTotal: poolSize, acquireTimeout }).pipe(
    Effect.flatMap(warmed),
    Effect.provide(ResourceMonitor.layerUnlimited)
  )

export const use = (pool: ConnectionPool.ConnectionPool<string, Connection>, f: () => Effect.Effect<void>) =>
  ConnectionPool.use(pool, key, f)

/** Its deadline is always on. */
export const open = async (acquireTimeout = 30_000) => {
  const { close, pool } = await opened(make(acquireTimeout))
  const serial = crowdOfFibers(() => use(pool, () => Effect.void))
  return { crowd: crowdOfFibers(() => use(pool, hold)), serial: (times: number) => serial(1, times), close }
}
