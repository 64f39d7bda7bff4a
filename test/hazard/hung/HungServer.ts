/**
 * A PostgreSQL of the test's own with room for many sessions, and what it says of statements that hang.
 */
import * as PgConnection from "@effect/sql-pg/PgConnection"
import { Effect, Schedule } from "effect"
import type { Scope } from "effect"
import * as Net from "node:net"
import { Client } from "pg"
import * as Servers from "../../support/Servers.ts"

export const user = "sluice"
export const database = "postgres"

export interface HungServer {
  readonly port: number
  /** Waits until so many statements of an application hang. */
  readonly hanging: (application: string, count: number) => Effect.Effect<void>
  /** Waits until the server has no session of an application, ten seconds if nothing else is said. Returns when: `Infinity` for never. */
  readonly gone: (application: string, within?: number) => Effect.Effect<number>
  /** The milliseconds in which so many statements of plain clients are cancelled and their sessions gone. */
  readonly floor: (count: number) => Effect.Effect<number>
}

interface Plain extends Client {
  readonly processID: number
  readonly secretKey: number
}

/** A CancelRequest, as the documentation of PostgreSQL's protocol has it. */
const cancelRequest = ({ processID, secretKey }: Plain): Uint8Array => {
  const request = Buffer.alloc(16)
  for (const [at, value] of [16, 80877102, processID, secretKey].entries()) request.writeInt32BE(value, 4 * at)
  return request
}

const application = "sluice-floor"

const endPlainly = async (port: number, count: number): Promise<number> => {
  const clients = Array.from(
    { length: count },
    () => new Client({ host: "127.0.0.1", port, user, database, application_name: application }) as Plain
  )
  await Promise.all(clients.map((client) => client.connect()))
  const statements = clients.map((client) => client.query("SELECT pg_sleep(60)").catch(() => undefined))
  await new Promise((resolve) => setTimeout(resolve, 300))
  const start = performance.now()
  for (const client of clients) Net.connect(port, "127.0.0.1").on("error", () => {}).end(cancelRequest(client))
  await Promise.all(statements)
  await Promise.all(clients.map((client) => client.end()))
  return start
}

/** Starts the server. */
export const make: Effect.Effect<HungServer, never, Scope.Scope> = Effect.gen(function*() {
  const { port } = yield* Servers.postgresWith({
    access: ["host all all 127.0.0.1/32 trust"],
    settings: ["max_connections=120"]
  })
  const observer = yield* PgConnection.make({ host: "127.0.0.1", port, username: user, database }).pipe(
    // A server that listens may still be starting up.
    Effect.retry({ times: 100, schedule: Schedule.spaced("50 millis") }),
    Effect.orDie
  )
  const count = (application: string, condition: string) =>
    observer.query(
      `SELECT count(*)::int AS n FROM pg_stat_activity WHERE application_name = $1 AND ${condition}`,
      [application]
    ).pipe(Effect.map(({ rows }) => Number(rows[0]?.["n"])), Effect.orDie)
  const until = (counted: Effect.Effect<number>, goal: number, within = 10_000) =>
    Effect.gen(function*() {
      const start = performance.now()
      while ((yield* counted) !== goal) {
        if (performance.now() - start > within) return Infinity
        yield* Effect.sleep("2 millis")
      }
      return performance.now()
    })
  const gone = (application: string, within?: number) => until(count(application, "true"), 0, within)
  return {
    port,
    hanging: (application, statements) =>
      Effect.flatMap(
        until(count(application, "state = 'active' AND query LIKE '%pg_sleep%'"), statements),
        (at) => at === Infinity ? Effect.die(new Error(`fewer than ${statements} statements hang`)) : Effect.void
      ),
    gone,
    floor: (count) =>
      Effect.flatMap(
        Effect.promise(() => endPlainly(port, count)),
        (start) => Effect.map(gone(application), (end) => end - start)
      )
  }
})
