/**
 * Runs the server of the demo as a child process, which ends when the scope closes.
 */
import type * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as ChildProcess from "node:child_process"
import * as Path from "node:path"
import * as Readline from "node:readline"
import type * as Stream from "node:stream"
import { Account, accountRequest, Greeting } from "./server/Account.ts"

/**
 * The server did not start, ended early, or printed an unexpected line.
 */
export class ServerFailed extends Data.TaggedError("ServerFailed")<{ readonly problem: string }> {
  override get message(): string {
    return `the demo's server ${this.problem}`
  }
}

/** A running server. */
export interface Server {
  readonly ports: ReadonlyArray<number>
  /** Waits briefly for connections that are closing, and returns the account of the server. */
  readonly account: Effect.Effect<Account, ServerFailed>
}

type Child = ChildProcess.ChildProcessByStdio<Stream.Writable, Stream.Readable, null>

/** Starts the program. At the descriptor limit, Node returns a process without streams, and reports the error later. */
const spawnChild = Effect.suspend((): Effect.Effect<Child, ServerFailed> => {
  const child: Child = ChildProcess.spawn(process.execPath, [programPath], { stdio: ["pipe", "pipe", "inherit"] })
  // By Node's types the stream always exists.
  const input: unknown = child.stdin
  if (input !== undefined && input !== null) return Effect.succeed(child)
  return Effect.callback((resume) => {
    child.on(
      "error",
      (error: NodeJS.ErrnoException) =>
        resume(Effect.fail(new ServerFailed({ problem: `did not start: ${error.code ?? error.message}` })))
    )
  })
})

interface Running {
  readonly child: Child
  /** The lines of the server's output; ends with it. */
  readonly lines: Queue.Queue<string, Cause.Done>
  readonly exited: Deferred.Deferred<void>
}

const programPath = Path.join(import.meta.dirname, "server/main.ts")

const spawn = Effect.gen(function*() {
  const lines = yield* Queue.unbounded<string, Cause.Done>()
  const exited = yield* Deferred.make<void>()
  const child = yield* spawnChild
  const gone = () => Deferred.doneUnsafe(exited, Effect.void)
  child.on("close", gone)
  child.on("error", gone)
  // The server has ended; the end of its output shows it.
  child.stdin.on("error", () => {})
  const output = Readline.createInterface(child.stdout)
  output.on("line", (line) => Queue.offerUnsafe(lines, line))
  output.on("close", () => Queue.endUnsafe(lines))
  return { child, lines, exited }
})

/** Ends the input of the server, which ends it. Kills it if it is still running later. */
const stop = ({ child, exited }: Running): Effect.Effect<void> =>
  Effect.suspend(() => {
    child.stdin.end()
    return Deferred.await(exited).pipe(
      // A finalizer is uninterruptible, but the timeout must be able to interrupt this wait.
      Effect.interruptible,
      Effect.timeoutOrElse({
        duration: "500 millis",
        orElse: () => {
          child.kill("SIGKILL")
          return Deferred.await(exited)
        }
      })
    )
  })

const line = <S extends Schema.ConstraintDecoder<unknown>>(
  running: Running,
  schema: S,
  patience: "1 second" | "10 seconds"
): Effect.Effect<S["Type"], ServerFailed> =>
  Queue.take(running.lines).pipe(
    Effect.interruptible,
    Effect.mapError(() => new ServerFailed({ problem: "ended early" })),
    Effect.timeoutOrElse({
      duration: patience,
      orElse: () => Effect.fail(new ServerFailed({ problem: `was silent for ${patience}` }))
    }),
    Effect.flatMap((text) =>
      Effect.mapError(
        Schema.decodeEffect(Schema.fromJsonString(schema))(text),
        () => new ServerFailed({ problem: `printed ${text.slice(0, 100)}` })
      )
    )
  )

/**
 * Starts the server. When the scope closes, its input is ended, and it is killed if it has not ended 500 ms later; it is
 * reaped in either case. Its input also ends when the parent is killed.
 */
export const start: Effect.Effect<Server, ServerFailed, Scope.Scope> = Effect.gen(function*() {
  const running = yield* Effect.acquireRelease(spawn, stop)
  const { ports } = yield* line(running, Greeting, "10 seconds")
  return {
    ports,
    account: Effect.suspend(() => {
      running.child.stdin.write(accountRequest)
      return line(running, Account, "1 second")
    })
  }
})
