/**
 * What tests of a budget at Redis have in common: budgets at a server, and what the server itself says of them.
 */
import { Effect, Exit, Layer, Scope } from "effect"
import type { BudgetError, ConnectionBudget, Permit } from "effect-sluice/ConnectionBudget"
import * as RedisBudget from "effect-sluice/RedisBudget"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import { createClient } from "redis"

export const host = "127.0.0.1"

/** A budget with a monitor of its own. Calls have more time than by default, because machines of tests are busy. */
export const budget = (options: RedisBudget.Options): Effect.Effect<RedisBudget.RedisBudget, never, Scope.Scope> =>
  Effect.gen(function*() {
    const monitor = yield* Layer.build(Layer.fresh(ResourceMonitor.layerUnlimited))
    return yield* Effect.provide(RedisBudget.make({ host, storeTimeout: "2 seconds", ...options }), monitor)
  })

const request = { label: "db:5432", timeLeft: () => Infinity }

/** A permit, and what gives it back. */
export interface Taken {
  readonly permit: Permit
  readonly giveBack: Effect.Effect<void>
}

export const take = (from: ConnectionBudget): Effect.Effect<Taken, BudgetError> =>
  Effect.gen(function*() {
    const scope = yield* Scope.make()
    const permit = yield* Scope.provide(from.take(request), scope).pipe(
      Effect.onError(() => Scope.close(scope, Exit.void))
    )
    return { permit, giveBack: Scope.close(scope, Exit.void) }
  })

/** Takes a permit for as long as an effect runs. */
export const during = <A, E, R>(
  from: ConnectionBudget,
  use: (permit: Permit) => Effect.Effect<A, E, R>
): Effect.Effect<A, E | BudgetError, Exclude<R, Scope.Scope>> => Effect.scoped(Effect.flatMap(from.take(request), use))

const connect = (port: number) => createClient({ socket: { host, port } }).on("error", () => {}).connect()

/** A session of the test's own. */
export const observe = (port: number): Effect.Effect<Awaited<ReturnType<typeof connect>>, never, Scope.Scope> =>
  Effect.acquireRelease(Effect.promise(() => connect(port)), (client) => Effect.sync(() => client.destroy()))

/** How many scripts the server has run. */
export const evals = (client: Awaited<ReturnType<typeof connect>>): Effect.Effect<number> =>
  Effect.map(
    Effect.promise(() => client.sendCommand<string>(["INFO", "commandstats"])),
    (text) => [...text.matchAll(/cmdstat_eval(?:sha)?:calls=(\d+)/g)].reduce((sum, [, calls]) => sum + Number(calls), 0)
  )
