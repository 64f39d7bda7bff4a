/**
 * Ways to keep connections by key.
 */
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Pool from "effect/Pool"
import * as RcMap from "effect/RcMap"
import * as Scope from "effect/Scope"
import * as ResourceMonitor from "../../src/Monitor/ResourceMonitor.ts"
import * as ConnectionPool from "../../src/Pool/ConnectionPool.ts"
import * as Connector from "../../src/Resource/Connector.ts"
import type { Copy } from "../copy.ts"
import { connect, type Connection } from "./peer.ts"

/** Borrows the connection of a key, which is opened if there is none. */
export type Use = (
  key: string,
  f: (connection: Connection) => Effect.Effect<void>
) => Effect.Effect<void, ConnectionPool.PoolError>

/** How much there will be, and after how many milliseconds what is idle is closed. */
export interface Size {
  readonly endpoints: number
  readonly perEndpoint: number
  readonly idleTimeout: number
}

/** Makes a way to keep connections, which lives as long as the scope. */
export type Keep = (size: Size) => Effect.Effect<Use, never, Scope.Scope>

const acquire = Effect.acquireRelease(Effect.sync(connect), () => Effect.void)

/** The least that there can be: a list for each key, no limits, nothing is ever closed. */
const bareMap: Keep = () => {
  const idle = new Map<string, Array<Connection>>()
  const listOf = (key: string) => {
    const list = idle.get(key) ?? []
    if (list.length === 0) idle.set(key, list)
    return list
  }
  return Effect.succeed((key, f) =>
    Effect.suspend(() => {
      const list = listOf(key)
      const connection = list.pop() ?? connect()
      return Effect.onExitPrimitive(f(connection), () => void list.push(connection))
    })
  )
}

const fixed = ({ perEndpoint }: Size) => Pool.make({ acquire, size: perEndpoint })

const elastic = ({ idleTimeout, perEndpoint }: Size) =>
  Pool.makeWithTTL({ acquire, min: 0, max: perEndpoint, timeToLive: idleTimeout })

type MakePool = (size: Size) => Effect.Effect<Pool.Pool<Connection>, never, Scope.Scope>

const mapOf = (makePool: MakePool): Keep => (size) =>
  Effect.gen(function*() {
    const pools = new Map<string, Pool.Pool<Connection>>()
    const scope = yield* Effect.scope
    const make = Scope.provide(makePool(size), scope)
    return (key, f) =>
      Effect.suspend(() => {
        const known = pools.get(key)
        if (known !== undefined) return Pool.use(known, f)
        return Effect.flatMap(make, (made) => {
          pools.set(key, made)
          return Pool.use(made, f)
        })
      })
  })

const rcMapOf = (makePool: MakePool, idleTimeToLive: (size: Size) => number): Keep => (size) =>
  Effect.gen(function*() {
    const lookup: (key: string) => ReturnType<MakePool> = () => makePool(size)
    const pools = yield* RcMap.make({ lookup, idleTimeToLive: idleTimeToLive(size) })
    return (key, f) => Effect.scoped(Effect.flatMap(RcMap.get(pools, key), (pool) => Pool.use(pool, f)))
  })

/** The copy brings its own Effect, with which all of this is made. */
export const sluiceOf = (copy: Pick<Copy, "Effect" | "ConnectionPool" | "Connector" | "ResourceMonitor">): Keep => {
  const { ConnectionPool, Connector, Effect, ResourceMonitor } = copy
  const connection = Effect.acquireRelease(Effect.sync(connect), () => Effect.void)
  const open: (key: string) => typeof connection = () => connection
  return ({ endpoints, idleTimeout, perEndpoint }) =>
    Effect.gen(function*() {
      const pool = yield* ConnectionPool.make({
        connector: Connector.make({ open }),
        maxPerEndpoint: perEndpoint,
        maxTotal: endpoints * perEndpoint,
        idleTimeout,
        maxLifetime: "1 day"
      })
      const use: Use = (key, f) => ConnectionPool.use(pool, key, f)
      return use
    }).pipe(Effect.provide(ResourceMonitor.layerUnlimited))
}

export const ways: Record<string, Keep> = {
  "effect-sluice": sluiceOf({ Effect, ConnectionPool, Connector, ResourceMonitor }),
  "bare Map": bareMap,
  "Map of Pool.make": mapOf(fixed),
  "RcMap of Pool.make": rcMapOf(fixed, () => Infinity),
  "RcMap of Pool.makeWithTTL": rcMapOf(elastic, ({ idleTimeout }) => idleTimeout)
}

/** Borrows as many connections of a key at once as it may have, so that all of them are open, and idle afterwards. */
export const fill = (use: Use, key: string, connections: number): Effect.Effect<void, ConnectionPool.PoolError> =>
  Effect.suspend(() => {
    const latch = Latch.makeUnsafe(false)
    let lent = 0
    const borrow = use(key, () => ++lent === connections ? Effect.asVoid(latch.open) : latch.await)
    return Effect.all(Array.from({ length: connections }, () => borrow), { concurrency: "unbounded", discard: true })
  })
