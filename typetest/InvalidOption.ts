import * as ConnectionPool from "effect-sluice/ConnectionPool"
import type * as Connector from "effect-sluice/Connector"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import * as Settings from "effect-sluice/Settings"
import * as Config from "effect/Config"
import type * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import { expectTrue, type Same } from "./expect.ts"

declare const connector: Connector.Connector<string, number, "Refused">
declare const pool: ConnectionPool.ConnectionPool<string, number>

// Options that make no sense are a mistake in the program: no constructor and no layer has an error for them.
const made = ConnectionPool.make({ connector })
expectTrue<Same<Effect.Error<typeof made>, never>>()
const resized = ConnectionPool.resize(pool, { maxTotal: 3 })
expectTrue<Same<typeof resized, Effect.Effect<void>>>()

class Numbers extends ConnectionPool.Service<Numbers>()("typetest/Numbers", { connector }) {}
expectTrue<Same<typeof Numbers.layer, Layer.Layer<Numbers, never, ResourceMonitor.ResourceMonitor>>>()

expectTrue<Same<typeof ResourceMonitor.layer, Layer.Layer<ResourceMonitor.ResourceMonitor>>>()
const monitor = ResourceMonitor.layerOptions({ maxConnections: 10 })
expectTrue<Same<typeof monitor, Layer.Layer<ResourceMonitor.ResourceMonitor>>>()

// What comes from outside fails with `ConfigError`.
const configured = ResourceMonitor.layerConfig({ maxConnections: Config.Int("CONNECTIONS") })
expectTrue<Same<typeof configured, Layer.Layer<ResourceMonitor.ResourceMonitor, Config.ConfigError>>>()
expectTrue<
  Same<
    typeof Settings.layer,
    Layer.Layer<Settings.Settings | ResourceMonitor.ResourceMonitor, Config.ConfigError>
  >
>()
