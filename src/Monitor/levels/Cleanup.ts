/**
 * What a program does when it runs out of room: callbacks in order, each bounded, one run at a time.
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
import { supervised } from "../../internal/Bounded.ts"
import { checkOptions } from "../../internal/Options.ts"
import { safeMessage } from "../../internal/SafeText.ts"
import { sleepUnref } from "../../internal/Timer.ts"
import { report } from "../../internal/Unhandled.ts"
import type { Usage } from "../Usage.ts"

interface Ending {
  /** The callback's name. */
  readonly name: string
  /** How long it ran. */
  readonly duration: Duration.Duration
}

const took = ({ duration }: Ending): string => Duration.format(Duration.millis(Math.round(Duration.toMillis(duration))))

/**
 * The callback ran to its end.
 *
 * @category models
 * @since 0.1.0
 */
export class Done extends Data.TaggedClass("Done")<Ending> {
  get message(): string {
    return safeMessage(`${this.name} is done after ${took(this)}`)
  }
}

/**
 * The callback failed, or was interrupted by itself.
 *
 * @category models
 * @since 0.1.0
 */
export class Failed extends Data.TaggedClass("Failed")<Ending & { readonly cause: Cause.Cause<unknown> }> {
  get message(): string {
    return safeMessage(`${this.name} failed after ${took(this)}`)
  }
}

/**
 * The callback died: it has a bug.
 *
 * @category models
 * @since 0.1.0
 */
export class Died extends Data.TaggedClass("Died")<Ending & { readonly cause: Cause.Cause<unknown> }> {
  get message(): string {
    return safeMessage(`${this.name} died after ${took(this)}`)
  }
}

/**
 * The callback was interrupted at its timeout. One that cannot be interrupted goes on, and nobody waits for it.
 *
 * @category models
 * @since 0.1.0
 */
export class TimedOut extends Data.TaggedClass("TimedOut")<Ending> {
  get message(): string {
    return safeMessage(`${this.name} had not ended after ${took(this)}`)
  }
}

/**
 * The callback did not run to its end, and need not: the pressure was gone before its turn, its scope had closed by then, or
 * the monitor has closed.
 *
 * @category models
 * @since 0.1.0
 */
export class Skipped extends Data.TaggedClass("Skipped")<
  Ending & { readonly reason: "PressureGone" | "Unregistered" | "MonitorClosed" }
> {
  get message(): string {
    return safeMessage(`${this.name} was skipped: ${this.reason}`)
  }
}

/**
 * How one callback of a cleanup ended. Each has a `message` for a log.
 *
 * @category models
 * @since 0.1.0
 */
export type CleanupResult = Done | Failed | Died | TimedOut | Skipped

/** What is known of a callback whose run has ended; `undefined` stands for one that was left at its timeout. */
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

/** A callback that was not run to its end. */
export const skipped = (name: string, reason: Skipped["reason"]): Skipped =>
  new Skipped({ name, duration: Duration.zero, reason })

/** A callback that did not do what it should. */
export const isFailure = (result: CleanupResult): result is Failed | Died | TimedOut =>
  result._tag === "Failed" || result._tag === "Died" || result._tag === "TimedOut"

/**
 * What to do under pressure.
 *
 * @category models
 * @since 0.1.0
 */
export interface PressureCallback<out E = never, out R = never> {
  /** Names the callback in results and logs. @default "callback" and a number */
  readonly name?: string | undefined
  /** Higher ones run first, equal ones in the order in which they were registered: any finite number. @default 0 */
  readonly priority?: number | undefined
  /** How long it may take: a finite duration above 0. Then it is interrupted, and the next one runs. @default 5 seconds */
  readonly timeout?: Duration.Input | undefined
  /** Whether it runs in each round of maintenance as well, whatever the level. @default false */
  readonly periodic?: boolean | undefined
  /** What to do: an effect, or a function of the readings at that moment. What it yields is ignored. */
  readonly run: Effect.Effect<unknown, E, R> | ((usage: Usage) => Effect.Effect<unknown, E, R>)
}

