/**
 * What tests of a pool have in common.
 */
import { Deferred, Effect, Logger, type Scope } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import { TestClock } from "effect/testing"
import type { Scripted } from "./ScriptedConnector.ts"

/** Runs a test whose gate lets everybody in. */
export const test = <A, E>(effect: Effect.Effect<A, E, Scope.Scope | ResourceMonitor.ResourceMonitor>) =>
  Effect.provide(effect, ResourceMonitor.layerUnlimited)

export const fork = Effect.forkChild({ startImmediately: true })

export const id = (connection: Scripted) => Effect.succeed(connection.id)

/** Lets everything happen that can happen without time going on. */
export const settle = Effect.gen(function*() {
  for (let turn = 0; turn < 20; turn++) yield* Effect.yieldNow
  yield* TestClock.adjust(0)
  for (let turn = 0; turn < 20; turn++) yield* Effect.yieldNow
})

/** Borrows until the latch is open. */
export const hold = (
  pool: ConnectionPool.ConnectionPool<string, Scripted>,
  key: string,
  latch: Deferred.Deferred<void>
) => ConnectionPool.use(pool, key, (connection) => Effect.as(Deferred.await(latch), connection.id))

/** Everything that is logged with this layer. */
export const collectLogs = () => {
  const lines: Array<string> = []
  const logger = Logger.make(({ message }) => void lines.push(String(message)))
  return { lines, layer: Logger.layer([logger]) }
}
