/**
 * The API over its two pools, with one monitor for both.
 */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { Config, Effect, Layer, Redacted } from "effect"
import * as Postgres from "effect-sluice/Postgres"
import * as Redis from "effect-sluice/Redis"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import * as HttpRouter from "effect/http/HttpRouter"
import { createServer } from "node:http"
import * as Cache from "./Cache.ts"
import * as Products from "./Products.ts"
import * as Routes from "./Routes.ts"

/** Opens its first session with the first statement, and never more than `maxConnections`. */
const Database = Postgres.layerConfig({
  url: Config.withDefault(
    Config.Redacted("DATABASE_URL"),
    Redacted.make("postgres://postgres@127.0.0.1:5432/postgres")
  ),
  applicationName: Config.succeed("sluice-api"),
  maxConnections: Config.withDefault(Config.Int("DATABASE_CONNECTIONS"), 10),
  acquireTimeout: Config.succeed("2 seconds" as const)
})

const CacheServer = Redis.layerConfig({
  url: Config.withDefault(Config.String("REDIS_URL"), "redis://127.0.0.1:6379"),
  clientName: Config.succeed("sluice-api"),
  commandTimeout: Config.succeed("500 millis" as const)
})

const Stored = Layer.provide(
  Layer.merge(Products.layer, Layer.effectDiscard(Products.migrate)),
  Database
)

const Cached = Layer.provide(
  Layer.unwrap(Effect.map(Config.withDefault(Config.String("CACHE_PREFIX"), "api"), Cache.layer)),
  CacheServer
)

/** `ResourceMonitor.layer` is a constant, so that both pools pass one gate. */
const Services = Layer.provideMerge(Layer.merge(Stored, Cached), ResourceMonitor.layer)

const Server = NodeHttpServer.layerConfig(createServer, {
  port: Config.withDefault(Config.Int("PORT"), 3000),
  gracefulShutdownTimeout: Config.succeed("2 seconds" as const)
})

export const layer = HttpRouter.serve(Routes.layer, { disableLogger: true }).pipe(
  Layer.provide(Services),
  Layer.provide(Server)
)
