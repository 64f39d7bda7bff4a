/**
 * Makes the service: starts what is watched, and assembles its functions.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { version } from "../../internal/version.ts"
import { Operations } from "../Service.ts"
import type { Pool } from "../Snapshot.ts"
import type { Resolved } from "./OperationsOptions.ts"
import { sourcesOf } from "./PoolWatch.ts"

/** What is known of a pool so far. */
const nothingOf = (name: string, isRequired: boolean): typeof Pool.Type => {
  const counts = { total: 0, active: 0, idle: 0, connecting: 0, closing: 0, leftBehind: 0, waiting: 0 }
  return {
    name,
    status: "Open",
    isRequired,
    health: "Healthy",
    maxTotal: 0,
    maxPerEndpoint: 0,
    counts,
    endpointsByHealth: { Healthy: 0, Degraded: 0, Unavailable: 0 },
    endpoints: [],
    holders: [],
    failures: [],
    totals: {},
    closedBy: {},
    refusals: {}
  }
}

/** Watches until the scope ends. */
export const start = (options: Resolved): Effect.Effect<Operations["Service"], never, Scope.Scope> =>
  Effect.gen(function*() {
    const sources = yield* sourcesOf(options.scope)
    let isRetiring = false
    const readiness: Operations["Service"]["readiness"] = () =>
      Effect.sync(() => ({ isReady: !isRetiring, reasons: [] }))
    return Operations.of({
      snapshot: (required = options.required) =>
        Effect.clockWith((clock) =>
          Effect.map(readiness(required), (readiness) => ({
            version: 1 as const,
            at: clock.currentTimeMillisUnsafe(),
            process: { pid: process.pid, uptime: 0, library: version, runtime: process.version },
            isRetiring,
            readiness,
            pools: Array.from(sources.pools.all, ({ name }) => nothingOf(name, required.includes(name))),
            history: { interval: options.interval, length: 0, pools: {}, resources: {} }
          }))
        ),
      readiness,
      retire: Effect.sync(() => {
        isRetiring = true
      }),
      control: () => Effect.void
    })
  })
