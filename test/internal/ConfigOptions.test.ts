/**
 * Options from `Config`, of everything that has no layer of its own or one without a pool: what they make, and how they fail.
 */
import { assert, describe, it } from "@effect/vitest"
import { Config, ConfigProvider, Context, Duration, Effect, Layer, Option } from "effect"
import * as Breaker from "effect-sluice/Breaker"
import * as ConnectionBudget from "effect-sluice/ConnectionBudget"
import * as RetryBudget from "effect-sluice/RetryBudget"
import * as RetryPolicy from "effect-sluice/RetryPolicy"
import { invalidOption } from "../support/InvalidOption.ts"

const providing = (values: Record<string, unknown>) =>
  Effect.provide(ConfigProvider.layer(ConfigProvider.fromUnknown(values)))

const value = Config.Int("VALUE")

/** How many permits a budget has. */
const permitsOf = ({ take }: ConnectionBudget.ConnectionBudget) =>
  Effect.gen(function*() {
    let count = 0
    // A permit that is there is taken at once.
    while (
      Option.isSome(yield* Effect.timeoutOption(take({ label: "db", timeLeft: () => Infinity }), "50 millis"))
    ) count++
    return count
  }).pipe(Effect.scoped)

const budgetOf = (layer: Layer.Layer<never, Config.ConfigError>) =>
  Effect.scoped(Effect.map(Layer.build(layer), (context) => Context.get(context, ConnectionBudget.ConnectionBudget)))

const made: Record<
  string,
  readonly [read: Effect.Effect<ReadonlyArray<unknown>, Config.ConfigError>, invalid: string]
> = {
  "RetryPolicy.makeConfig": [
    Effect.map(RetryPolicy.makeConfig({ maxAttempts: value }, RetryPolicy.network), ({ maxAttempts, maxDelay }) => [
      maxAttempts,
      Duration.equals(maxDelay, RetryPolicy.network.maxDelay)
    ]),
    "RetryPolicy: option maxAttempts is 0"
  ],
  "RetryBudget.makeConfig": [
    Effect.flatMap(
      RetryBudget.makeConfig({ capacity: value }),
      (budget) => Effect.map(RetryBudget.balance(budget), (balance) => [balance, true])
    ),
    "RetryBudget: option capacity is 0"
  ],
  "RetryBudget.makeKeyedConfig": [
    Effect.flatMap(
      RetryBudget.makeKeyedConfig({ capacity: value }),
      (budget) => Effect.map(RetryBudget.balance(budget, "db"), (balance) => [balance, true])
    ),
    "RetryBudget: option capacity is 0"
  ],
  "Breaker.makeConfig": [
    Effect.flatMap(
      Breaker.makeConfig({ maxLabels: value }),
      (breaker) => Effect.map(Breaker.state(breaker, "db"), ({ _tag }) => [4, _tag === "Closed"])
    ),
    "Breaker: option maxLabels is 0"
  ],
  "ConnectionBudget.layerConfig": [
    Effect.map(budgetOf(ConnectionBudget.layerConfig({ connections: value })), (budget) => [
      4,
      budget !== ConnectionBudget.unlimited
    ]),
    "ConnectionBudget: option connections is 0"
  ]
}

describe("options from Config", () => {
  for (const [name, [read, invalid]] of Object.entries(made)) {
    it.effect(`${name} reads them, and fails with ConfigError where one is missing or invalid`, () =>
      Effect.gen(function*() {
        assert.deepStrictEqual(yield* providing({ VALUE: "4" })(read), [4, true])
        const failures = [[{}, "VALUE"], [{ VALUE: "many" }, "VALUE"], [{ VALUE: "0" }, invalid]] as const
        for (const [values, message] of failures) {
          const error = yield* Effect.flip(providing(values)(read))
          assert.strictEqual(error._tag, "ConfigError")
          assert.include(error.message, message)
        }
      }))
  }

  it.effect("are one Config for all of them as well", () =>
    Effect.gen(function*() {
      const { jitter, maxAttempts } = yield* providing({ VALUE: "4" })(
        RetryPolicy.makeConfig(Config.map(value, (maxAttempts) => ({ maxAttempts, jitter: "full" as const })))
      )
      assert.deepStrictEqual([maxAttempts, jitter], [4, "full"])
    }))
})

describe("ConnectionBudget.layerOptions", () => {
  it.live("has so many connections, and dies of a number that makes no sense", () =>
    Effect.gen(function*() {
      const budget = yield* budgetOf(ConnectionBudget.layerOptions({ connections: 3 }))
      assert.strictEqual(yield* permitsOf(budget), 3)
      const error = yield* invalidOption(budgetOf(ConnectionBudget.layerOptions({ connections: 0 })))
      assert.include(error.message, "ConnectionBudget: option connections is 0")
    }))
})
