/**
 * Our pool as a service runs it: with its key and its deadline, a check and a watch on every connection.
 */
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import type * as Scope from "effect/Scope"
import * as ResourceMonitor from "../../src/Monitor/ResourceMonitor.ts"
import * as ConnectionPool from "../../src/Pool/ConnectionPool.ts"
import * as Connector from "../../src/Resource/Connector.ts"
import { crowdOfFibers, hold, opened } from "./fibers.ts"
import { connect, type Connection, poolSize } from "./peer.ts"

const key = "db.internal:5432"

const dial: (key: string) => Effect.Effect<Connection, never, Scope.Scope> = () =>
  Effect.acquireRelease(Effect.sync(connect), () => Effect.void)

const connector = Connector.make({
  open: dial,
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

/** What is off unless it is asked for. */
const everyOption = {
  minPerEndpoint: 1,
  keepalive: "30 seconds",
  leakThreshold: "1 minute",
  maxLease: "10 minutes"
} as const

const openWith = (options: Partial<typeof everyOption>) => async (acquireTimeout = 30_000) => {
  const make = ConnectionPool.make({
    connector,
    maxPerEndpoint: poolSize,
    maxTotal: poolSize,
    acquireTimeout,
    ...options
  })
  const { close, pool } = await opened(
    make.pipe(Effect.flatMap(warmed), Effect.provide(ResourceMonitor.layerUnlimited))
  )
  const crowd = crowdOfFibers(() => ConnectionPool.use(pool, key, hold))
  const serial = crowdOfFibers(() => ConnectionPool.use(pool, key, () => Effect.void))
  return { crowd, serial: (times: number) => serial(1, times), close }
}

/** Its deadline is always on. */
export const open = openWith({})

export const openWithEveryOption = openWith(everyOption)
