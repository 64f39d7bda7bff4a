/**
 * Runs the program of a process: the events that end it, and closing everything afterwards.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as Fs from "node:fs"
import { isMainThread } from "node:worker_threads"
import { CloseTimeout } from "../../internal/CloseTimeout.ts"
import { ProgramEnd } from "../../internal/ProgramEnd.ts"
import { awaitWithin, endsWithin } from "../../internal/Timeout.ts"
import { PoolRegistry } from "../../Pool/PoolRegistry.ts"
import { EndingSignals } from "./EndingSignals.ts"
import { beginText, EndLog, endText } from "./EndLog.ts"
import { momentOf } from "./FreezeDetector.ts"
import { InstancePools } from "./InstancePools.ts"
import { KeepAlive } from "./KeepAlive.ts"
import {
  type Ending,
  type EndingSignal,
  endingText,
  failureText,
  type Holdings,
  holdingsText,
  statusOf
} from "./MainExit.ts"
import { type MainBudget, mainBudget } from "./ShutdownBudget.ts"

/** How a program runs and ends, with every default filled in. */
export interface MainSettings {
  /** Milliseconds from the end of the program until everything must be closed. */
  readonly window: number
  readonly statuses: Record<EndingSignal, number>
  readonly isSilent: boolean
  /** Whether the begin and the end of its end are logged. A command may print data where its loggers write. */
  readonly logsEnd: boolean
}

/**
 * Signals within this many milliseconds count as one: at Ctrl-C a terminal sends SIGINT to each process of a job, and a parent
 * process such as npm also forwards it.
 */
const echo = 100

/** How long closing may continue after a second signal, in milliseconds. */
const forcedWindow = 100

/** How long a slow reader of stderr may delay the program, once, in milliseconds. */
const readerPatience = 50

let isReaderSlow = false

/** Blocks the thread, the only way to wait in a synchronous function. */
const block = (millis: number) => void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, millis)

/** Writes as much as the pipe has room for, and returns the number of bytes. */
const writeSome = (bytes: Uint8Array): number => {
  try {
    return Fs.writeSync(2, bytes)
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EAGAIN") return 0
    throw error
  }
}

/** Writes to stderr synchronously, because the process may end right afterwards. A pipe may take only a part at a time. */
const writeError = (text: string): void => {
  let rest = new TextEncoder().encode(`${text}\n`)
  try {
    for (let waited = 0; rest.length > 0;) {
      const written = writeSome(rest)
      rest = rest.subarray(written)
      if (written > 0) continue
      if (isReaderSlow || waited++ >= readerPatience) {
        isReaderSlow = true
        return
      }
      block(1)
    }
  } catch {
    // The reader of stderr has gone, and there is no other output.
  }
}

/** The result of closing everything. `Failed`: everything is closed, but a finalizer has failed, which was reported. */
type Closing = "Closed" | "Failed" | "Open"

// Two programs in one process would end each other's pools and signals, also those of two copies of this library.
const key = Symbol.for("effect-sluice/Serverless/MainProgram")
const shared: { [key]?: true } & object = globalThis

const refused = (how: string): Error =>
  new Error(`Main: a program (Main.run, Main.launch, CloudRun.run, CloudRun.launch) cannot be ${how}`)

export class MainProgram<A, E, R, E2> {
  readonly #pools = new InstancePools()
  readonly #keepAlive = new KeepAlive()
  readonly #scope = Scope.makeUnsafe()
  readonly #endLog = new EndLog()
  readonly #settings: MainSettings
  readonly #budget: MainBudget
  readonly #clock = Context.get(Context.empty(), Clock.Clock)
  /** The close timeout of resources outside of pools, read when they close. */
  readonly #closing = { closeTimeout: Context.get(Context.empty(), CloseTimeout).closeTimeout }
  readonly #context: Context.Context<never>
  readonly #body: Effect.Effect<A, E | E2>
  #running: Fiber.Fiber<A, E | E2> | undefined
  #ending: Ending | undefined
  #status = 0
  #signalledAt = -Infinity
  #isForced = false

