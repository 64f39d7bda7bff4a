/**
 * Does what an operator has asked for.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import { safeMessage } from "../../internal/SafeText.ts"
import { report } from "../../internal/UnhandledLog.ts"
import type { PoolRegistry, RegisteredPool } from "../../Pool/PoolRegistry.ts"
import { ControlError } from "../ControlError.ts"
import type { Control } from "../Service.ts"
import { type LogLine, writeLine } from "./LogLine.ts"

/** The live pool with this name. */
export const poolNamed = ({ all }: Pick<PoolRegistry, "all">, name: string): RegisteredPool | undefined => {
  let found: RegisteredPool | undefined
  // A pool that is being drained comes after the one that has followed it.
  for (const pool of all) if (pool.name === name && (found === undefined || found.core.isOver)) found = pool
  return found
}

/** The names of the pools, each once. */
export const namesOf = ({ all }: Pick<PoolRegistry, "all">): ReadonlyArray<string> => [
  ...new Set(Array.from(all, ({ name }) => name))
]

/**
 * Begins to drain a pool. The drain goes on when the fiber that has asked for it ends: an operator's request must not hold up the end, and
 * must not stop it.
 */
const drain = ({ drain, name, settings }: RegisteredPool): Effect.Effect<void> =>
  drain(settings.drainTimeout).pipe(
    Effect.catchCauseIf(
      (cause) => !Cause.hasInterruptsOnly(cause),
      (cause) => report(`Operations: the drain of pool ${name} has failed`, cause)
    ),
    Effect.forkDetach({ startImmediately: true }),
    Effect.asVoid
  )

const missing = (what: "endpoint" | "lease", name: string): Effect.Effect<void, ControlError> =>
  Effect.fail(new ControlError({ what, name }))

const act = (pool: RegisteredPool, command: Control): Effect.Effect<void, ControlError> =>
  Effect.suspend(() => {
    switch (command._tag) {
      case "Evict":
        if (command.endpoint === undefined) {
          pool.core.evict()
          return Effect.void
        }
        return pool.evictEndpoint(command.endpoint) ? Effect.void : missing("endpoint", command.endpoint)
      case "Suspend":
        pool.core.suspend("wait")
        return Effect.void
      case "Resume":
        pool.core.resume()
        return Effect.void
      case "Drain":
        return drain(pool)
      case "EndLease":
        return pool.endLease(command.lease) ? Effect.void : missing("lease", String(command.lease))
    }
  })

const what: Record<Control["_tag"], string> = {
  Evict: "its connections are evicted",
  Suspend: "it is suspended",
  Resume: "it is resumed",
  Drain: "it is drained, and ends",
  EndLease: "a lease is ended"
}

const targetOf = (command: Control): Readonly<Record<string, string | number>> =>
  command._tag === "Evict" && command.endpoint !== undefined
    ? { "sluice.pool.endpoint": command.endpoint }
    : command._tag === "EndLease"
    ? { "sluice.lease": command.lease }
    : {}

const lineOf = (command: Control): LogLine => ({
  level: "Info",
  message: safeMessage(`ConnectionPool ${command.pool}: ${what[command._tag]}, as an operator has asked`),
  annotations: {
    "db.client.connection.pool.name": command.pool,
    "sluice.control": command._tag,
    ...targetOf(command)
  }
})

/** Does what an operator has asked for with one of these pools, and logs it. */
export const control = (pools: Pick<PoolRegistry, "all">, command: Control): Effect.Effect<void, ControlError> =>
  Effect.suspend(() => {
    const pool = poolNamed(pools, command.pool)
    return pool === undefined
      ? Effect.fail(new ControlError({ what: "pool", name: command.pool, pools: namesOf(pools) }))
      : Effect.andThen(act(pool, command), writeLine(lineOf(command)))
  })
