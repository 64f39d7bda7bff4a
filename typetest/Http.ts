import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { Config, Effect } from "effect"
import type * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Http from "effect-sluice/Http"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import * as HttpClient from "effect/http/HttpClient"
import type { HttpClientError } from "effect/http/HttpClientError"
import * as Layer from "effect/Layer"
import { expectTrue, type Same } from "./expect.ts"

// A program needs no other type with our layer than with Effect's.
const program = Effect.flatMap(HttpClient.get("http://127.0.0.1/"), (response) => response.text)
const before = Effect.provide(program, NodeHttpClient.layerUndici)
const after = Effect.provide(program, Http.layer().pipe(Layer.provide(ResourceMonitor.layer)))
expectTrue<Same<typeof before, Effect.Effect<string, HttpClientError>>>()
expectTrue<Same<typeof after, typeof before>>()

// The layer opens nothing, so that it cannot fail.
type Provided = HttpClient.HttpClient | NodeHttpClient.Dispatcher | Http.Pool
const layer = Http.layer({ maxPerOrigin: 10 })
expectTrue<Same<typeof layer, Layer.Layer<Provided, never, ResourceMonitor.ResourceMonitor>>>()
const layerConfig = Http.layerConfig({ maxPerOrigin: Config.Int("PER_ORIGIN") })
expectTrue<Same<typeof layerConfig, Layer.Layer<Provided, Config.ConfigError, ResourceMonitor.ResourceMonitor>>>()

declare const pool: Http.Pool["Service"]
expectTrue<Same<typeof pool, ConnectionPool.ConnectionPool<string, Http.Connection>>>()

// @ts-expect-error the cap of a pool is called after origins here
export const refused = Http.layer({ maxPerEndpoint: 1 })
