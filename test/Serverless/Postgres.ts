/**
 * The real PostgreSQL of the tests, and how many sessions it says there are.
 */
import * as PgConnection from "@effect/sql-pg/PgConnection"
import { Effect } from "effect"
import type { Scope } from "effect"
import * as Net from "node:net"

export const address = { host: "127.0.0.1", port: 5432 } as const
export const login = { database: "postgres", username: "postgres" } as const

/** Whether there is a server, and one that lets us in. */
export const isThere: boolean = await new Promise<boolean>((resolve) => {
  const socket = Net.connect(address, () => resolve(true)).on("error", () => resolve(false))
  socket.unref().setTimeout(1000, () => resolve(false))
  socket.on("connect", () => socket.destroy())
})

/** A session of the test's own, which knows what the server sees. */
export interface Observer {
  /** Sessions with this name. */
  readonly sessions: (application: string) => Effect.Effect<number>
  /** Sessions for which a condition holds. */
  readonly count: (condition: string, values: ReadonlyArray<unknown>) => Effect.Effect<number>
  /** Ends all sessions with this name that there are now. */
  readonly kill: (application: string) => Effect.Effect<void>
  /** Ends all sessions with this name, and waits until they are gone. */
  readonly terminate: (application: string) => Effect.Effect<void>
  /** The name of a session. */
  readonly applicationOf: (pid: number) => Effect.Effect<string>
  /** Waits until there is none, at most ten seconds, and says how many milliseconds that took: `Infinity` if they are still there. */
  readonly gone: (application: string, within?: number) => Effect.Effect<number>
}

/**
 * How many milliseconds the server takes to end so many sessions of a plain client that are closed at once: what no client can be
 * faster than on this machine.
 */
export const timeToEnd = (observer: Observer, count: number): Effect.Effect<number> =>
  Effect.gen(function*() {
    const application = `sluice-floor-${process.pid}`
    const opened = Effect.forEach(
      Array.from({ length: count }),
      () => PgConnection.make({ ...address, ...login, applicationName: application }),
      { concurrency: "unbounded" }
    )
    const begin = yield* Effect.orDie(Effect.scoped(Effect.map(opened, () => performance.now())))
    yield* observer.gone(application)
    return performance.now() - begin
  })

export const observe: Effect.Effect<Observer, never, Scope.Scope> = Effect.gen(function*() {
  const connection = yield* PgConnection.make({ ...address, ...login, applicationName: "sluice-observer" })
  const count = (condition: string, values: ReadonlyArray<unknown>) =>
    connection.query(`SELECT count(*)::int AS n FROM pg_stat_activity WHERE ${condition}`, values).pipe(
      Effect.map(({ rows }) => Number(rows[0]?.["n"])),
      Effect.orDie
    )
  const sessions = (application: string) => count("application_name = $1", [application])
  const applicationOf = (pid: number) =>
    connection.query("SELECT application_name AS name FROM pg_stat_activity WHERE pid = $1", [pid]).pipe(
      Effect.map(({ rows }) => String(rows[0]?.["name"])),
      Effect.orDie
    )
  const gone = (application: string, within = 10_000) =>
    Effect.gen(function*() {
      const start = performance.now()
      while ((yield* sessions(application)) > 0) {
        if (performance.now() - start > within) return Infinity
        yield* Effect.sleep("1 millis")
      }
      return performance.now() - start
    })
  const kill = (application: string) =>
    connection.query(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1",
      [application]
    ).pipe(Effect.orDie, Effect.asVoid)
  const terminate = (application: string) => Effect.andThen(kill(application), Effect.asVoid(gone(application)))
  return { count, sessions, applicationOf, gone, kill, terminate }
}).pipe(Effect.orDie)
