/**
 * One program that is the whole of its process: what ends it, and how everything is closed then.
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
import { awaitWithin, endsWithin } from "../../internal/Bounded.ts"
import { CloseTimeout } from "../../internal/CloseTimeout.ts"
import { PoolRegistry } from "../../Pool/PoolRegistry.ts"
import { momentOf } from "./FreezeDetector.ts"
import { InstancePools } from "./InstancePools.ts"
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
  /** Milliseconds from the moment at which the program ends until everything has to be closed. */
  readonly window: number
  readonly statuses: Record<EndingSignal, number>
  readonly isSilent: boolean
}

/**
 * A terminal sends Ctrl-C to every process of a job, and a parent such as npm passes on what it gets: two signals within so
 * many milliseconds are one.
 */
const echo = 100

/** What is left of the time, in milliseconds, once somebody insists. */
const forcedWindow = 100

/** What whoever reads stderr may hold the program up for, once, in milliseconds. */
const readerPatience = 50

let isReaderSlow = false

/** Nothing else can be waited with where nothing may happen meanwhile. */
const stand = (millis: number) => void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, millis)

/** Writes as much as there is room for now; 0 if there is none. */
const writeSome = (bytes: Uint8Array): number => {
  try {
    return Fs.writeSync(2, bytes)
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EAGAIN") return 0
    throw error
  }
}

/** Synchronous, because the process may end right after it. A pipe that Node has written to before takes what it has room for. */
const say = (text: string): void => {
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
      stand(1)
    }
  } catch {
    // Whoever listened to stderr is gone, and there is nobody else to tell.
  }
}

/** What became of closing everything. `Failed`: a finalizer has, which has been told; nothing is left that could be closed. */
type Closing = "Closed" | "Failed" | "Open"

export class MainProgram<A, E, R, E2> {
  readonly #pools = new InstancePools()
  readonly #scope = Scope.makeUnsafe()
  readonly #settings: MainSettings
  readonly #budget: MainBudget
  readonly #clock = Context.get(Context.empty(), Clock.Clock)
  /** What closes without a pool goes by this, whatever it says when it closes. */
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
      Context.add(CloseTimeout, this.#closing)
    )
    this.#body = Effect.flatMap(
      Layer.buildWithMemoMap(layer, Layer.makeMemoMapUnsafe(), this.#scope),
      (services) => Scope.provide(Effect.provideContext(program, services), this.#scope)
    )
  }

  start(): void {
    process.on("SIGINT", this.#onSignal).on("SIGTERM", this.#onSignal)
    process.on("uncaughtException", this.#onUncaught)
    process.on("beforeExit", this.#onEmptyLoop)
    process.on("exit", this.#onExit)
    this.#running = Effect.runForkWith(this.#context)(this.#body)
    this.#running.addObserver((exit) => {
      if (this.#ending === undefined) this.#end({ _tag: "Ended", exit })
      // Whatever else has ended the program, what its own finalizers met is not to be lost.
      else this.#tell(failureText(exit))
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

  readonly #onUncaught = (error: unknown, origin: NodeJS.UncaughtExceptionOrigin): void => {
    this.#end({ _tag: "Uncaught", error, origin })
  }

  readonly #onEmptyLoop = (): void => {
    if (this.#ending === undefined) this.#end({ _tag: "Starved" })
  }

  /** Somebody else ends the process. Nothing that takes time can be done any more. */
  readonly #onExit = (status: number): void => {
    say(`The process was ended with status ${status} before everything was closed. ${holdingsText(this.#holdings())}`)
  }

  /** The first that comes decides the status; what comes later can only make it worse. */
  #end(ending: Ending): void {
    this.#tell(endingText(ending))
    const status = statusOf(ending, this.#settings.statuses)
    if (this.#status === 0) this.#status = status
    if (this.#ending !== undefined) return
    this.#ending = ending
    Effect.runForkWith(this.#context)(this.#close())
  }

  /** Closes everything in the order in which it depends on each other, and all at once when that takes too long. */
  #close(): Effect.Effect<void> {
    const { close, drain, inOrder, together, total } = this.#budget
    return Effect.gen({ self: this }, function*() {
      const start = momentOf(this.#clock).monotonic
      this.#hurry({ drainTimeout: drain, closeTimeout: close })
      const closing = yield* Effect.forkDetach(Effect.uninterruptible(this.#closeInOrder), { startImmediately: true })
      let exit = yield* awaitWithin(closing, Duration.millis(inOrder))
      if (exit === undefined) {
        yield* endsWithin(this.#closeTogether, Duration.millis(together))
        const left = Math.max(start + total - momentOf(this.#clock).monotonic, 0)
        exit = yield* awaitWithin(closing, Duration.millis(left))
      }
      if (exit !== undefined) this.#tell(failureText(exit))
      this.#exit(exit === undefined ? "Open" : Exit.isSuccess(exit) ? "Closed" : "Failed")
    })
  }

  readonly #closeInOrder: Effect.Effect<void> = Effect.suspend(() => {
    const running = this.#running
    const ended = running === undefined ? Effect.void : Effect.asVoid(Fiber.interrupt(running))
    return Effect.andThen(ended, Scope.close(this.#scope, Exit.void))
  })

  /** Whatever hangs holds up nothing but itself. What closing meets is told by whoever closes in order. */
  readonly #closeTogether: Effect.Effect<void> = Effect.suspend(() =>
    Effect.all([this.#pools.drain, Effect.exit(Scope.close(this.#scope, Exit.void))], {
      concurrency: "unbounded",
      discard: true
    })
  )

  /** Somebody insists: what can still be closed gets a moment for it, and then the process ends. */
  #force(signal: EndingSignal): void {
    this.#status = this.#settings.statuses[signal]
    if (this.#isForced) return this.#exit("Open")
    this.#isForced = true
    this.#hurry({ drainTimeout: 0, closeTimeout: forcedWindow / 2 })
    Effect.runForkWith(this.#context)(
      Effect.andThen(
        endsWithin(this.#closeTogether, Duration.millis(forcedWindow)),
        Effect.sync(() => this.#exit("Open"))
      )
    )
  }

  #hurry(limits: { readonly drainTimeout: number; readonly closeTimeout: number }): void {
    this.#pools.hurry(limits)
    this.#closing.closeTimeout = Duration.min(this.#closing.closeTimeout, Duration.millis(limits.closeTimeout))
  }

  #exit(closing: Closing): void {
    process.off("SIGINT", this.#onSignal).off("SIGTERM", this.#onSignal)
    process.off("uncaughtException", this.#onUncaught)
    process.off("beforeExit", this.#onEmptyLoop)
    process.off("exit", this.#onExit)
    // The end of a program that has done its work leaves a status that the program has set itself.
    if (closing === "Closed" && this.#status === 0) return
    try {
      if (closing === "Open") {
        const why = this.#isForced ? "A second signal came" : `${this.#settings.window} ms have passed`
        say(`${why} before everything was closed. ${holdingsText(this.#holdings())}`)
      }
    } finally {
      // Whatever is wrong with the account of what was open, the process ends.
      process.exit(this.#status === 0 ? 1 : this.#status)
    }
  }

  #holdings(): Holdings {
    return {
      pools: Array.from(this.#pools.all, (pool) => pool.core.stats()),
      resources: process.getActiveResourcesInfo()
    }
  }

  #tell(text: string | undefined): void {
    if (text !== undefined && !this.#settings.isSilent) say(text)
  }
}
