/**
 * One borrow of a pool, with a neighbour, in which one step goes wrong in one way, and which is interrupted after so many
 * scheduling steps.
 */
import { Context, Deferred, Effect, Exit, type Fiber, Scope } from "effect"
import type * as ResourceMonitor from "../../../src/Monitor/ResourceMonitor.ts"
import * as ConnectionBudget from "../../../src/Pool/ConnectionBudget.ts"
import * as ConnectionPool from "../../../src/Pool/ConnectionPool.ts"
import * as RetryPolicy from "../../../src/Retry/RetryPolicy.ts"
import { HandDriven } from "../../support/HandDriven.ts"
import * as Scripted from "../../support/ScriptedConnector.ts"

/** What a borrow goes through: its wait behind another, the budget's permit, ..., the end of the connection. */
export const steps = [
  "wait",
  "permit",
  "open",
  "afterOpen",
  "check",
  "beforeLend",
  "use",
  "afterReturn",
  "close"
] as const

export type Step = typeof steps[number]

/** What happens in that step. */
export const outcomes = ["ok", "fail", "die", "slow", "never"] as const

export type Outcome = typeof outcomes[number]

/** Who is interrupted: the borrower, the borrower while the pool is drained, or whoever drains it. */
export const subjects = ["borrower", "borrower in a drain", "drain"] as const

export interface Case {
  readonly step: Step
  readonly outcome: Outcome
  readonly by: "use" | "get"
  readonly subject: typeof subjects[number]
  /** Leases are watched: one is reported after a while, and ended a while later. */
  readonly watched: boolean
  readonly maxOps: number
  /** Scheduling steps of the borrow before the drain begins. */
  readonly drainAfter: number
}

export const describeCase = ({ by, drainAfter, maxOps, outcome, step, subject, watched }: Case): string =>
  `${step} ${outcome}, by ${by}${
    watched ? " of a watched lease" : ""
  }, interrupting the ${subject}, maxOps ${maxOps}, ` +
  `drained after ${drainAfter}`

/** A finalizer that never ends is left behind with its socket. */
export const isStuck = ({ outcome, step }: Case): boolean => step === "close" && outcome === "never"

/** Neither a timeout nor a close takes longer, in ms. */
const longEnough = 2000

/** A check that hangs is cut off after a while, and so outlasts a lease that is watched. */
const watch = { leakThreshold: 5, maxLease: 15 }

const slowly = Effect.gen(function*() {
  for (let turn = 0; turn < 3; turn++) yield* Effect.yieldNow
})

const act = (outcome: Outcome): Effect.Effect<void, Scripted.ScriptedFailure> => {
  switch (outcome) {
    case "ok":
      return Effect.void
    case "fail":
      return Effect.fail(new Scripted.ScriptedFailure("ECONNREFUSED"))
    case "die":
      return Effect.die(new Error("scripted defect"))
    case "slow":
      return slowly
    case "never":
      return Effect.never
  }
}

type Pool = ConnectionPool.ConnectionPool<string, Scripted.Scripted>

type Borrowing = Effect.Effect<unknown, Scripted.ScriptedFailure>

export class Trial {
  readonly #case: Case
  readonly #world = new HandDriven()
  readonly #scope = Scope.makeUnsafe()
  readonly #over = Deferred.makeUnsafe<void>()
  readonly #fork: <A, E>(effect: Effect.Effect<A, E, ResourceMonitor.ResourceMonitor>) => Fiber.Fiber<A, E>
  readonly #pool: Pool
  readonly #scripted: ReturnType<typeof Scripted.make>
  readonly #fibers: Array<Fiber.Fiber<unknown, unknown>> = []
  #isTroubled = false

