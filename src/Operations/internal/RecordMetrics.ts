/**
 * Records all pools and the monitor of a program in Effect's metrics.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { scopedValue } from "../../internal/ScopeHooks.ts"
import { sleepUnref } from "../../internal/Timer.ts"
import { report } from "../../internal/UnhandledLog.ts"
import { type PoolRecorder, recordPool } from "../../Pool/PoolRecorder.ts"
import type { RegisteredPool } from "../../Pool/PoolRegistry.ts"
import { recordBreaker } from "./BreakerRecorder.ts"
import { recordMonitor } from "./MonitorRecorder.ts"
import type { Resolved } from "./OperationsOptions.ts"
import { type Monitor, type Sources, watchMonitor, watchPools } from "./PoolWatch.ts"

/** A failure of one reading does not stop the others. */
const safely = (read: Effect.Effect<void>): Effect.Effect<void> =>
  Effect.catchCause(read, (cause) => report("Operations: metrics cannot be read", cause))

/** Removes the series of a thing that has ended at the next reading, so that exporters can read their last values. */
class Recorders {
  readonly #present = new Set<PoolRecorder>()
  #ended: Array<PoolRecorder> = []

  add(recorder: PoolRecorder): void {
    this.#present.add(recorder)
    recorder.read()
  }

  /** Reads the last values. */
  retire(recorder: PoolRecorder): void {
    recorder.read()
    this.#present.delete(recorder)
    this.#ended.push(recorder)
  }

  readonly read: Effect.Effect<void> = Effect.suspend(() => {
    const ended = this.#ended
    this.#ended = []
    for (const recorder of ended) recorder.end()
    return Effect.forEach(this.#present, ({ read }) => safely(Effect.sync(read)), { discard: true })
  })

  endAll(): void {
    for (const recorder of [...this.#present, ...this.#ended]) recorder.end()
  }
}

/**
 * Records all metrics until the scope ends. Gauges are read now and after each interval. The series of a pool are removed within one
 * interval after its end, and all series at the end of the scope.
 */
export const recordMetrics = (
  sources: Sources,
  { interval, runtimeMetrics }: Pick<Resolved, "interval" | "runtimeMetrics">
): Effect.Effect<void, never, Scope.Scope> =>
  Effect.gen(function*() {
    const context = yield* Effect.context<never>()
    const recorders = yield* scopedValue(() => new Recorders(), (all) => all.endAll())
    const monitors = new Map<Monitor, Effect.Effect<void>>()
    const followPool = (pool: RegisteredPool) =>
      scopedValue(
        () => {
          const all = [recordPool(pool, pool.name, context), recordBreaker(pool, context)]
          const present = all.filter((recorder) => recorder !== undefined)
          for (const recorder of present) recorders.add(recorder)
          return present
        },
        (present) => {
          for (const recorder of present) recorders.retire(recorder)
        }
      )
    const followMonitor = (monitor: Monitor) =>
      Effect.gen(function*() {
        const { read } = yield* recordMonitor(monitor, runtimeMetrics)
        yield* scopedValue(() => monitors.set(monitor, read), () => monitors.delete(monitor))
        yield* safely(read)
      })
    yield* watchPools(sources, (pool) => Effect.asVoid(followPool(pool)))
    yield* watchMonitor(sources, followMonitor)
    const readMonitors = Effect.suspend(() => Effect.forEach([...monitors.values()], safely, { discard: true }))
    yield* sleepUnref(interval).pipe(
      Effect.andThen(recorders.read),
      Effect.andThen(readMonitors),
      Effect.forever,
      Effect.forkScoped
    )
  })
