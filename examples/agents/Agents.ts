/**
 * The shared module of the examples for platforms: a pool of connections to newline-delimited JSON-RPC servers. Copy it
 * beside the example that you deploy.
 */
import { Config, Context, Duration, Effect, Layer } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Endpoint from "effect-sluice/Endpoint"
import * as JsonRpcClient from "effect-sluice/JsonRpcClient"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"

/** The service that a request uses. */
export class Agents extends Context.Service<Agents, {
  readonly double: (n: number) => Effect.Effect<unknown, JsonRpcClient.JsonRpcError | ConnectionPool.PoolError>
}>()("example/Agents") {}

/** Concurrent requests share one connection, which JSON-RPC allows. */
const options = { ...ConnectionPool.serverless, concurrency: 100 }

/** The pool, for the server at this endpoint. */
export const layerOf = (
  text: string,
  times: { readonly idleTimeout: Duration.Input } = options
): Layer.Layer<Agents, Endpoint.EndpointError, ResourceMonitor.ResourceMonitor> =>
  Layer.effect(
    Agents,
    Effect.gen(function*() {
      const endpoint = yield* Endpoint.parse(text)
      const connector = JsonRpcClient.connector({ requestTimeout: "5 seconds" })
      const pool = yield* ConnectionPool.make({ connector, ...options, ...times })
      return Agents.of({
        double: (n) => ConnectionPool.use(pool, endpoint, (client) => client.request("double", { n }))
      })
    })
  )

/** The pool for the server in the environment, such as `agents.internal:9500`. */
export const layer = (times?: { readonly idleTimeout: Duration.Input }) =>
  Layer.unwrap(Effect.map(Config.String("AGENTS_ENDPOINT"), (text) => layerOf(text, times)))
