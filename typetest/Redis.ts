import * as NodeRedis from "@effect/platform-node/NodeRedis"
import * as Redis from "effect-sluice/Redis"
import type * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import type * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as PersistedQueue from "effect/persistence/PersistedQueue"
import { Redis as Service, type RedisError } from "effect/persistence/Redis"
import { expectTrue, type Same } from "./expect.ts"

type Monitor = ResourceMonitor.ResourceMonitor
declare const monitor: Layer.Layer<Monitor>

// The layer gives the service that NodeRedis gives, needs the monitor, and cannot fail.
const layer = Redis.layer({ url: "redis://localhost", maxConnections: 5, acquireTimeout: "1 second" })
expectTrue<Same<typeof layer, Layer.Layer<Service | Redis.Pool, never, Monitor>>>()

// One program, with the layer of NodeRedis and with ours.
const program = Effect.gen(function*() {
  const redis = yield* Service
  const queue = yield* redis.subscribe("channel")
  const { send } = yield* redis.reserve
  return [yield* redis.send<number>("INCR", "key"), yield* send<string>("PING"), queue] as const
})
const native = Effect.scoped(Effect.provide(program, NodeRedis.layer({ url: "redis://localhost" })))
const ours = Effect.scoped(Effect.provide(program, Layer.provide(layer, monitor)))
expectTrue<Same<typeof native, typeof ours>>()

// What is built on the service is built on ours.
const queues = Layer.provide(PersistedQueue.layerStoreRedis(), Layer.provide(layer, monitor))
expectTrue<Same<Layer.Services<typeof queues>, never>>()

// What the password needs, the layer needs.
declare const password: Effect.Effect<string, "Expired", "Vault">
const needing = Redis.layer({ password })
expectTrue<Same<typeof needing, Layer.Layer<Service | Redis.Pool, never, Monitor | "Vault">>>()

// From Config, what is missing or wrong is the error.
declare const url: Config.Config<string>
const configured = Redis.layerConfig({ url })
expectTrue<Same<typeof configured, Layer.Layer<Service | Redis.Pool, Config.ConfigError, Monitor>>>()

// The functions of NodeRedis.use run on ours.
declare const useNative: NodeRedis.NodeRedis["Service"]["use"]
type RedisUse = Redis.RedisPool["use"]
const get = (use: typeof useNative) => use((client) => client.get("key"))
expectTrue<Same<ReturnType<typeof get>, Effect.Effect<string | null, RedisError>>>()
expectTrue<Same<RedisUse, typeof useNative>>()

// @ts-expect-error reconnection is the pool's
Redis.layer({ clientOptions: { socket: { reconnectStrategy: 1000 } } })