  constructor(trial: Case, services: Context.Context<ResourceMonitor.ResourceMonitor>) {
    this.#case = trial
    this.#world.opsBeforeYield = trial.maxOps
    const budget = { take: () => Effect.as(this.#permit, {}) }
    this.#fork = Effect.runForkWith(
      Context.add(this.#world.services(services), ConnectionBudget.ConnectionBudget, budget)
    )
    this.#scripted = Scripted.make({
      open: () => this.#misbehave("open"),
      check: () => this.#misbehave("check"),
      close: () => Effect.ignore(this.#misbehave("close"))
    })
    const made = this.#fork(Scope.provide(this.#make(trial), this.#scope))
    this.#world.flush()
    const exit = made.pollUnsafe()
    if (exit === undefined || Exit.isFailure(exit)) throw new Error("a pool is made without waiting")
    this.#pool = exit.value
  }

  #make({ step, watched }: Case) {
    const hook = () => this.#misbehave(step)
    return ConnectionPool.make({
      connector: this.#scripted.connector,
      maxPerEndpoint: 1,
      maxTotal: 2,
      checkAfterIdle: 0,
      acquireTimeout: 50,
      connectTimeout: 20,
      closeTimeout: 20,
      retry: RetryPolicy.make({ maxAttempts: 2, initialDelay: 5, maxDelay: 5, jitter: 0 }),
      // Where leases are limited, each is used by a fiber of the pool's.
      ...(watched ? watch : {}),
      // A pool without hooks lends along another path than one with them.
      hooks: step === "afterOpen" || step === "beforeLend" || step === "afterReturn" ? { [step]: hook } : {}
    })
  }

  #misbehave(step: Step): Effect.Effect<void, Scripted.ScriptedFailure> {
    return Effect.suspend(() => this.#isTroubled && step === this.#case.step ? act(this.#case.outcome) : Effect.void)
  }

