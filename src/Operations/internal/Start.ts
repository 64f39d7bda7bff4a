/**
 * Makes the service: starts what is watched, and assembles its functions.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { ProgramEnd } from "../../internal/ProgramEnd.ts"
import { Operations } from "../Service.ts"
import { control } from "./Controls.ts"
import { LeakRecord, recordLeaks } from "./LeakRecord.ts"
import { logLevels } from "./LevelLog.ts"
import { observe, type Observed } from "./Observed.ts"
import type { Resolved } from "./OperationsOptions.ts"
import { type Monitor, sourcesOf, watchMonitor, watchPools } from "./PoolWatch.ts"
import { recordMetrics } from "./RecordMetrics.ts"
import { watchPool } from "./WatchOutages.ts"

const followMonitor = (observed: Observed, { logs }: Resolved) => (monitor: Monitor) => {
  const leaks = new LeakRecord()
  observed.leaks(monitor, leaks)
  return Effect.andThen(logs ? logLevels(monitor) : Effect.void, recordLeaks(monitor, leaks))
}

/** The program under `Main.launch` logs its end with the loggers of this layer. */
const giveLoggers: Effect.Effect<void> = Effect.flatMap(
  ProgramEnd,
  (end) => Effect.contextWith((context) => Effect.sync(() => end?.logWith(Effect.runForkWith(context))))
)

/** Watches until the scope ends. */
export const start = (options: Resolved): Effect.Effect<Operations["Service"], never, Scope.Scope> =>
  Effect.gen(function*() {
    const sources = yield* sourcesOf(options.scope)
    const observed = yield* observe(sources, options)
    if (options.logs) yield* giveLoggers
    yield* watchPools(
      sources,
      (pool) => watchPool(pool, observed.record(pool), { isAlive: () => observed.isAlive(pool), logs: options.logs })
    )
    yield* watchMonitor(sources, followMonitor(observed, options))
    if (options.metrics) yield* recordMetrics(sources, options)
    return Operations.of({
      snapshot: (required) => observed.snapshot(required),
      readiness: (required) => observed.readiness(required),
      retire: Effect.sync(() => {
        observed.isRetiring = true
      }),
      control: (command) => control(sources.pools, command)
    })
  })
