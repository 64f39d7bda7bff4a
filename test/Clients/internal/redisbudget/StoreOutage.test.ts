import { assert, describe, it } from "@effect/vitest"
import { BudgetError } from "effect-sluice/ConnectionBudget"
import * as Endpoint from "effect-sluice/Endpoint"
import { RedisError } from "effect/persistence/Redis"
import { StoreOutage } from "../../../../src/Clients/internal/redisbudget/StoreOutage.ts"
import { PoolClosed, PoolError } from "../../../../src/Pool/PoolError.ts"

const away = { onStoreError: "share", limit: 4, maxInstances: 2 } as const

const failure = (cause: unknown) =>
  new BudgetError({ budget: "k", detail: "its store has failed", cause: new RedisError({ cause }) })

const make = () => new StoreOutage("k", Endpoint.tcp("127.0.0.1", 6379))

describe("the lines about an outage of the store", () => {
  it("say nothing of a budget whose own pool is closed, which is no outage", () => {
    const outage = make()
    assert.isUndefined(outage.failed(failure(new PoolError({ reason: new PoolClosed({ key: "k" }) })), 0, away))
    assert.isUndefined(outage.isBack(5))
    assert.include(outage.failed(failure(new Error("refused")), 10, away)?.text, "is down")
  })

  it("have a unit where no time has passed", () => {
    const outage = make()
    outage.failed(failure(new Error("refused")), 10, away)
    assert.include(outage.isBack(10)?.text, "is back after less than 1ms;")
  })
})