/** A callback as it is kept. */
interface Entry {
  readonly name: string
  readonly priority: number
  readonly periodic: boolean
  /** Runs it within its timeout; `undefined` if it has not ended by then. */
  readonly attempt: (read: () => Usage, run: Run) => Effect.Effect<Exit.Exit<unknown, unknown> | undefined>
  isRegistered: boolean
}

/** One run through the callbacks. */
interface Run {
  /** The callbacks whose turn has not ended. */
  readonly left: Array<Entry>
  readonly results: Array<CleanupResult>
  readonly done: Deferred.Deferred<ReadonlyArray<CleanupResult>>
  /** It ends when the pressure is gone. */
  stopsEarly: boolean
  /** Somebody waits for it, so that the process must not end before it has. */
  isAwaited: boolean
  isOver: boolean
}

/**
 * What the callbacks need from their monitor.
 *
 * @category models
 * @since 0.1.0
 */
export interface CleanupOptions {
  /** Takes the readings anew. */
  readonly read: () => Usage
  /** Whether the pressure is gone, so that the callbacks that are left need not run. */
  readonly isRelieved: () => boolean
  /** Milliseconds from the end of a run to the next one that nobody asked for. */
  readonly cooldown: number
}

/**
 * Callbacks of a monitor, and their runs.
 *
 * @category models
 * @since 0.1.0
 */
export interface Cleanup {
  readonly register: <E, R>(callback: PressureCallback<E, R>) => Effect.Effect<void, never, R | Scope.Scope>
  /** Runs all callbacks, or joins the run that is under way. */
  readonly demand: () => Effect.Effect<ReadonlyArray<CleanupResult>>
  /** Runs those that are periodic, unless a run is under way. */
  readonly maintain: () => Effect.Effect<void>
  /** The level has become `Critical` or worse: a run is due. */
  readonly press: () => void
  /** Starts the run that is due, if it may start now; forgets it when the level is below `Critical`. */
  readonly follow: (isPressed: boolean) => void
}

const failures = Metric.counter("sluice.monitor.cleanup.failures", {
  description: "Cleanup callbacks that failed, died or ran out of time in a run that nobody asked for",
  incremental: true
})

/** The run that a callback is part of: a callback that asks for a cleanup must not wait for itself. */
const CurrentRun: Context.Reference<Run | undefined> = Context.Reference<Run | undefined>(
  "effect-sluice/Monitor/CurrentRun",
  { defaultValue: () => undefined }
)

const { duration, require } = checkOptions("ResourceMonitor.onPressure")

const sleep = (duration: Duration.Input): Effect.Effect<void> => sleepUnref(Duration.toMillis(duration))

