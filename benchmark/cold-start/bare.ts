// A function on the PostgreSQL client of Effect, without this library.
import * as PgClient from "@effect/sql-pg/PgClient"
import * as ManagedRuntime from "effect/ManagedRuntime"
import { greeting, login } from "./program.ts"

const runtime = ManagedRuntime.make(PgClient.layer({ ...login, maxConnections: 1 }))

export const handler = (): Promise<unknown> => runtime.runPromise(greeting)
