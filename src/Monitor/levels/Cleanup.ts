/**
 * Calls the callbacks that free resources under pressure, in order and each with a timeout. One pass through the callbacks is
 * called a run; there is one run at a time.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import type * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Metric from "effect/Metric"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import { measured } from "../../internal/MeasuredTime.ts"
import { monotonicMillis } from "../../internal/MonotonicTime.ts"
import { aboveZero, checkOptions } from "../../internal/Options.ts"
import { safeMessage } from "../../internal/SafeText.ts"
import { supervised } from "../../internal/Timeout.ts"
import { sleepUnref } from "../../internal/Timer.ts"
import { report } from "../../internal/UnhandledLog.ts"
import type { Usage } from "../Usage.ts"

interface ResultFields {
  /** The callback's name. */
  readonly name: string
  /** How long it ran. */
  readonly duration: Duration.Duration
}

const took = ({ duration }: ResultFields): string => measured(duration)

/**
 * The callback has succeeded.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export class Done extends Data.TaggedClass("Done")<ResultFields> {
  get message(): string {
    return safeMessage(`${this.name} is done after ${took(this)}`)
  }
}

/**
 * The callback failed, or interrupted itself.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export class Failed extends Data.TaggedClass("Failed")<ResultFields & { readonly cause: Cause.Cause<unknown> }> {
  get message(): string {
    return safeMessage(`${this.name} failed after ${took(this)}`)
  }
}

/**
 * The callback died with a defect.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export class Died extends Data.TaggedClass("Died")<ResultFields & { readonly cause: Cause.Cause<unknown> }> {
  get message(): string {
    return safeMessage(`${this.name} died after ${took(this)}`)
  }
}

/**
 * The callback was interrupted at its timeout. If it cannot be interrupted, it continues, and the run does not wait for it.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export class TimedOut extends Data.TaggedClass("TimedOut")<ResultFields> {
  get message(): string {
    return safeMessage(`${this.name} had not ended after ${took(this)}`)
  }
}

/**
 * The callback was not called, or not to its end, for a reason that is no failure: the pressure was gone before its turn, its
 * scope had closed, or the monitor has closed.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export class Skipped extends Data.TaggedClass("Skipped")<
  ResultFields & { readonly reason: "PressureGone" | "Unregistered" | "MonitorClosed" }
> {
  get message(): string {
    return safeMessage(`${this.name} was skipped: ${this.reason}`)
  }
}

/**
 * How the call of one callback ended. Each has a `message` for a log.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export type CleanupResult = Done | Failed | Died | TimedOut | Skipped

/** The result of a callback. An exit of `undefined` means that its timeout passed. */
export const resultOf = (
  name: string,
  exit: Exit.Exit<unknown, unknown> | undefined,
  duration: Duration.Duration
): CleanupResult => {
  if (exit === undefined) return new TimedOut({ name, duration })
  if (Exit.isSuccess(exit)) return new Done({ name, duration })
  const { cause } = exit
  return Cause.hasDies(cause) ? new Died({ name, duration, cause }) : new Failed({ name, duration, cause })
}

/** The result of a callback that was skipped. */
export const skipped = (name: string, reason: Skipped["reason"]): Skipped =>
  new Skipped({ name, duration: Duration.zero, reason })

/** Whether a result is logged as a failure. */
export const isFailure = (result: CleanupResult): result is Failed | Died | TimedOut =>
  result._tag === "Failed" || result._tag === "Died" || result._tag === "TimedOut"

/**
 * A callback that frees resources under pressure.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export interface PressureCallback<out E = never, out R = never> {
  /** Names the callback in results and logs. @default "callback" and a number */
  readonly name?: string | undefined
  /** Callbacks with a higher priority are called first, equal ones in order of registration. Any finite number. @default 0 */
  readonly priority?: number | undefined
  /** After this time the callback is interrupted, and the next one is called: a finite duration above 0. @default 5 seconds */
  readonly timeout?: Duration.Input | undefined
  /** Whether it is also called in each round of maintenance, at any level. @default false */
  readonly periodic?: boolean | undefined
  /** The effect, or a function of the present readings that returns it. Its result is ignored. */
  readonly run: Effect.Effect<unknown, E, R> | ((usage: Usage) => Effect.Effect<unknown, E, R>)
}

/** A registered callback. */
interface Entry {
  readonly name: string
  readonly priority: number
  readonly periodic: boolean
  /** Calls it with its timeout; `undefined` if it has not ended by then. */
  readonly attempt: (read: () => Usage, run: Run) => Effect.Effect<Exit.Exit<unknown, unknown> | undefined>
  isRegistered: boolean
}