const entryOf = <E, R>(callback: PressureCallback<E, R>, count: number, context: Context.Context<R>): Entry => {
  const { name = `callback ${count}`, periodic = false, priority = 0, run: act } = callback
  require(Number.isFinite(priority), "priority", priority, "be a finite number")
  const within = duration("timeout", callback.timeout ?? "5 seconds", { min: 0, exclusive: true })
  return {
    name,
    priority,
    periodic,
    attempt: (read, run) =>
      Effect.suspend(() => Effect.isEffect(act) ? act : act(read())).pipe(
        Effect.provideService(CurrentRun, run),
        Effect.provideContext(context),
        // A callback that does not let itself be interrupted must not hold up the next one.
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

/** What nobody receives is logged and counted. */
const reportFailures = (results: ReadonlyArray<CleanupResult>): Effect.Effect<void> =>
  Effect.forEach(results.filter(isFailure), (result) =>
    Effect.andThen(
      Metric.update(failures, 1),
      report(`ResourceMonitor: cleanup: ${result.message}`, result._tag === "TimedOut" ? undefined : result.cause)
    ), { discard: true })

class Callbacks implements Cleanup {
  readonly #surroundings: CleanupOptions
  readonly #fork: (effect: Effect.Effect<void>) => Fiber.Fiber<void>
  readonly #clock: Clock.Clock
  readonly #oneAtATime = Semaphore.makeUnsafe(1)
  readonly #entries = new Set<Entry>()
  #registered = 0
  /** The run of all callbacks that is under way or about to begin, and its fiber. */
  #current: Run | undefined
  #fiber: Fiber.Fiber<void> | undefined
  #isDue = false
  #isOver = false
  #coolUntil = -Infinity

  constructor(
    surroundings: CleanupOptions,
    fork: (effect: Effect.Effect<void>) => Fiber.Fiber<void>,
    clock: Clock.Clock
  ) {
    this.#surroundings = surroundings
    this.#fork = fork
    this.#clock = clock
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

  demand(): Effect.Effect<ReadonlyArray<CleanupResult>> {
    return Effect.flatMap(CurrentRun, (outer) =>
      outer === undefined || outer.isOver
        ? Deferred.await(this.#start(true).done)
        : Effect.succeed([...outer.results]))
  }

  maintain(): Effect.Effect<void> {
    return Effect.suspend(() => {
      const run = makeRun({ stopsEarly: false, isAwaited: false })
      const all = this.#runAll(run, ({ periodic }) => periodic)
      return Effect.asVoid(
        this.#oneAtATime.withPermitsIfAvailable(1)(Effect.onExit(all, () => this.#finish(run, true)))
      )
    })
  }

  press(): void {
    this.#isDue = true
  }

  follow(isPressed: boolean): void {
    this.#isDue &&= isPressed
    const mayStart = this.#isDue && this.#entries.size > 0 && this.#current === undefined && !this.#isOver &&
      this.#now() >= this.#coolUntil
    if (mayStart) this.#start(false)
  }

  /** Ends the run that is under way; what it has not run is skipped. */
  stop(): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.#isOver = true
      return this.#fiber === undefined ? Effect.void : Fiber.interrupt(this.#fiber)
    })
  }

  #now(): number {
    return Number(this.#clock.monotonicTimeNanosUnsafe()) / 1e6
  }

  #start(isDemanded: boolean): Run {
    if (this.#current !== undefined) {
      if (isDemanded) Object.assign(this.#current, { stopsEarly: false, isAwaited: true })
      return this.#current
    }
    const run = this.#current = makeRun({ stopsEarly: !isDemanded, isAwaited: isDemanded })
    this.#isDue = false
    // The run is none of the sampler's work, in whose tick it may be started.
    const all = Effect.andThen(Effect.yieldNow, this.#oneAtATime.withPermit(this.#runAll(run, () => true)))
    this.#fiber = this.#fork(Effect.onExit(all, () => {
      this.#current = undefined
      if (run.results.length > 0) this.#coolUntil = this.#now() + this.#surroundings.cooldown
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
        entry.attempt(this.#surroundings.read, run),
        (exit) => resultOf(name, exit, Duration.millis(this.#now() - began))
      )
    })
  }

  #reasonToSkip(entry: Entry, run: Run): Skipped["reason"] | undefined {
    if (this.#isOver) return "MonitorClosed"
    if (!entry.isRegistered) return "Unregistered"
    return run.stopsEarly && this.#surroundings.isRelieved() ? "PressureGone" : undefined
  }
}

/**
 * Callbacks and their runs, until the scope ends: then the run that is under way ends too.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (surroundings: CleanupOptions): Effect.Effect<Cleanup, never, Scope.Scope> =>
  Effect.gen(function*() {
    const fork = Effect.runForkWith(yield* Effect.context<never>())
    const clock = yield* Effect.clockWith(Effect.succeed)
    return yield* Effect.acquireRelease(
      Effect.sync(() => new Callbacks(surroundings, fork, clock)),
      (callbacks) => callbacks.stop()
    )
  })
