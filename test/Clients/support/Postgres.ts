/**
 * Programs over our layer and over `PgClient.layer`, on the real PostgreSQL of the tests, with a session of the test's own that knows what the
 * server sees.
 */
import type * as PgClient from "@effect/sql-pg/PgClient"
import * as PgConnection from "@effect/sql-pg/PgConnection"
import { Effect, Layer } from "effect"
import type { Scope } from "effect"
import * as Postgres from "effect-sluice/Postgres"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import type * as SqlClient from "effect/sql/SqlClient"
import { address, login, observe, type Observer } from "../../Serverless/Postgres.ts"

export type Services = PgClient.PgClient | Postgres.Pool | SqlClient.SqlClient

let count = 0

/** A name of its own for each test, by which its sessions are counted. */
export const applicationName = (): string => `sluice-pg-${process.pid}-${++count}`

export const layer = (options: Postgres.Options = {}): Layer.Layer<Services> =>
  Postgres.layer({ ...address, ...login, ...options }).pipe(Layer.provide(Layer.fresh(ResourceMonitor.layer)))

export interface Case {
  readonly observer: Observer
  /** The name of the sessions of the case. */
  readonly name: string
  /** How many of its sessions are in this state, such as `active`. */
  readonly inState: (state: string) => Effect.Effect<number>
}

/** Runs a program over our layer, and then asserts that the server has none of its sessions left. */
export const withClient = <A, E>(
  options: Postgres.Options,
  f: (test: Case) => Effect.Effect<A, E, Scope.Scope | Services>
) =>
  Effect.gen(function*() {
    const observer = yield* observe
    const name = applicationName()
    const inState = (state: string) => observer.count("application_name = $1 and state = $2", [name, state])
    const program = f({ observer, name, inState }).pipe(
      Effect.scoped,
      Effect.provide(layer({ applicationName: name, ...options }))
    )
    const result = yield* program
    // A server takes a moment to end the process of a session that it was told to end.
    const left = yield* observer.gone(name)
    if (left === Infinity) return yield* Effect.die(new Error(`sessions are left: ${yield* observer.sessions(name)}`))
    return result
  })

/** As {@link withClient}, in a schema of its own, which is dropped afterwards. */
export const withSchema = <A, E>(
  options: Postgres.Options,
  f: (test: Case) => Effect.Effect<A, E, Scope.Scope | Services>
) =>
  Effect.gen(function*() {
    const schema = applicationName().replaceAll("-", "_")
    const admin = yield* Effect.orDie(PgConnection.make({ ...address, ...login, applicationName: "sluice-observer" }))
    yield* Effect.acquireRelease(
      Effect.orDie(admin.query(`create schema ${schema}`)),
      () => Effect.orDie(admin.query(`drop schema ${schema} cascade`))
    )
    return yield* withClient({ ...options, startupParameters: { search_path: schema } }, f)
  })
