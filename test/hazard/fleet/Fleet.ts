/**
 * A fleet of instances in processes of its own, and what its server says of it.
 */
import { Effect, Schedule, Scope } from "effect"
import { build, stop } from "esbuild"
import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import * as Readline from "node:readline"
import { Client } from "pg"
import { fleet } from "../../support/Figures.ts"
import * as Servers from "../../support/Servers.ts"

/** A client of the driver. */
export type PgClient = Client

/** How an invocation has ended. */
export interface Outcome {
  readonly error?: string
  readonly millis: number
}

export const logged: Array<string> = []

/** One process. */
class Process {
  readonly #child: ChildProcess.ChildProcess
  readonly #answers: Array<(answer: unknown) => void> = []
  readonly ready: Promise<unknown>

  constructor(file: string, args: ReadonlyArray<string>, cache: string) {
    this.#child = ChildProcess.spawn(process.execPath, [file, ...args], {
      stdio: ["pipe", "pipe", "inherit"],
      env: { ...process.env, NODE_COMPILE_CACHE: cache }
    })
    this.#child.once("exit", () => this.#answers.forEach((answer) => answer({ crash: "an instance has ended" })))
    this.ready = this.#next()
    const { stdout } = this.#child
    if (stdout === null) return
    Readline.createInterface(stdout).on("line", (line) => {
      // The other lines are what the library has logged.
      if (line.startsWith("= ")) this.#answers.shift()?.(JSON.parse(line.slice(2)))
      else logged.push(line)
    })
  }

  #next(): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#answers.push((answer) =>
        typeof answer === "object" && answer !== null && "crash" in answer ? reject(answer.crash) : resolve(answer)
      )
    })
  }

  /** A frozen process goes on when it is asked for something, as an instance of a function does. */
  ask(line: string): Promise<unknown> {
    this.#child.stdin?.write(`${line}\n`)
    const answer = this.#next()
    this.#child.kill("SIGCONT")
    return answer
  }

  freeze(): void {
    this.#child.kill("SIGSTOP")
  }

  kill(): void {
    this.#child.kill("SIGKILL")
  }
}

/** One round of a fleet: each instance was invoked once, all at the same time. */
export interface Round {
  readonly outcomes: ReadonlyArray<Outcome>
  /** Connections that the server has refused. */
  readonly refused: number
  /** From the first invocation to the last answer. */
  readonly millis: number
}

export interface Fleet {
  /** Makes all instances anew, which do what they do in this way, and waits until they are warm. */
  readonly prepare: (way: string) => Effect.Effect<void>
  /** Invokes each instance once. An instance that is alone in its process is frozen when it has answered. */
  readonly invoke: (limit: number) => Effect.Effect<Round>
}

/** PostgreSQL with three connections more than the fleet may have: those of the superuser. */
export interface Database {
  readonly port: number
  readonly query: (text: string) => Effect.Effect<ReadonlyArray<Record<string, unknown>>>
  /** Connections that were refused so far. */
  readonly refused: Effect.Effect<number>
}

export const database: Effect.Effect<Database, never, Scope.Scope> = Effect.gen(function*() {
  const { port } = yield* Servers.postgresWith({
    access: ["host all all 127.0.0.1/32 trust"],
    settings: [
      `max_connections=${fleet.sessions + 3}`,
      "logging_collector=on",
      "log_directory=log",
      "log_filename=server.log"
    ]
  })
  // A session for each, because an open one of the superuser leaves 16 for the others.
  const ask = async (text: string) => {
    const client = new Client({ host: "127.0.0.1", port, user: "sluice", database: "postgres" })
    client.on("error", () => {})
    try {
      await client.connect()
      const { rows } = await client.query(text)
      return rows
    } finally {
      await client.end().catch(() => {})
    }
  }
  // The server may be full of the sessions of a round that has just ended.
  const query = (text: string) =>
    Effect.orDie(
      Effect.retry(Effect.tryPromise(() => ask(text)), { schedule: Schedule.spaced("50 millis"), times: 100 })
    )
  // It accepts connections before it answers.
  yield* Effect.retry(Effect.tryPromise(() => ask("create role app login")), Schedule.spaced("50 millis")).pipe(
    Effect.orDie
  )
  const refused = Effect.map(
    query("select pg_read_file('log/server.log') as log"),
    ([row]) => String(row?.["log"]).match(/FATAL: {2}(?:sorry, too many|remaining connection|too many)/g)?.length ?? 0
  )
  return { port, query, refused }
})

const bundled = Effect.gen(function*() {
  const directory = yield* Effect.acquireRelease(
    Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "sluice-fleet-"))),
    (path) => Effect.sync(() => Fs.rmSync(path, { recursive: true, force: true }))
  )
  const outfile = Path.join(directory, "instances.cjs")
  yield* Effect.promise(() =>
    build({
      entryPoints: [Path.join(import.meta.dirname, "instances.ts")],
      outfile,
      bundle: true,
      platform: "node",
      format: "cjs",
      external: ["pg-native"],
      logLevel: "error"
    }).finally(stop)
  )
  return { outfile, cache: Path.join(directory, "cache") }
})

/** Starts so many processes, a few at a time, with so many instances each. */
export const make = (
  processes: number,
  each: number,
  { postgres, redisPort }: { readonly postgres: Database; readonly redisPort: number }
): Effect.Effect<Fleet, never, Scope.Scope> =>
  Effect.gen(function*() {
    const { cache, outfile } = yield* bundled
    const args = [each, postgres.port, redisPort].map(String)
    const start = Effect.acquireRelease(
      Effect.sync(() => new Process(outfile, args, cache)),
      (one) => Effect.sync(() => one.kill())
    )
    const all = yield* Effect.forEach(
      Array.from({ length: processes }),
      () => Effect.tap(start, ({ ready }) => Effect.promise(() => ready)),
      { concurrency: 4 }
    )
    const ask = (line: string) =>
      Effect.forEach(all, (one) => Effect.promise(() => one.ask(line)), { concurrency: 4, discard: true })
    return {
      prepare: (way) => Effect.andThen(ask("end"), ask(`prepare ${way}`)),
      invoke: (limit) =>
        Effect.gen(function*() {
          const before = yield* postgres.refused
          const start = performance.now()
          const answers = yield* Effect.promise(() =>
            Promise.all(all.map(async (one) => {
              const answer = await one.ask(`invoke ${limit}`)
              if (each === 1) one.freeze()
              return answer as ReadonlyArray<Outcome>
            }))
          )
          const millis = performance.now() - start
          return { outcomes: answers.flat(), refused: (yield* postgres.refused) - before, millis }
        })
    }
  })
