/**
 * One warm instance of a function on any platform: its services, its invocations, and its shutdown.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { CloseTimeout } from "../../internal/CloseTimeout.ts"
import type { OptionCheck } from "../../internal/Options.ts"
import { awaitWithin, supervised } from "../../internal/Timeout.ts"
import { loopTurn } from "../../internal/Timer.ts"
import { report } from "../../internal/UnhandledLog.ts"
import { PoolRegistry } from "../../Pool/PoolRegistry.ts"
import { InstanceClosing, InvocationError, InvocationTimeout } from "../InvocationError.ts"
import { freezeBetween, hiddenBetween, type Moment, momentOf, type Start } from "./FreezeDetector.ts"
import { InstancePools } from "./InstancePools.ts"
import { LazyRuntime } from "./LazyRuntime.ts"
import { type InvocationBudget, shutdownBudget } from "./ShutdownBudget.ts"

/**
 * What happens to the connections between two invocations, when no other invocation of the instance runs.
 *
 * - `closeIdle`: the pools close idle connections, and the services stay. Other instances can use the server's room.
 * - `keep`: they stay open, and are rechecked before the next invocation gets one. An instance that is frozen closes none, so the server
 *   needs room for the connections of all instances.
 * - `closeAll`: the layer is closed, and built again for the next invocation.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export type Between = "keep" | "closeIdle" | "closeAll"

const ways: ReadonlyArray<Between> = ["keep", "closeIdle", "closeAll"]

/** The option `between` with its default. By default nothing stays open that other instances may need. */
export const betweenOf = (check: OptionCheck, between: Between | undefined): Between => {
  if (between === undefined) return "closeIdle"
  check.require(ways.includes(between), "between", between, `be one of ${ways.join(", ")}`)
  return between
}

/** The result of a shutdown. */
export interface Shutdown {
  /** Everything was closed in time, and every invocation has ended. */
  readonly isComplete: boolean
  /** Connections that are still open. */
  readonly connections: number
  readonly millis: number
}

/**
 * How many turns of the event loop pass before connections are rechecked. In the first turn, the end of a connection is read.
 * In the second, the fiber that waits for it resumes, and the pool removes the connection. The third is for clients with one
 * more step.
 */
const turns = 3

const settle = Effect.forEach(Array.from({ length: turns }), () => loopTurn, { discard: true })

/** Whether a fiber ends within this time. Without any time left it is not waited for, not even for a turn of the event loop. */
const within = <A, E>(fiber: Fiber.Fiber<A, E>, millis: number): Effect.Effect<boolean> =>
  millis > 0
    ? Effect.map(awaitWithin(fiber, Duration.millis(millis)), (exit) => exit !== undefined)
    : Effect.sync(() => fiber.pollUnsafe() !== undefined)

/** Starts an effect that runs to its end in the background. */
const inBackground = (effect: Effect.Effect<unknown>): Effect.Effect<Fiber.Fiber<unknown>> =>
  Effect.forkDetach(Effect.uninterruptible(effect), { startImmediately: true })

export class WarmInstance<R, E> {
  readonly #pools: InstancePools
  readonly #runtime: LazyRuntime<R, E>
  readonly #context: Context.Context<never>
  readonly #clock: Clock.Clock
  readonly #between: Between
  /** The close timeout of resources outside of pools, read when they close. */
  readonly #closing = { closeTimeout: Context.get(Context.empty(), CloseTimeout).closeTimeout }
  readonly #running = new Set<Fiber.Fiber<unknown, unknown>>()
  /** Those that have been answered for and go on, because another one ran when their connections were to be closed. */
  readonly #hanging = new Set<Fiber.Fiber<unknown, unknown>>()
  #active = 0
  /** Invocations that wait for the effects of a freeze; new ones meanwhile wait as well. */
  #thawing = 0
  #lastActive: Moment
  #lastStart: Start
  /** Milliseconds since the last invocation that no clock shows, and that no pool was given yet. */
  #hidden = 0
  #isClosing = false
  #shutdown: Fiber.Fiber<Shutdown> | undefined

