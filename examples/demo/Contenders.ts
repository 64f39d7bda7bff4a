/**
 * Who takes part, ours first.
 */
import * as DialPerRequest from "./contenders/DialPerRequest.ts"
import * as LightningPool from "./contenders/LightningPool.ts"
import { databaseLimits, type Limits, limits } from "./contenders/Limits.ts"
import * as PgPool from "./contenders/PgPool.ts"
import * as Sluice from "./contenders/Sluice.ts"
import * as SluicePostgres from "./contenders/SluicePostgres.ts"
import * as SqlPg from "./contenders/SqlPg.ts"
import type { ContenderId } from "./Messages.ts"

/** A contender, by its name in the report, with the options that it uses. */
export interface Entrant {
  readonly id: ContenderId
  readonly name: string
  readonly options: Readonly<Record<string, string>>
}

/** The contenders of a run, and what each of them may use. */
export interface Field {
  readonly entrants: ReadonlyArray<Entrant>
  readonly limits: Limits
}

/** Before the demo's own server. */
export const embedded: Field = {
  limits,
  entrants: [
    { id: "Sluice", name: "effect-sluice", options: Sluice.optionsOf(limits) },
    { id: "LightningPool", name: "lightning-pool, p-retry", options: LightningPool.optionsOf(limits) },
    { id: "DialPerRequest", name: "dial per request, p-retry", options: DialPerRequest.optionsOf(limits) }
  ]
}

/** Before a database. A dial per request is not among them: it could take all connections of a database that others use. */
export const postgres: Field = {
  limits: databaseLimits,
  entrants: [
    { id: "SluicePostgres", name: "effect-sluice/Postgres", options: SluicePostgres.optionsOf(databaseLimits) },
    { id: "PgPool", name: "pg.Pool, p-retry", options: PgPool.optionsOf(databaseLimits) },
    { id: "SqlPg", name: "@effect/sql-pg, Effect.retry", options: SqlPg.optionsOf(databaseLimits) }
  ]
}

/**
 * The connections that a database needs room for. After a frozen time it may have two sets of them for each contender: those that are
 * closed, which it has not seen yet, and new ones.
 */
export const roomFor = ({ entrants, limits }: Field): number => 2 * entrants.length * limits.connections
