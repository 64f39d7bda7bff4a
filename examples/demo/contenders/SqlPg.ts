/**
 * `@effect/sql-pg` with its own pool, and the retries of `effect` around it.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Schedule from "effect/Schedule"
import type { Contender, Setting } from "./Contender.ts"
import * as EffectDatabase from "./EffectDatabase.ts"
import type { Limits } from "./Limits.ts"

const poolOptions = ({ connections, connectTimeout }: Limits) => ({
  maxConnections: connections,
  minConnections: 0,
  connectTimeout,
  idleTimeout: 60_000
})

export const optionsOf = (limits: Limits): Readonly<Record<string, string>> => ({
  ...Object.fromEntries(Object.entries(poolOptions(limits)).map(([name, value]) => [name, String(value)])),
  "statement": `select 1, interrupted after ${limits.requestTimeout} ms`,
  "reserve": `interrupted after ${limits.acquireTimeout} ms`,
  "Effect.retry schedule": `exponential(${limits.initialDelay}), at most ${limits.maxDelay}, jittered`,
  "Effect.retry times": String(limits.attempts - 1),
  "Effect.timeout": String(limits.deadline)
})

const repeated = (limits: Limits) =>
  EffectDatabase.statement(limits, (reserve) => Effect.timeout(reserve, limits.acquireTimeout)).pipe(
    Effect.retry({
      schedule: Schedule.jittered(
        Schedule.min([Schedule.exponential(limits.initialDelay), Schedule.spaced(limits.maxDelay)])
      ),
      times: limits.attempts - 1
    }),
    Effect.timeout(limits.deadline)
  )

export const open = async (setting: Setting): Promise<Contender> => {
  const database = PgClient.layer({ ...EffectDatabase.optionsOf(setting), ...poolOptions(setting.limits) })
  // Standard output is for messages to the parent, so logs go nowhere.
  const runtime = ManagedRuntime.make(Layer.provide(database, Logger.layer([])))
  const ask = repeated(setting.limits)
  return { answer: (signal) => runtime.runPromise(ask, { signal }), close: () => runtime.dispose() }
}
