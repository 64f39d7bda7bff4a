/**
 * A process under `ulimit -n` with far more to do at once than it has descriptors for, beside somebody who only wants to open
 * a file now and then. It prints one line of JSON.
 *
 * Usage: node queueing-child.ts retry|naive PORT TASKS
 */
import { Duration, Effect, Schedule } from "effect"
import * as Fs from "node:fs"
import * as Monitor from "../../src/Monitor/ResourceMonitor.ts"
import * as Endpoint from "../../src/Resource/Endpoint.ts"
import * as TcpConnection from "../../src/Resource/TcpConnection.ts"
import * as RetryPolicy from "../../src/Retry/RetryPolicy.ts"

/** What this process prints. */
export interface QueueingReport {
  /** How often a task was tried, how many have succeeded, and how often there was no descriptor for one. */
  readonly attempts: number
  readonly done: number
  readonly emfile: number
  /** What else went wrong. */
  readonly other: ReadonlyArray<string>
  /** What became of somebody else's files. */
  readonly bystander: { readonly opened: number; readonly failed: number }
  readonly millis: number
  /** What is claimed at the end. */
  readonly reserved: number
}

const [mode, port, tasks] = process.argv.slice(2)
const endpoint = Endpoint.tcp("127.0.0.1", Number(port))

const counts = { attempts: 0, done: 0, emfile: 0, other: new Array<string>() }

const codeOf = (error: unknown): string | undefined => {
  let node: unknown = error
  for (let depth = 0; depth < 9 && typeof node === "object" && node !== null; depth++) {
    const { cause, code, reason } = node as {
      readonly cause?: unknown
      readonly code?: unknown
      readonly reason?: unknown
    }
    if (typeof code === "string") return code
    node = reason ?? cause
  }
  return undefined
}

/** A connection that is held for 200 ms. */
const task = Effect.suspend(() => {
  counts.attempts++
  return Effect.andThen(TcpConnection.connect(endpoint), Effect.sleep("200 millis"))
}).pipe(
  Effect.scoped,
  Effect.tapError((error) =>
    Effect.sync(() => {
      const code = codeOf(error)
      if (code === "EMFILE" || code === "ENFILE") counts.emfile++
      else counts.other.push(String(error))
    })
  )
)

/**
 * As it is done without a gate: everything at once, again and again, along a jittered exponential. A connect asks the gate by
 * itself, so that this takes a monitor without limits.
 */
const naive = Effect.retry(
  task,
  Schedule.min([Schedule.jittered(Schedule.exponential("50 millis")), Schedule.spaced("1 second")])
)

const gated = RetryPolicy.retry(task, RetryPolicy.make({ ...RetryPolicy.tcpConnection, deadline: "1 minute" }), {
  label: String(endpoint)
})

/** `undefined`, or what went wrong. */
const outcome = { onSuccess: (): undefined => undefined, onFailure: String }

/** Opens a few files every few milliseconds. */
const bystander = () => {
  const outcome = { opened: 0, failed: 0 }
  const timer = setInterval(() => {
    for (let i = 0; i < 3; i++) {
      try {
        const file = Fs.openSync("/dev/null", "r")
        outcome.opened++
        setTimeout(() => Fs.closeSync(file), 5)
      } catch {
        outcome.failed++
      }
    }
  }, 5)
  return { outcome, stop: () => clearInterval(timer) }
}

const program = Effect.gen(function*() {
  const monitor = yield* Monitor.ResourceMonitor
  const ways = { gated: Effect.match(gated, outcome), naive: Effect.match(naive, outcome) }
  const one = mode === "retry" ? ways.gated : ways.naive
  // Once before, so that everything is loaded, and its files are closed again.
  yield* one
  Object.assign(counts, { attempts: 0, emfile: 0 })
  const files = bystander()
  const start = performance.now()
  const outcomes = yield* Effect.all(Array.from({ length: Number(tasks) }, () => one), { concurrency: "unbounded" })
  const millis = performance.now() - start
  files.stop()
  counts.done = outcomes.filter((failure) => failure === undefined).length
  counts.other.push(...outcomes.filter((failure) => failure !== undefined))
  yield* Effect.sleep(Duration.millis(50))
  const { reserved } = yield* monitor.sample
  const report: QueueingReport = { ...counts, bystander: files.outcome, millis: Math.round(millis), reserved }
  process.stdout.write(`${JSON.stringify(report)}\n`)
})

const layer = mode === "retry" ? Monitor.layerOptions({ maxConnections: Infinity }) : Monitor.layerUnlimited

await Effect.runPromise(Effect.provide(program, layer))
