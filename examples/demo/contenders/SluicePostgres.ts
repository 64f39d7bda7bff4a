/**
 * The PostgreSQL client of this library: `SqlClient` over a pool with its retry policy and the monitor's gate.
 */
import * as Postgres from "effect-sluice/Postgres"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import * as RetryPolicy from "effect-sluice/RetryPolicy"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as ManagedRuntime from "effect/ManagedRuntime"
import type { Contender, Setting } from "./Contender.ts"
import * as EffectDatabase from "./EffectDatabase.ts"
import type { Limits } from "./Limits.ts"
import { dialOptions, retryOptions, retryTexts, texts } from "./Sluice.ts"

const poolOptions = ({ acquireTimeout, checkAfterIdle, connections, connectTimeout }: Limits) => ({
  maxConnections: connections,
  connectTimeout,
  acquireTimeout,
  checkAfterIdle
})

export const optionsOf = (limits: Limits): Readonly<Record<string, string>> => ({
  ...texts("", poolOptions(limits)),
  ...texts("retry ", dialOptions(limits)),
  statement: `select 1, interrupted after ${limits.requestTimeout} ms`,
  ...retryTexts(limits)
})

export const open = async (setting: Setting): Promise<Contender> => {
  const { limits } = setting
  const policy = RetryPolicy.make(retryOptions(limits))
  const ask = RetryPolicy.retry(EffectDatabase.statement(limits, (reserve) => reserve), policy)
  const database = Postgres.layer({
    ...EffectDatabase.optionsOf(setting),
    ...poolOptions(limits),
    retry: RetryPolicy.make(dialOptions(limits))
  })
  // Standard output is for messages to the parent, so logs go nowhere.
  const services = Layer.provide(Layer.provideMerge(database, ResourceMonitor.layer), Logger.layer([]))
  const runtime = ManagedRuntime.make(services)
  return { answer: (signal) => runtime.runPromise(ask, { signal }), close: () => runtime.dispose() }
}
