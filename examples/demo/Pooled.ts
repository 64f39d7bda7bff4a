/**
 * Makes requests through one pool, with a retry policy and the monitor's gate.
 */
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as JsonRpcClient from "effect-sluice/JsonRpcClient"
import { ResourceMonitor } from "effect-sluice/ResourceMonitor"
import * as RetryPolicy from "effect-sluice/RetryPolicy"
import * as Effect from "effect/Effect"
import { counted } from "./CountedConnector.ts"
import type { Tally, Target } from "./Tally.ts"

/** The server answers after 8 ms, or after 200 ms when it is slow. A later answer never comes. */
export const requestTimeout = "1 second"

/** Bounds closing a connection, and so the end of the demo. */
export const closeTimeout = "300 millis"

/** Dials are retried for at least 1.7 s, more than twice the longest outage of the server. */
const dialRetry = RetryPolicy.make({ initialDelay: 200, factor: 1.6, maxDelay: 800, jitter: 0.25, maxAttempts: 6 })

/** One attempt more than the misbehaviours that a request can meet in a row, with delays for the server to recover. */
const requestRetry = RetryPolicy.make({
  initialDelay: 50,
  factor: 2,
  maxDelay: 1000,
  jitter: "full",
  maxAttempts: 6,
  // A request that was cut off may have been executed. `ping` may be executed twice, which only the caller can know.
  idempotent: true,
  // A request opens no descriptor: the pool reserves room for each dial.
  descriptors: 0
})

/** Makes the pool, which the scope closes, and the function for one request. */
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
      retry: dialRetry
    })
    const known = new WeakSet<JsonRpcClient.JsonRpcClient>()

    const ping = (client: JsonRpcClient.JsonRpcClient) =>
      Effect.suspend(() => {
        tally.busy++
        return client.request("ping")
      }).pipe(
        // A slow answer looks like a mute connection, so a connection with a missing answer is closed.
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
      return RetryPolicy.retry(attempt, requestRetry, { label: target.label }).pipe(
        Effect.asVoid,
        Effect.ensuring(Effect.sync(() => void (tally.needingNew += neededNew ? 1 : 0))),
        Effect.provideService(ResourceMonitor, monitor)
      )
    }
  })
