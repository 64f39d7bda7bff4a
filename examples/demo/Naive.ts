/**
 * Makes requests without a pool, for comparison: a dial for each attempt, no bound on concurrent dials, and a retry loop
 * that never closes the connection of a failed attempt.
 */
import * as JsonRpcClient from "effect-sluice/JsonRpcClient"
import { ResourceMonitor } from "effect-sluice/ResourceMonitor"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import { counted } from "./CountedConnector.ts"
import { closeTimeout, requestTimeout } from "./Pooled.ts"
import type { Tally, Target } from "./Tally.ts"

/** Three attempts with a fixed delay after any failure. */
const again = Schedule.max([Schedule.spaced("100 millis"), Schedule.recurs(2)])

/** Makes the function for one request. Leaked connections stay open until `forgotten` is closed. */
export const make = (tally: Tally, forgotten: Scope.Scope) =>
  Effect.gen(function*() {
    const monitor = yield* ResourceMonitor
    const connector = counted(
      JsonRpcClient.connector({ connectTimeout: "1 second", requestTimeout, closeTimeout }),
      tally,
      monitor
    )
    const attempt = (target: Target) =>
      Effect.gen(function*() {
        tally.attempts++
        const scope = yield* Scope.fork(forgotten)
        return yield* connector.open(target.endpoint).pipe(
          Effect.tap(() => Effect.sync(() => void tally.busy++)),
          Effect.flatMap((client) => Effect.ensuring(client.request("ping"), Effect.sync(() => void tally.busy--))),
          Scope.provide(scope),
          Effect.tap(() => Scope.close(scope, Exit.void))
        )
      })
    return (target: Target) => {
      tally.needingNew++
      return Effect.asVoid(Effect.retry(attempt(target), again))
    }
  })
