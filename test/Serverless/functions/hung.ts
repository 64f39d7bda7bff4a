/**
 * A function with many statements that hang, and a finalizer as the environment says.
 */
import { Effect, Layer } from "effect"
import * as Lambda from "effect-sluice/Lambda"
import * as Postgres from "effect-sluice/Postgres"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import * as SqlClient from "effect/sql/SqlClient"

const env = (name: string): string => process.env[name] ?? ""

const layer = Postgres.layer({
  host: "127.0.0.1",
  port: Number(env("PORT")),
  database: "postgres",
  username: "sluice",
  applicationName: env("APPLICATION"),
  maxConnections: 50
}).pipe(Layer.provide(ResourceMonitor.layer))

/** An option from the environment. Without it the library has its default. */
const millis = (name: string): number | undefined => env(name) === "" ? undefined : Number(env(name))

const finalizers: Record<string, Effect.Effect<void>> = {
  none: Effect.void,
  "of 5 s": Effect.sleep("5 seconds"),
  "that never ends": Effect.never
}

export const hung = () =>
  Lambda.handler({
    layer,
    margin: millis("MARGIN"),
    shutdownWindow: millis("WINDOW"),
    handle: ({ count }: { readonly count: number }) =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        yield* Effect.addFinalizer(() => finalizers[env("FINALIZER")] ?? Effect.void)
        yield* Effect.forEach(Array.from({ length: count }), () => sql`SELECT pg_sleep(60)`, {
          concurrency: "unbounded",
          discard: true
        })
      })
  })