  /** A budget cannot fail, and its permit comes some day. */
  get #permit(): Effect.Effect<void> {
    return Effect.orDie(Effect.raceFirst(this.#misbehave("permit"), Deferred.await(this.#over)))
  }

  #borrow(by: "use" | "get", key: string, f: (connection: Scripted.Scripted) => Borrowing): Fiber.Fiber<unknown> {
    const borrowing = by === "use"
      ? ConnectionPool.use(this.#pool, key, f)
      : Effect.scoped(Effect.flatMap(ConnectionPool.get(this.#pool, key), f))
    const fiber = this.#fork(Effect.exit(borrowing))
    this.#fibers.push(fiber)
    return fiber
  }

  /** What the borrower does with its connection. */
  #work(connection: Scripted.Scripted): Borrowing {
    switch (this.#case.step) {
      case "use":
        return act(this.#case.outcome)
      case "close":
        return ConnectionPool.invalidate(this.#pool, connection)
      default:
        return Effect.void
    }
  }

  /**
   * Runs the trial and interrupts after so many scheduling steps. The result says whether there was anything to interrupt
   * then: if not, further steps are pointless.
   */
  async run(after: number): Promise<boolean> {
    await this.#prepare()
    const { by, drainAfter, step, subject } = this.#case
    const latch = Deferred.makeUnsafe<void>()
    if (step === "wait") {
      this.#borrow("use", "a", () => Effect.andThen(Deferred.await(latch), act(this.#case.outcome)))
      await this.#world.settle()
    }
    this.#isTroubled = true
    const borrower = this.#borrow(by, "a", (connection) => this.#work(connection))
    const neighbour = this.#borrow("use", "a", Effect.succeed)
    Deferred.doneUnsafe(latch, Exit.void)
    let drain: Fiber.Fiber<unknown> | undefined
    if (subject !== "borrower") {
      await this.#steps(drainAfter, borrower)
      drain = this.#fork(ConnectionPool.drain(this.#pool, 30))
    }
    const target = drain !== undefined && subject === "drain" ? drain : borrower
    const isReached = await this.#steps(after, target)
    if (!isReached) this.#expectLimit(target)
    target.interruptUnsafe()
    await this.#world.settle()
    this.#expect(target.pollUnsafe() !== undefined, "the interruption is held up")
    await (drain === undefined ? this.#finish(neighbour) : this.#finishDrain(drain))
    return isReached
  }

  /** Where the step needs one, there is an idle connection to begin with. */
  async #prepare(): Promise<void> {
    if (this.#case.step !== "check") return
    this.#borrow("use", "a", Effect.succeed)
    await this.#world.advance(1)
  }

  /** Goes so many scheduling steps; `false` if the fiber has ended, or cannot end, before. */
  async #steps(count: number, fiber: Fiber.Fiber<unknown>): Promise<boolean> {
    for (let step = 0; step < count; step++) {
      if (fiber.pollUnsafe() !== undefined || this.#world.now > 100) return false
      if (!await this.#world.step()) return false
    }
    return fiber.pollUnsafe() === undefined
  }

  /** Nobody is stranded, nothing is lost, and the pool lends as before. */
  async #finish(neighbour: Fiber.Fiber<unknown>): Promise<void> {
    this.#expectCounts()
    await this.#world.advance(longEnough)
    this.#expect(neighbour.pollUnsafe() !== undefined, "the neighbour is stranded")
    await this.#mend()
    const next = ["a", "b"].map((key) => this.#borrow("use", key, Effect.succeed))
    await this.#world.advance(100)
    for (const fiber of next) {
      const exit = fiber.pollUnsafe()
      const isServed = exit !== undefined && Exit.isSuccess(exit) && Exit.isExit(exit.value) &&
        Exit.isSuccess(exit.value)
      this.#expect(isServed, "the next borrow gets nothing")
    }
    this.#expectCounts()
    const { active, closing, connecting, waiting } = this.#stats
    this.#expect(active + closing + connecting + waiting === 0, `left: ${JSON.stringify(this.#stats)}`)
    await this.#finishDrain(this.#fork(ConnectionPool.drain(this.#pool, 30)))
  }

  /** Whoever drains the pool, and whatever became of an earlier drain: it ends, and nothing is left. */
  async #finishDrain(drain: Fiber.Fiber<unknown>): Promise<void> {
    // A slot is free a step after the last finalizer has ended, and other fibers may come in between.
    await this.#world.settle()
    this.#expectCounts()
    const again = this.#fork(ConnectionPool.drain(this.#pool, 30))
    await this.#world.advance(longEnough)
    await this.#mend()
    await this.#world.advance(longEnough)
    this.#expect(drain.pollUnsafe() !== undefined && again.pollUnsafe() !== undefined, "a drain does not end")
    const { active, closing, connecting, idle, waiting } = this.#stats
    this.#expect(active + closing + connecting + idle + waiting === 0, `after a drain: ${JSON.stringify(this.#stats)}`)
    const refused = this.#borrow("use", "a", Effect.succeed)
    this.#fork(Scope.close(this.#scope, Exit.void))
    await this.#world.settle()
    this.#expect(refused.pollUnsafe() !== undefined, "a drained pool does not refuse")
    for (const fiber of this.#fibers) fiber.interruptUnsafe()
    await this.#world.settle()
    this.#expect(this.#world.sleeping === 0, `${this.#world.sleeping} timers are left`)
    const left = this.#scripted.openNow()
    this.#expect(left === 0 || isStuck(this.#case), `${left} connections are left`)
  }

  /** From here on everything works. Who still holds something gives it back. */
  async #mend(): Promise<void> {
    this.#isTroubled = false
    Deferred.doneUnsafe(this.#over, Exit.void)
    for (const fiber of this.#fibers) fiber.interruptUnsafe()
    await this.#world.settle()
  }

  get #stats(): ConnectionPool.Stats {
    return Effect.runSync(ConnectionPool.stats(this.#pool))
  }

  /** The pool counts what its connector counts, and no cap was ever passed. */
  #expectCounts(): void {
    if (isStuck(this.#case)) return
    const { ledger, openNow } = this.#scripted
    const { connecting, total } = this.#stats
    // A slot that waits for its permit has no socket yet.
    const isEarly = this.#case.step === "permit" && connecting > 0
    this.#expect(total === openNow() || isEarly, `${openNow()} are open, but stats says ${JSON.stringify(this.#stats)}`)
    this.#expect(ledger.peakPerKey <= 1 && ledger.peakTotal <= 2, `${ledger.peakPerKey} or ${ledger.peakTotal} at once`)
  }

  /** Left to itself, a lease that is watched has ended, and with it the effect of a borrower that has its connection by `use`. */
  #expectLimit(borrower: Fiber.Fiber<unknown>): void {
    const { by, outcome, step, subject, watched } = this.#case
    if (!watched || step !== "use" || outcome !== "never" || subject !== "borrower") return
    this.#expect(this.#stats.leasesExpired > 0, "a lease is held for longer than maxLease")
    this.#expect(by === "get" || borrower.pollUnsafe() !== undefined, "an effect outlives its lease")
  }

  #expect(condition: boolean, otherwise: string): void {
    if (!condition) throw new Error(otherwise)
  }
}