  constructor(program: Effect.Effect<A, E, R | Scope.Scope>, layer: Layer.Layer<R, E2>, settings: MainSettings) {
    this.#settings = settings
    this.#budget = mainBudget(settings.window)
    this.#context = Context.empty().pipe(
      Context.add(PoolRegistry, this.#pools),
      Context.add(CloseTimeout, this.#closing),
      Context.add(ProgramEnd, settings.logsEnd ? this.#endLog : undefined)
    )
    this.#body = Effect.flatMap(
      Layer.buildWithMemoMap(layer, Layer.makeMemoMapUnsafe(), this.#scope),
      (services) => Scope.provide(Effect.provideContext(program, services), this.#scope)
    )
  }

  start(): void {
    if (!isMainThread) throw refused("run in a worker thread, which gets no signals. Run it in the main thread")
    if (shared[key]) throw refused("run a second time in this process. Combine the programs into one")
    shared[key] = true
    this.#keepAlive.start()
    this.#signals.start()
    process.on("uncaughtException", this.#onUncaught)
    process.on("beforeExit", this.#onEmptyLoop)
    process.on("exit", this.#onExit)
    this.#running = Effect.runForkWith(this.#context)(this.#body)
    this.#running.addObserver((exit) => {
      if (this.#ending === undefined) this.#end({ _tag: "Ended", exit })
      // Another event has ended the program, but a failure of its finalizers is reported.
      else this.#report(failureText(exit))
    })
  }

  readonly #onSignal = (signal: EndingSignal): void => {
    const now = momentOf(this.#clock).monotonic
    if (this.#ending === undefined || this.#signalledAt === -Infinity) {
      this.#signalledAt = now
      this.#end({ _tag: "Signalled", signal })
    } else if (now - this.#signalledAt >= echo) {
      this.#force(signal)
    }
  }

  readonly #signals = new EndingSignals(this.#onSignal)

  readonly #onUncaught = (error: unknown, origin: NodeJS.UncaughtExceptionOrigin): void => {
    this.#end({ _tag: "Uncaught", error, origin })
  }

  readonly #onEmptyLoop = (): void => {
    if (this.#ending === undefined) this.#end({ _tag: "Starved" })
  }

  /** Called when other code ends the process. Only synchronous work is possible. */
  readonly #onExit = (status: number): void => {
    writeError(
      `The process was ended with status ${status} before everything was closed. ${holdingsText(this.#holdings())}`
    )
  }

  /** The first event sets the status. A later one changes it only if it is 0. */
  #end(ending: Ending): void {
    this.#report(endingText(ending))
    const status = statusOf(ending, this.#settings.statuses)
    if (this.#status === 0) this.#status = status
    if (this.#ending !== undefined) return
    this.#ending = ending
    const underWay = { requests: this.#keepAlive.requests, leases: this.#pools.leases }
    this.#endLog.write(beginText(ending, underWay, this.#settings.window))
    this.#keepAlive.end()
    Effect.runForkWith(this.#context)(this.#close())
  }

  /** Closes everything in the order of its dependencies. If that takes too long, closes all that is left at the same time. */
  #close(): Effect.Effect<void> {
    const { close, closeTogether, cut, drain, inOrder, together, total } = this.#budget
    return Effect.gen({ self: this }, function*() {
      const start = momentOf(this.#clock).monotonic
      this.#hurry({ drainTimeout: drain, closeTimeout: close })
      const closing = yield* Effect.forkDetach(Effect.uninterruptible(this.#closeInOrder), { startImmediately: true })
      let exit = yield* awaitWithin(closing, Duration.millis(inOrder))
      // A server may wait for requests and upgraded connections without a limit. Without them it ends, and then its pools do.
      if (exit === undefined && this.#keepAlive.cut()) exit = yield* awaitWithin(closing, Duration.millis(cut))
      if (exit === undefined) {
        this.#hurry({ drainTimeout: 0, closeTimeout: closeTogether })
        yield* this.#closeTogether(together)
        const left = Math.max(start + total - momentOf(this.#clock).monotonic, 0)
        exit = yield* awaitWithin(closing, Duration.millis(left))
      }
      if (exit !== undefined) {
        this.#endLog.write(endText(momentOf(this.#clock).monotonic - start))
        this.#report(failureText(exit))
      }
      this.#exit(exit === undefined ? "Open" : Exit.isSuccess(exit) ? "Closed" : "Failed")
    })
  }

  readonly #closeInOrder: Effect.Effect<void> = Effect.suspend(() => {
    const running = this.#running
    const ended = running === undefined ? Effect.void : Effect.asVoid(Fiber.interrupt(running))
    return Effect.andThen(ended, Scope.close(this.#scope, Exit.void))
  })

  /**
   * Closes all at the same time, so that nothing waits for a resource that hangs, and waits for so many milliseconds. Failures are
   * reported by `#closeInOrder`.
   */
  #closeTogether(within: number): Effect.Effect<unknown> {
    const together = Effect.all([this.#pools.drain(within), Effect.exit(Scope.close(this.#scope, Exit.void))], {
      concurrency: "unbounded",
      discard: true
    })
    return endsWithin(together, Duration.millis(within))
  }

  /** A second signal has come: closing may continue for a short time, and then the process ends. */
  #force(signal: EndingSignal): void {
    this.#status = this.#settings.statuses[signal]
    if (this.#isForced) return this.#exit("Open")
    this.#isForced = true
    this.#hurry({ drainTimeout: 0, closeTimeout: forcedWindow / 2 })
    Effect.runForkWith(this.#context)(
      Effect.andThen(
        this.#closeTogether(forcedWindow),
        Effect.sync(() => this.#exit("Open"))
      )
    )
  }

  #hurry(limits: { readonly drainTimeout: number; readonly closeTimeout: number }): void {
    this.#pools.hurry(limits)
    this.#closing.closeTimeout = Duration.min(this.#closing.closeTimeout, Duration.millis(limits.closeTimeout))
  }

  #exit(closing: Closing): void {
    this.#signals.stop()
    process.off("uncaughtException", this.#onUncaught)
    process.off("beforeExit", this.#onEmptyLoop)
    process.off("exit", this.#onExit)
    this.#keepAlive.stop()
    // A program that has ended by itself may have left work to the event loop.
    if (closing === "Closed" && this.#status === 0 && this.#ending?._tag === "Ended") return
    try {
      if (closing === "Open") {
        const why = this.#isForced ? "A second signal came" : `${this.#settings.window} ms have passed`
        writeError(`${why} before everything was closed. ${holdingsText(this.#holdings())}`)
      }
    } finally {
      // The process ends even if listing what was open throws. The `process.exitCode` that the program has set stays in the place of 0.
      process.exit(this.#status !== 0 ? this.#status : closing === "Closed" ? process.exitCode : 1)
    }
  }

  #holdings(): Holdings {
    return {
      pools: Array.from(this.#pools.all, (pool) => pool.core.stats()),
      resources: process.getActiveResourcesInfo()
    }
  }

  #report(text: string | undefined): void {
    if (text !== undefined && !this.#settings.isSilent) writeError(text)
  }
}
