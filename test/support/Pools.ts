/**
 * What tests of a pool have in common.
 */
import { Deferred, Effect, Logger, type Scope } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import { TestClock } from "effect/testing"
import type { Scripted } from "./ScriptedConnector.ts"

/** Runs a test whose gate lets everybody in. When it fails, its time goes on, so that its pools are drained and it ends. */
export const test = <A, E>(effect: Effect.Effect<A, E, Scope.Scope | ResourceMonitor.ResourceMonitor>) =>
  Effect.provide(Effect.onError(effect, () => Effect.forkDetach(timeGoesOn)), ResourceMonitor.layerUnlimited)

/** The time of a test clock goes on for longer than a drain takes. */
export const timeGoesOn = Effect.clockWith((clock) =>
  "adjust" in clock ? Effect.repeat(Effect.andThen(settle, TestClock.adjust("1 second")), { times: 100 }) : Effect.void
)

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