/** One pass through the callbacks. */
interface Run {
  /** The callbacks that have no result yet. */
  readonly left: Array<Entry>
  readonly results: Array<CleanupResult>
  readonly done: Deferred.Deferred<ReadonlyArray<CleanupResult>>
  /** Whether the run ends as soon as the pressure is gone. */
  stopsEarly: boolean
  /** Whether a caller waits for the run, so that its timers must keep the process alive. */
  isAwaited: boolean
  isOver: boolean
}

/**
 * The parts of the monitor that a run needs.
 *
 * @category models
 * @since 0.1.0
 */
export interface CleanupOptions {
  /** Takes new readings. */
  readonly read: () => Usage
  /** Whether the pressure is gone, so that the remaining callbacks are skipped. */
  readonly isRelieved: () => boolean
  /** Milliseconds from the end of a run to the next automatic one. */
  readonly cooldown: number
  readonly clock: Clock.Clock
  /** Starts a fiber that outlives the caller. */
  readonly fork: (effect: Effect.Effect<void>) => Fiber.Fiber<void>
}

const failures = /*#__PURE__*/ Metric.counter("sluice.monitor.cleanup.failures", {
  description: "Cleanup callbacks that failed, died or timed out in an automatic run",
  attributes: { unit: "{callback}" },
  incremental: true
})

/** The run that has called the current callback. If the callback itself calls `cleanup`, it must not wait for its own run. */
const CurrentRun: Context.Reference<Run | undefined> = /*#__PURE__*/ Context.Reference<Run | undefined>(
  "effect-sluice/Monitor/CurrentRun",
  { defaultValue: () => undefined }
)

const { duration, require } = checkOptions("ResourceMonitor.onPressure")

const sleep = (duration: Duration.Input): Effect.Effect<void> => sleepUnref(Duration.toMillis(duration))

const entryOf = <E, R>(callback: PressureCallback<E, R>, count: number, context: Context.Context<R>): Entry => {
  const { name = `callback ${count}`, periodic = false, priority = 0, run: act } = callback
  require(Number.isFinite(priority), "priority", priority, "be a finite number")
  const within = duration("timeout", callback.timeout ?? "5 seconds", aboveZero)
  return {
    name,
    priority,
    periodic,
    attempt: (read, run) =>
      Effect.suspend(() => Effect.isEffect(act) ? act : act(read())).pipe(
        Effect.provideService(CurrentRun, run),
        Effect.provideContext(context),
        // A callback that cannot be interrupted must not delay the next one.
        (effect) => supervised(effect, { within, patience: Duration.zero, sleep: run.isAwaited ? undefined : sleep })
      ),
    isRegistered: true
  }
}

const makeRun = (how: Pick<Run, "stopsEarly" | "isAwaited">): Run => ({
  ...how,
  left: [],
  results: [],
  done: Deferred.makeUnsafe(),
  isOver: false
})

/** Logs and counts the failures of a run that has no caller. */
const reportFailures = (results: ReadonlyArray<CleanupResult>): Effect.Effect<void> =>
  Effect.forEach(results.filter(isFailure), (result) =>
    Effect.andThen(
      Metric.update(failures, 1),
      report(`ResourceMonitor: cleanup: ${result.message}`, result._tag === "TimedOut" ? undefined : result.cause)
    ), { discard: true })

/**
 * The callbacks of a monitor, and their runs.
 *
 * @category models
 * @since 0.1.0
 */
export class Cleanup {
  readonly #options: CleanupOptions
  readonly #oneAtATime = Semaphore.makeUnsafe(1)
  readonly #entries = new Set<Entry>()
  #registered = 0
  /** The run of all callbacks that is under way or about to begin, with its fiber. */
  #current: Run | undefined
  #fiber: Fiber.Fiber<void> | undefined
  #isDue = false
  #isOver = false
  #coolUntil = -Infinity

  constructor(options: CleanupOptions) {
    this.#options = options
  }

