/**
 * How the demo makes requests: through one pool, with a retry policy and past the monitor's gate.
 *
 * @since 0.1.0
 */
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as JsonRpcClient from "effect-sluice/JsonRpcClient"
import { ResourceMonitor } from "effect-sluice/ResourceMonitor"
import * as RetryPolicy from "effect-sluice/RetryPolicy"
import * as Effect from "effect/Effect"
import { counted } from "./CountedConnector.ts"
import type { Tally, Target } from "./Tally.ts"

/** An answer takes the server 8 ms, and 200 ms when it is slow. What takes longer than this never comes. */
export const requestTimeout = "1 second"

/** Bound on the end of a connection, and so on the end of the demo. */
export const closeTimeout = "300 millis"

/** Dialling goes on for at least 1.7 s, which is more than twice as long as the server's longest outage. */
const dialling = RetryPolicy.make({ initialDelay: 200, factor: 1.6, maxDelay: 800, jitter: 0.25, maxAttempts: 6 })

/** Once more than a request can meet with misbehaviour in a row, with time for the server in between. */
const requesting = RetryPolicy.make({
  initialDelay: 50,
  factor: 2,
  maxDelay: 1000,
  jitter: "full",
  maxAttempts: 6,
  // Nobody knows whether a request that was cut off was done. `ping` may be done twice, which is for the caller to say.
  idempotent: true,
  // A request opens nothing by itself: the pool claims room for each dial.
  descriptors: 0
})

/** Makes the pool, which is closed with the scope, and says how to make a request through it. */
export const make = (tally: Tally) =>
  Effect.gen(function*() {
    const monitor = yield* ResourceMonitor
    const connector = JsonRpcClient.connector({ connectTimeout: "1 second", requestTimeout, closeTimeout })
    const pool = yield* ConnectionPool.make({
      connector: counted(connector, tally, monitor),
      maxPerEndpoint: 2,
      maxTotal: 5,
      closeTimeout,
      drainTimeout: "200 millis",
      retry: dialling
    })
    const known = new WeakSet<JsonRpcClient.JsonRpcClient>()

    const ping = (client: JsonRpcClient.JsonRpcClient) =>
      Effect.suspend(() => {
        tally.busy++
        return client.request("ping")
      }).pipe(
        // The protocol cannot tell a slow answer from a connection that went mute, so a connection that owes one is closed.
        Effect.tapError((error) =>
          error.reason._tag === "RemoteError" ? Effect.void : ConnectionPool.invalidate(pool, client)
        ),
        Effect.ensuring(Effect.sync(() => void tally.busy--))
      )

    return (target: Target) => {
      let neededNew = false
      const attempt = Effect.suspend(() => {
        tally.attempts++
        return ConnectionPool.use(pool, target.endpoint, (client) => {
          if (!known.has(client)) neededNew = true
          known.add(client)
          return ping(client)
        })
      })
      return RetryPolicy.retry(attempt, requesting, { label: target.label }).pipe(
        Effect.asVoid,
        Effect.ensuring(Effect.sync(() => void (tally.needingNew += neededNew ? 1 : 0))),
        Effect.provideService(ResourceMonitor, monitor)
      )
    }
  })
