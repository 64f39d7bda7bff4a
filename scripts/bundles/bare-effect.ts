// The floor: a program with Effect's own pool and nothing of ours.
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Pool from "effect/Pool"
import * as Schedule from "effect/Schedule"

const make = Pool.makeWithTTL({ acquire: Effect.succeed("db"), min: 0, max: 2, timeToLive: "1 minute" })

const use = Effect.scoped(Effect.flatMap(make, (pool) => Pool.use(pool, Effect.succeed)))

export const program = ManagedRuntime.make(Layer.empty).runPromise(Effect.retry(use, Schedule.exponential("1 second")))