  /** `context` is the context of the process. Services of an invocation's context are used only for that invocation. */
  constructor(options: {
    readonly layer: Layer.Layer<R, E>
    readonly between: Between
    readonly context: Context.Context<never>
    /** The record of its pools, if the caller shares it. */
    readonly pools?: InstancePools | undefined
  }) {
    this.#pools = options.pools ?? new InstancePools()
    this.#between = options.between
    this.#context = options.context.pipe(
      Context.add(PoolRegistry, this.#pools),
      Context.add(CloseTimeout, this.#closing)
    )
    this.#clock = Context.get(options.context, Clock.Clock)
    this.#runtime = new LazyRuntime(options.layer, this.#context)
    this.#lastActive = momentOf(this.#clock)
    this.#lastStart = { at: this.#lastActive, deadline: undefined }
  }

  /**
   * Runs an effect as one invocation, in a new scope. Fails with `InvocationError` if the effect did not end in time or the
   * instance is closing, and never takes longer than `budget.total`. `remaining` is the platform's remaining time of the
   * invocation, in milliseconds.
   */
  invoke<A, E2>(
    effect: Effect.Effect<A, E2, R | Scope.Scope>,
    budget: InvocationBudget,
    remaining?: number
  ): Effect.Effect<A, E | E2 | InvocationError> {
    return Effect.uninterruptibleMask((restore) =>
      Effect.suspend(() => {
        if (this.#isClosing) return refuse(new InstanceClosing({ hasBegun: false }))
        if (budget.run <= 0) return refuse(new InvocationTimeout({ after: Duration.zero, hasEnded: true }))
        const at = momentOf(this.#clock)
        const start = at.monotonic
        this.#begin({ at, deadline: remaining === undefined ? undefined : at.wall + remaining })
        this.#active++
        return Effect.onExit(
          restore(this.#supervise(effect, budget, start)),
          () => this.#end(start + budget.total)
        )
      })
    )
  }

  /** Closes the instance within `window` milliseconds, even if something hangs. A second call joins the first. */
  shutdown(window: number): Effect.Effect<Shutdown> {
    return Effect.suspend(() => {
      this.#isClosing = true
      this.#shutdown ??= Effect.runForkWith(this.#context)(this.#close(window))
      return Fiber.join(this.#shutdown)
    })
  }

  #begin(start: Start): void {
    this.#hidden = Math.max(this.#hidden, hiddenBetween(this.#lastStart, start))
    this.#lastStart = start
  }

  #supervise<A, E2>(
    effect: Effect.Effect<A, E2, R | Scope.Scope>,
    budget: InvocationBudget,
    start: number
  ): Effect.Effect<A, E | E2 | InvocationError> {
    let fiber: Fiber.Fiber<unknown, unknown> | undefined
    const whole = Effect.withFiber<A, E | E2 | InvocationError>((own) => {
      fiber = own
      // If a shutdown has begun since this invocation was accepted, it would not close the services that this invocation
      // builds.
      if (this.#isClosing) return refuse(new InstanceClosing({ hasBegun: false }))
      this.#running.add(own)
      own.addObserver(() => this.#running.delete(own))
      return this.#run(effect)
    })
    const finalized = start + budget.run + budget.finalize
    // A caller may interrupt the invocation long before its time is over.
    const patience = () => Duration.millis(Math.min(budget.finalize, this.#until(finalized)))
    const bounds = { within: Duration.millis(budget.run), patience }
    return Effect.flatMap(supervised(whole, bounds), (exit): Effect.Effect<A, E | E2 | InvocationError> => {
      if (exit === undefined) return this.#timedOut(fiber, budget, finalized + budget.force)
      // The shutdown has interrupted only the invocation, so its caller gets an error, not an interruption.
      return this.#isClosing && Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause)
        ? refuse(new InstanceClosing({ hasBegun: true }))
        : exit
    })
  }

  #run<A, E2>(effect: Effect.Effect<A, E2, R | Scope.Scope>): Effect.Effect<A, E | E2> {
    const ready = this.#active > 1 && this.#thawing === 0 ? Effect.void : this.#thaw
    return Effect.andThen(ready, this.#runtime.services).pipe(
      Effect.flatMap((services) => Effect.provideContext(Effect.scoped(effect), services)),
      Effect.provideService(PoolRegistry, this.#pools),
      Effect.provideService(CloseTimeout, this.#closing)
    )
  }

  /**
   * The process may have been frozen between two invocations. The kernel reports the state of its connections only now,
   * possibly after the next invocation starts, so this waits for the reports.
   */
  readonly #thaw: Effect.Effect<void> = Effect.suspend(() => {
    if (this.#pools.connections === 0) {
      this.#hidden = 0
      return Effect.void
    }
    this.#thawing++
    const judged = Effect.map(settle, () => {
      const now = momentOf(this.#clock)
      this.#pools.judge(freezeBetween(this.#lastActive, now, this.#hidden))
      this.#lastActive = now
      this.#hidden = 0
    })
    return Effect.ensuring(judged, Effect.sync(() => this.#thawing--))
  })

  #timedOut(
    fiber: Fiber.Fiber<unknown, unknown> | undefined,
    budget: InvocationBudget,
    end: number
  ): Effect.Effect<never, InvocationError> {
    const after = Duration.millis(budget.run)
    const fail = (hasEnded: boolean) => refuse(new InvocationTimeout({ after, hasEnded }))
    if (fiber === undefined || fiber.pollUnsafe() !== undefined) return fail(true)
    // An invocation that hangs usually waits for a peer, so it may end when its connections are closed. That is possible only
    // if no other invocation runs, because the connections may belong to that one. Otherwise it follows at the end of the last one.
    if (this.#active > 1) {
      this.#hanging.add(fiber)
      fiber.addObserver(() => this.#hanging.delete(fiber))
      return fail(false)
    }
    this.#pools.force()
    return Effect.flatMap(within(fiber, this.#until(end)), fail)
  }

  /** The milliseconds until a time of the monotonic clock. Limits that come from times do not add up their delays. */
  #until(time: number): number {
    return Math.max(time - momentOf(this.#clock).monotonic, 0)
  }

  #end(deadline: number): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.#active--
      this.#lastActive = momentOf(this.#clock)
      if (this.#active > 0 || this.#isClosing) return Effect.void
      if (this.#hanging.size > 0) this.#pools.force()
      this.#hanging.clear()
      this.#pools.endDials()
      if (this.#between === "keep") return Effect.void
      const isIdle = this.#between === "closeIdle"
      const close = isIdle ? this.#pools.closeIdle : this.#runtime.close
      const left = Math.floor(this.#until(deadline))
      // A connection that is still being opened does not delay the answer for longer.
      const patience = isIdle ? Math.min(left, this.#pools.closing) : left
      const ends = Effect.flatMap(inBackground(close), (fiber) => within(fiber, patience))
      return Effect.flatMap(ends, (ended) =>
        ended ? Effect.void : report(
          `WarmInstance: ${this.#between} has not ended within ${
            Duration.format(Duration.millis(patience))
          }, and goes on after the answer`
        ))
    })
  }

  #close(window: number): Effect.Effect<Shutdown> {
    const budget = shutdownBudget(window)
    return Effect.gen({ self: this }, function*() {
      const start = momentOf(this.#clock).monotonic
      // A step that was late, because the event loop was busy, takes the time of the next one and not that of the window.
      const step = (millis: number, end: number) => Math.min(millis, this.#until(start + end))
      const { invocations, layers, pools, total } = budget
      this.#pools.hurry({ drainTimeout: budget.drain, closeTimeout: budget.close })
      this.#closing.closeTimeout = Duration.min(this.#closing.closeTimeout, Duration.millis(budget.close))
      const running = [...this.#running]
      for (const fiber of running) fiber.interruptUnsafe()
      yield* within(yield* inBackground(Fiber.awaitAll(running)), step(invocations, invocations))
      const closing = yield* inBackground(this.#runtime.close)
      if (!(yield* within(closing, step(layers, invocations + layers)))) {
        // Something in the layer hangs: everything else is closed at the same time.
        const left = step(pools, invocations + layers + pools)
        const together = Effect.all([this.#pools.drain(left), this.#runtime.force], {
          concurrency: "unbounded",
          discard: true
        })
        yield* within(yield* inBackground(together), left)
        yield* within(closing, this.#until(start + total))
      }
      return {
        isComplete: closing.pollUnsafe() !== undefined && this.#running.size === 0,
        connections: this.#pools.connections,
        millis: momentOf(this.#clock).monotonic - start
      }
    })
  }
}

const refuse = (reason: InstanceClosing | InvocationTimeout): Effect.Effect<never, InvocationError> =>
  Effect.fail(new InvocationError({ reason }))
