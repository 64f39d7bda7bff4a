/**
 * A child process that talks in lines of JSON, and that ends when the scope closes.
 */
import * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as ChildProcess from "node:child_process"
import * as Module from "node:module"
import * as Path from "node:path"
import * as Readline from "node:readline"
import type * as Stream from "node:stream"
import { Message } from "./Messages.ts"

/**
 * A process of the demo did not start, ended early, was silent for too long, or said something unexpected.
 */
export class ChildFailed extends Data.TaggedError("ChildFailed")<{ readonly name: string; readonly problem: string }> {
  override get message(): string {
    return `the process of ${this.name} ${this.problem}`
  }
}

/** A running child. */
export interface Child {
  readonly name: string
  readonly send: (message: object) => Effect.Effect<void>
  /** Its next message. */
  readonly next: Effect.Effect<Message, ChildFailed>
}

type Process = ChildProcess.ChildProcessByStdio<Stream.Writable, Stream.Readable, null>

interface Running {
  readonly child: Process
  /** The lines of its output; ends with it. */
  readonly lines: Queue.Queue<string, Cause.Done>
  readonly exited: Deferred.Deferred<void>
}

/** With the flags of this process, which resolve the entry points of the package to their sources. */
const spawnProcess = (name: string, program: string): Effect.Effect<Process, ChildFailed> =>
  Effect.suspend(() => {
    const path = Path.join(import.meta.dirname, program)
    const child: Process = ChildProcess.spawn(process.execPath, [...process.execArgv, path], {
      stdio: ["pipe", "pipe", "inherit"],
      // The second run and later ones use compiled code, which saves half a second.
      env: { ...process.env, NODE_COMPILE_CACHE: Module.getCompileCacheDir?.() }
    })
    // At the descriptor limit, Node returns a process without streams, and reports the error later.
    const input: unknown = child.stdin
    if (input !== undefined && input !== null) return Effect.succeed(child)
    return Effect.callback((resume) => {
      child.on("error", (error: NodeJS.ErrnoException) =>
        resume(Effect.fail(new ChildFailed({ name, problem: `did not start: ${error.code ?? error.message}` }))))
    })
  })

const spawn = (name: string, program: string) =>
  Effect.gen(function*() {
    const lines = yield* Queue.unbounded<string, Cause.Done>()
    const exited = yield* Deferred.make<void>()
    const child = yield* spawnProcess(name, program)
    const gone = () => Deferred.doneUnsafe(exited, Effect.void)
    child.on("close", gone)
    child.on("error", gone)
    // The child has ended; the end of its output shows it.
    child.stdin.on("error", () => {})
    const output = Readline.createInterface(child.stdout)
    output.on("line", (line) => Queue.offerUnsafe(lines, line))
    output.on("close", () => Queue.endUnsafe(lines))
    return { child, lines, exited }
  })

/** Ends the input of the child, which ends it. Kills it if it is still running later. */
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

const decode = Schema.decodeEffect(Schema.fromJsonString(Message))

const next = (name: string, { lines }: Running): Effect.Effect<Message, ChildFailed> =>
  Queue.take(lines).pipe(
    Effect.mapError(() => new ChildFailed({ name, problem: "ended early" })),
    Effect.flatMap((line) =>
      Effect.mapError(decode(line), () => new ChildFailed({ name, problem: `said ${line.slice(0, 100)}` }))
    )
  )

/** The longest time from the start of a child to its first message. */
const patience = "20 seconds"

/** Starts a program with its first message. When the scope closes, the child is ended and reaped. */
export const start = (name: string, program: string, message: object): Effect.Effect<Child, ChildFailed, Scope.Scope> =>
  Effect.map(Effect.acquireRelease(spawn(name, program), stop), (running) => {
    const send = (message: object) => Effect.sync(() => void running.child.stdin.write(`${JSON.stringify(message)}\n`))
    return { name, send, next: next(name, running), first: send(message) }
  }).pipe(
    Effect.tap(({ first }) => first)
  )

/** The port of a child that has just been started. */
export const ready = (child: Child): Effect.Effect<number, ChildFailed> =>
  child.next.pipe(
    Effect.flatMap((message) =>
      message._tag === "Ready"
        ? Effect.succeed(message.port)
        : Effect.fail(new ChildFailed({ name: child.name, problem: `said ${message._tag} before it was ready` }))
    ),
    Effect.timeoutOrElse({
      duration: patience,
      orElse: () => Effect.fail(new ChildFailed({ name: child.name, problem: `was silent for ${patience}` }))
    })
  )
