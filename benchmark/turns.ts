/**
 * What a borrow costs when many endpoints wait for few slots: 100 and 10 000 endpoints on ten connections, so that each
 * borrow closes a connection of another endpoint and opens one. A turn must not cost more the more endpoints wait for it.
 *
 * Usage: node --expose-gc benchmark/turns.ts [ROUNDS]
 */
import * as Effect from "effect/Effect"
import * as ResourceMonitor from "../src/Monitor/ResourceMonitor.ts"
import * as ConnectionPool from "../src/Pool/ConnectionPool.ts"
import * as Connector from "../src/Resource/Connector.ts"
import { growth } from "./measure.ts"
import { crowdOfFibers, opened } from "./peers/fibers.ts"

const connections = 10
const few = 100
const many = 10_000
const bound = 2
const measured = Number(process.argv[2] ?? "7")

const connector = Connector.make({
  open: (name: string) => Effect.acquireRelease(Effect.sync(() => ({ name })), () => Effect.void)
})

const { close, pool } = await opened(
  ConnectionPool.make({
    connector,
    maxPerEndpoint: 2,
    maxTotal: connections,
    acquireTimeout: "5 minutes"
  }).pipe(Effect.provide(ResourceMonitor.layer))
)

/** Each endpoint is borrowed from as often as makes as many borrows in all. */
const turnsOf = (endpoints: number) => (): Promise<void> => {
  let next = 0
  const borrow = () => ConnectionPool.use(pool, `db-${next++ % endpoints}`, () => Effect.yieldNow)
  return crowdOfFibers(borrow)(endpoints, many / endpoints)
}

process.stdout.write(
  await growth({
    few,
    many,
    bound,
    operations: many,
    run: turnsOf,
    among: (endpoints) => `${endpoints} endpoints waiting for ${connections} slots`
  }, { warmUp: 2, measured })
)
await close()
