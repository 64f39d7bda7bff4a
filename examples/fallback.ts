/**
 * Fallbacks while a server is down: first a server, then its replica, then the last known value. The health of an endpoint
 * is known at once, so no request waits for an endpoint that is down.
 *
 * Run it with `node examples/fallback.ts` after `npm run build`.
 */
import { Console, Context, Data, Effect, ExecutionPlan, Layer } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Connector from "effect-sluice/Connector"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import * as RetryPolicy from "effect-sluice/RetryPolicy"

/** Servers that are up, in place of real ones. */
const up = new Set(["primary", "replica"])

const connector = Connector.make({
  open: (name: string) => up.has(name) ? Effect.succeed({ name }) : Effect.fail({ code: "ECONNREFUSED", name })
})

class Databases extends ConnectionPool.Service<Databases>()("example/Databases", {
  connector,
  retry: RetryPolicy.make({ maxAttempts: 1 })
}) {}

/** The source of a price. Each step of the plan provides another one. */
class Prices extends Context.Service<Prices, {
  readonly price: Effect.Effect<string, ConnectionPool.PoolError | KnownToBeDown>
}>()("example/Prices") {}

class KnownToBeDown extends Data.TaggedError("KnownToBeDown")<{ readonly name: string }> {
  override get message(): string {
    return `${this.name} is down`
  }
}

/** Fails at once when the endpoint is known to be down. */
const from = (name: string) =>
  Layer.effect(
    Prices,
    Effect.map(Databases, (pool) =>
      Prices.of({
        price: Effect.gen(function*() {
          if ((yield* ConnectionPool.health(pool, name)) === "Unavailable") return yield* new KnownToBeDown({ name })
          return yield* ConnectionPool.use(pool, name, (database) => Effect.succeed(`42 from the ${database.name}`))
        })
      }))
  )

const lastSeen = Layer.succeed(Prices, { price: Effect.succeed("41, as seen last") })

const plan = ExecutionPlan.make({ provide: from("primary") }, { provide: from("replica") }, { provide: lastSeen })

const price = Effect.flatMap(Prices, (prices) => prices.price).pipe(Effect.withExecutionPlan(plan))

const program = Effect.gen(function*() {
  yield* Console.log(yield* price)
  const pool = yield* Databases
  up.delete("primary")
  yield* ConnectionPool.evict(pool, "primary")
  yield* Console.log(yield* price)
  up.delete("replica")
  yield* ConnectionPool.evict(pool, "replica")
  yield* Console.log(yield* price)
  yield* Console.log(`the primary is ${yield* ConnectionPool.health(pool, "primary")}`)
})

await Effect.runPromise(program.pipe(Effect.provide(Databases.layer.pipe(Layer.provide(ResourceMonitor.layer)))))
