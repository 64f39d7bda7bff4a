import { assert, it } from "@effect/vitest"
import { Duration } from "effect"
import { logLineOf } from "../../../src/Operations/internal/OutageText.ts"
import * as PoolError from "../../../src/Pool/PoolError.ts"

const counts = { total: 2, active: 2, idle: 0, connecting: 0, closing: 0, leftBehind: 0, waiting: 1 }

const timeout = (stalledBy: PoolError.StalledBy): PoolError.PoolError =>
  new PoolError.PoolError({
    reason: new PoolError.AcquireTimeout({
      key: "db",
      after: Duration.seconds(1),
      stalledBy,
      position: 1,
      endpoint: counts,
      pool: counts,
      holders: [],
      isServerFull: false,
      cause: undefined
    })
  })

const messageOf = (cause: unknown): string =>
  logLineOf(
    "orders",
    { _tag: "Down", endpoint: "db", waiting: 1, failed: { attempts: 0, borrows: 1, cause }, for: 0 },
    () => undefined
  ).message

it("does not blame the server alone where all connections are held", () => {
  const either =
    "; the server is silent, or its borrowers keep their connections for much longer than before; 1 borrower waits"
  assert.include(messageOf(timeout("EndpointCap")), either)
  assert.include(messageOf(timeout("EndpointCap")), "db serves no borrower: ")
  assert.include(messageOf(timeout("Connecting")), "db is down: ")
  assert.notInclude(messageOf(timeout("Connecting")), "the server is silent")
})
