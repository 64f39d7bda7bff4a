import type * as PgClient from "@effect/sql-pg/PgClient"
import type { Config, Effect, Layer, Scope } from "effect"
import * as Postgres from "effect-sluice/Postgres"
import type { ResourceMonitor } from "effect-sluice/ResourceMonitor"
import type { Reactivity } from "effect/reactivity/Reactivity"
import type { SqlClient } from "effect/sql/SqlClient"
import { expectTrue, type Same } from "./expect.ts"

type Services = PgClient.PgClient | Postgres.Pool | SqlClient

// The layer provides what `PgClient.layer` does, and the pool; it needs the monitor, and fails with nothing.
expectTrue<Same<ReturnType<typeof Postgres.layer>, Layer.Layer<Services, never, ResourceMonitor>>>()
expectTrue<Same<ReturnType<typeof Postgres.layerConfig>, Layer.Layer<Services, Config.ConfigError, ResourceMonitor>>>()
expectTrue<
  Same<
    ReturnType<typeof Postgres.make>,
    Effect.Effect<PgClient.PgClient, never, Reactivity | ResourceMonitor | Scope.Scope>
  >
>()

// A program that was written for `PgClient.layer` is provided with ours where it was with that.
declare const program: Effect.Effect<number, "failed", PgClient.PgClient | SqlClient>
declare const provide: <ROut, E>(
  effect: typeof program,
  layer: Layer.Layer<ROut, E, ResourceMonitor>
) => Effect.Effect<number, "failed" | E, ResourceMonitor | Exclude<PgClient.PgClient | SqlClient, ROut>>
const provided = provide(program, Postgres.layer({}))
expectTrue<Same<typeof provided, Effect.Effect<number, "failed", ResourceMonitor>>>()

// Every option of `PgClient.layer` is one of ours, but for the socket, which the pool dials.
declare const options: Omit<PgClient.PgPoolConfig, "stream">
Postgres.layer(options)
// @ts-expect-error: the pool dials
Postgres.layer({ stream: () => null as never })
// @ts-expect-error: a password cannot fail with a typed error
Postgres.layer({ password: null as unknown as Effect.Effect<never, "no token"> })