  register<E, R>(callback: PressureCallback<E, R>): Effect.Effect<void, never, R | Scope.Scope> {
    return Effect.asVoid(Effect.acquireRelease(
      Effect.contextWith((context: Context.Context<R>) =>
        Effect.sync(() => {
          const entry = entryOf(callback, this.#registered + 1, context)
          this.#registered += 1
          this.#entries.add(entry)
          return entry
        })
      ),
      (entry) =>
        Effect.sync(() => {
          entry.isRegistered = false
          this.#entries.delete(entry)
        })
    ))
  }

  /** Runs all callbacks, or waits for the run that is under way. */
  demand(): Effect.Effect<ReadonlyArray<CleanupResult>> {
    return Effect.flatMap(CurrentRun, (outer) =>
      outer === undefined || outer.isOver
        ? Deferred.await(this.#start(true).done)
        : Effect.succeed([...outer.results]))
  }

  /** Runs the periodic callbacks, unless a run is under way. */
  maintain(): Effect.Effect<void> {
    return Effect.suspend(() => {
      const run = makeRun({ stopsEarly: false, isAwaited: false })
      const all = this.#runAll(run, ({ periodic }) => periodic)
      return Effect.asVoid(
        this.#oneAtATime.withPermitsIfAvailable(1)(Effect.onExit(all, () => this.#finish(run, true)))
      )
    })
  }

  /** Requests a run, because a level has risen to `Critical` or worse. */
  press(): void {
    this.#isDue = true
  }

  /** Starts the requested run, if it may start now. When the level is below `Critical`, the request is dropped. */
  follow(isPressed: boolean): void {
    this.#isDue &&= isPressed
    const mayStart = this.#isDue && this.#entries.size > 0 && this.#current === undefined && !this.#isOver &&
      this.#now() >= this.#coolUntil
    if (mayStart) this.#start(false)
  }

  /** Interrupts the run that is under way and skips its remaining callbacks. */
  stop(): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.#isOver = true
      return this.#fiber === undefined ? Effect.void : Fiber.interrupt(this.#fiber)
    })
  }

  #now(): number {
    return monotonicMillis(this.#options.clock)
  }

  #start(isDemanded: boolean): Run {
    if (this.#current !== undefined) {
      if (isDemanded) Object.assign(this.#current, { stopsEarly: false, isAwaited: true })
      return this.#current
    }
    const run = this.#current = makeRun({ stopsEarly: !isDemanded, isAwaited: isDemanded })
    this.#isDue = false
    // A tick of the sampler may start the run, which must not take place inside that tick.
    const all = Effect.andThen(Effect.yieldNow, this.#oneAtATime.withPermit(this.#runAll(run, () => true)))
    this.#fiber = this.#options.fork(Effect.onExit(all, () => {
      this.#current = undefined
      if (run.results.length > 0) this.#coolUntil = this.#now() + this.#options.cooldown
      return this.#finish(run, !isDemanded)
    }))
    return run
  }

  #finish(run: Run, mustReport: boolean): Effect.Effect<void> {
    return Effect.suspend(() => {
      run.isOver = true
      run.results.push(...run.left.map(({ name }) => skipped(name, "MonitorClosed")))
      Deferred.doneUnsafe(run.done, Exit.succeed(run.results))
      return mustReport ? reportFailures(run.results) : Effect.void
    })
  }

  #runAll(run: Run, isWanted: (entry: Entry) => boolean): Effect.Effect<void> {
    return Effect.suspend(() => {
      const entries = [...this.#entries].filter(isWanted).sort((left, right) => right.priority - left.priority)
      run.left.push(...entries)
      const take = (entry: Entry) =>
        Effect.flatMap(this.#attempt(entry, run), (result) => {
          run.left.shift()
          run.results.push(result)
          return Effect.yieldNow
        })
      return Effect.forEach(entries, take, { discard: true })
    })
  }

  #attempt(entry: Entry, run: Run): Effect.Effect<CleanupResult> {
    return Effect.suspend(() => {
      const { name } = entry
      const reason = this.#reasonToSkip(entry, run)
      if (reason !== undefined) return Effect.succeed(skipped(name, reason))
      const began = this.#now()
      return Effect.map(
        entry.attempt(this.#options.read, run),
        (exit) => resultOf(name, exit, Duration.millis(this.#now() - began))
      )
    })
  }

  #reasonToSkip(entry: Entry, run: Run): Skipped["reason"] | undefined {
    if (this.#isOver) return "MonitorClosed"
    if (!entry.isRegistered) return "Unregistered"
    return run.stopsEarly && this.#options.isRelieved() ? "PressureGone" : undefined
  }
}

/**
 * Makes the cleanup of a monitor. The end of the scope interrupts the run that is under way.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: CleanupOptions): Effect.Effect<Cleanup, never, Scope.Scope> =>
  Effect.acquireRelease(Effect.sync(() => new Cleanup(options)), (cleanup) => cleanup.stop())
