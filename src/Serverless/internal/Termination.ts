/**
 * Handles SIGTERM in all threads, for handlers on a platform. `MainProgram` listens to signals too, for programs that run as the
 * main fiber of a process.
 *
 * Signals reach only the main thread, and end the process if there is no listener. So the main thread notifies the workers,
 * waits for them, and ends the process when all have closed their resources.
 *
 * @since 0.1.0
 */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { BroadcastChannel } from "node:worker_threads"
import { timeoutOption } from "../../internal/Timeout.ts"

/** A shutdown that must complete before the process ends. */
export interface Participant {
  readonly shutdown: Effect.Effect<unknown>
  /** The most time that it takes, in milliseconds. */
  readonly window: number
}

/**
 * The messages between threads. A worker sends `Hello` for each of its participants, and the main thread answers `Welcome`
 * if it listens. `Terminate` follows the signal, and `Done` is the worker's answer.
 */
type Message =
  | { readonly _tag: "Hello"; readonly thread: number; readonly window: number }
  | { readonly _tag: "Welcome"; readonly thread: number }
  | { readonly _tag: "Terminate" }
  | { readonly _tag: "Done"; readonly thread: number }

/** The termination of one thread. */
export interface Terminator {
  readonly add: (participant: Participant) => void
  /** Whether SIGTERM reaches this thread. */
  readonly isConnected: () => boolean
}

/** Loaded on first use. */
const threads = () => process.getBuiltinModule("node:worker_threads")

const openChannel = (onMessage: (message: Message) => void): BroadcastChannel => {
  const channel = new (threads().BroadcastChannel)("effect-sluice/Serverless/Termination")
  // Only messages are posted to a channel of this name.
  channel.onmessage = ({ data }) => onMessage(data as Message)
  channel.unref()
  return channel
}

const shutdownAll = (participants: ReadonlyArray<Participant>): Effect.Effect<void> =>
  Effect.forEach(participants, ({ shutdown }) => shutdown, { concurrency: "unbounded", discard: true })

/** The time for the platform's own code to send the answers of interrupted requests. */
const answerTime = Duration.millis(20)

/** Ends the process, unless the signal has another listener. That one may still be working, and has to end the process. */
const exit = Effect.andThen(
  Effect.sleep(answerTime),
  Effect.sync(() => {
    if (process.listenerCount("SIGTERM") <= 1) process.exit(0)
  })
)

const makeMain = (): Terminator => {
  const participants: Array<Participant> = []
  /** The workers with participants, and how long they may take. */
  const workers = new Map<number, number>()
  const allDone = Deferred.makeUnsafe<void>()
  let isTerminating = false
  const check = () => {
    if (isTerminating && workers.size === 0) Deferred.doneUnsafe(allDone, Exit.void)
  }
  const post = (message: Message) => channel.postMessage(message)
  const channel = openChannel((message) => {
    if (message._tag === "Hello") {
      workers.set(message.thread, Math.max(workers.get(message.thread) ?? 0, message.window))
      post({ _tag: "Welcome", thread: message.thread })
    } else if (message._tag === "Done") {
      workers.delete(message.thread)
      check()
    }
  })
  const awaitWorkers = Effect.suspend(() =>
    timeoutOption(Deferred.await(allDone), Duration.millis(Math.max(0, ...workers.values())))
  )
  process.on("SIGTERM", () => {
    if (isTerminating) return
    isTerminating = true
    post({ _tag: "Terminate" })
    check()
    Effect.runFork(Effect.andThen(
      Effect.all([shutdownAll(participants), awaitWorkers], { concurrency: "unbounded", discard: true }),
      exit
    ))
  })
  return { add: (participant) => void participants.push(participant), isConnected: () => true }
}

const makeWorker = (): Terminator => {
  const { threadId } = threads()
  const participants: Array<Participant> = []
  let isConnected = false
  const post = (message: Message) => channel.postMessage(message)
  const channel = openChannel((message) => {
    if (message._tag === "Welcome" && message.thread === threadId) isConnected = true
    if (message._tag === "Terminate") {
      Effect.runFork(Effect.map(shutdownAll(participants), () => post({ _tag: "Done", thread: threadId })))
    }
  })
  return {
    add: (participant) => {
      participants.push(participant)
      post({ _tag: "Hello", thread: threadId, window: participant.window })
    },
    isConnected: () => isConnected
  }
}

// A signal is for the whole process, so there is one listener, even if several copies of this library are loaded.
const key = Symbol.for("effect-sluice/Serverless/Termination")
const shared: { [key]?: Terminator } & object = globalThis

/** The terminator of this thread, which listens from the first call on. */
export const terminator = (): Terminator => shared[key] ??= threads().isMainThread ? makeMain() : makeWorker()
