/**
 * A program that has what the dashboard and the alerts are about: an outage with borrowers that run out of time, a leak, refused
 * borrows, and an open circuit breaker.
 */
import { Effect, Fiber } from "effect"
import * as Breaker from "effect-sluice/Breaker"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Connector from "effect-sluice/Connector"
import * as Endpoint from "effect-sluice/Endpoint"
import type * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import * as RetryPolicy from "effect-sluice/RetryPolicy"

const primary = Endpoint.tcp("primary.internal", 5432)
/** It is down all the time. */
const replica = Endpoint.tcp("replica.internal", 5432)

const refused = Object.assign(new Error("connect ECONNREFUSED"), { code: "ECONNREFUSED" })

/** Each figure of a monitor, for `ResourceMonitor.layerTest`. */
export const readings: ResourceMonitor.TestReadings = {
  descriptors: 100,
  memory: 1e8,
  heap: 1e7,
  memoryPressure: 0.1,
  cpuPressure: 0.1,
  ioPressure: 0.1,
  loopDelay: 3,
  loopUtilization: 0.5,
  threads: 11,
  zombies: 1
}

/** Makes the pools. The result is one round of everything, of a second or two. */
export const make = Effect.gen(function*() {
  let isDown = false
  // Its attempts outlast acquireTimeout.
  const retry = RetryPolicy.make({
    initialDelay: "20 millis",
    maxDelay: "50 millis",
    maxAttempts: 1000,
    idempotent: true
  })
  const orders = yield* ConnectionPool.make({
    name: "orders",
    connector: Connector.make({
      open: (endpoint: Endpoint.Endpoint) =>
        endpoint === replica || isDown ? Effect.fail(refused) : Effect.succeed({ endpoint })
    }),
    maxPerEndpoint: 1,
    maxTotal: 2,
    acquireTimeout: "300 millis",
    leakThreshold: "200 millis",
    retry
  })
  const files = yield* ConnectionPool.make({
    name: "files",
    connector: Connector.make({ open: (path: string) => Effect.succeed({ path }) }),
    maxPerEndpoint: 1,
    maxTotal: 1,
    maxWaiters: 1,
    acquireTimeout: "300 millis"
  })
  const breaker = Breaker.make({ consecutiveFailures: 1, openTime: "10 seconds" })
  const reports = yield* ConnectionPool.make({
    name: "reports",
    connector: Connector.make({ open: (): Effect.Effect<object, Error> => Effect.fail(refused) }),
    acquireTimeout: "100 millis",
    retry: RetryPolicy.make({ initialDelay: "10 millis", maxAttempts: 2, idempotent: true, breaker })
  })

  const borrow = (endpoint: Endpoint.Endpoint, held = 5) =>
    ConnectionPool.use(orders, endpoint, () => Effect.sleep(held))
  const several = (endpoint: Endpoint.Endpoint) =>
    Effect.all(Array.from({ length: 5 }, () => Effect.exit(borrow(endpoint))), { concurrency: "unbounded" })
  const crowd = Effect.all(
    Array.from({ length: 4 }, () => Effect.exit(ConnectionPool.use(files, "log", () => Effect.sleep(400)))),
    { concurrency: "unbounded" }
  )

  return Effect.gen(function*() {
    const down = yield* Effect.forkChild(several(replica))
    yield* several(primary)
    isDown = true
    yield* ConnectionPool.evict(orders, primary)
    yield* several(primary)
    isDown = false
    yield* several(primary)
    // Longer than leakThreshold.
    yield* Effect.all([Effect.exit(borrow(primary, 400)), crowd], { concurrency: "unbounded" })
    yield* Effect.exit(ConnectionPool.use(reports, "warehouse", () => Effect.void))
    yield* Fiber.join(down)
    // It is known to be down, and a borrower waits for it.
    yield* Effect.forkChild(Effect.exit(borrow(replica)))
    yield* Effect.sleep("50 millis")
  })
})
