/**
 * A random history of one `EndpointPool`, the same for the same seed: borrowers on fibers that pause, dials, checks, removals,
 * reservations and resizes. After each step of a fiber, and after each call, what the pool shows is what the model says.
 */
import { assert } from "@effect/vitest"
import { Cause, Clock, Context, Effect, Exit, Fiber, Pool, Scheduler, Scope } from "effect"
import { EndpointPool, type Item, makeStrategy, mayYield } from "../../../src/Pool/internal/EndpointPool.ts"
import { seeded } from "../../support/random.ts"
import { EndpointModel } from "./EndpointModel.ts"

/** When a fiber pauses: after so many operations, or when a scheduler that is not Effect's says so. */
export type Pausing = number | "by a foreign scheduler"

export interface Options {
  readonly seed: number
  readonly concurrency: number
  readonly pausing: Pausing
}

/** What has a lease, or waits for one: a borrower, a dial, a check. */
interface Holder {
  item: Item<Holder> | undefined
  /** By `Pool.use`, by a lease that it ends itself, or by one that it leaves behind, as in a scope that others close. */
  readonly way: "use" | "get" | "hold"
  /** Lets it go on with the lease that it has been given. */
  wake: () => void
}

const makeHolder = (item?: Item<Holder>, way: Holder["way"] = "get"): Holder => ({ item, way, wake: () => {} })

/** Tasks of all fibers, run one by one. */
class Tasks {
  readonly #tasks: Array<() => void> = []

  scheduler(pausing: Pausing): Scheduler.Scheduler {
    const dispatcher = { scheduleTask: this.add, flush: () => {} }
    const makeDispatcher = () => dispatcher
    if (typeof pausing === "number") return Object.assign(new Scheduler.MixedScheduler("sync"), { makeDispatcher })
    return { executionMode: "sync", shouldYield: (fiber) => fiber.currentOpCount >= 5, makeDispatcher }
  }

  readonly add = (task: () => void): void => void this.#tasks.push(task)

  /** Whether there was one to run. */
  runNext(): boolean {
    const task = this.#tasks.shift()
    task?.()
    return task !== undefined
  }
}

/** So many operations of the run loop. */
const operations = (count: number): Effect.Effect<void> => {
  let effect = Effect.void
  for (let index = 0; index < count; index++) effect = Effect.andThen(effect, Effect.void)
  return effect
}

class History {
  readonly #random: () => number
  readonly #tasks = new Tasks()
  readonly #context: Context.Context<never>
  readonly #pool: EndpointPool<Holder>
  readonly #model: EndpointModel<Holder>
  readonly #closings = new Map<Item<Holder>, number>()
  readonly #waiting: Array<Holder> = []
  readonly #fibers = new Set<Fiber.Fiber<unknown, unknown>>()
  /** Those that hold, or may come to hold, a lease. */
  readonly #borrowers = new Set<Holder>()
  readonly #dials = new Set<Holder>()
  readonly #checks = new Set<Holder>()
  /** Those whose borrowers have ended. */
  readonly #held = new Set<Holder>()
  /** Ends a pause of a borrower. */
  readonly #pauses: Array<() => void> = []
  /** What has gone wrong on a fiber. */
  readonly #defects: Array<unknown> = []
  #isClosing = false
  #made = 0

  constructor({ concurrency, pausing, seed }: Options) {
    this.#random = seeded(seed)
    this.#context = Context.empty().pipe(
      Context.add(Scheduler.Scheduler, this.#tasks.scheduler(pausing)),
      Context.add(Scheduler.MaxOpsBeforeYield, typeof pausing === "number" ? pausing : 2048)
    )
    const max = 1 + this.#upTo(3)
    this.#model = new EndpointModel(concurrency, max)
    this.#pool = new EndpointPool<Holder>({
      max,
      concurrency,
      clock: Effect.runSync(Clock.Clock),
      strategy: makeStrategy({
        isShared: concurrency > 1,
        released: (holder) => {
          this.#end(holder)
          return undefined
        },
        expiresAt: () => Infinity
      })
    })
    const { items } = this.#pool.pool.state
    const add = items.add.bind(items)
    items.add = (own) => (this.#made++, add(own))
  }

  run(steps: number): void {
    for (let step = 0; step < steps; step++) {
      // Most of it happens on fibers, as in a pool: then what runs in one step runs within that of another fiber.
      const act = Effect.sync(() => this.#act())
      if (this.#chance(0.7)) this.#fork(Effect.andThen(operations(this.#upTo(10)), act))
      else Effect.runSync(act)
      this.#check()
      this.#runTasks(this.#upTo(6))
    }
    if (this.#chance(0.7)) this.#finish()
    this.#close()
  }

  // What happens

  #act(): void {
    if (this.#isClosing) return
    const acts = [
      () => this.#borrow(),
      () => this.#borrow(),
      () => this.#borrow(),
      () => this.#interrupt(),
      () => this.#resume(),
      () => this.#resume(),
      () => this.#dial(),
      () => this.#dial(),
      () => this.#endDial(),
      () => this.#endDial(),
      () => this.#startCheck(),
      () => this.#endCheck(),
      () => this.#letGo(),
      () => this.#letGo(),
      () => this.#removeIdle(),
      () => this.#removeAny(),
      () => this.#reserve(),
      () => this.#unreserve(),
      () => this.#unreserve(),
      () => this.#resize()
    ]
    this.#oneOf(acts)?.()
  }

  #borrow(): void {
    const before = operations(this.#upTo(20))
    this.#fork(Effect.andThen(before, this.#borrowing(this.#chance(0.2) ? 2 : 1)))
  }

  #interrupt(): void {
    const fiber = this.#oneOf([...this.#fibers])
    fiber?.interruptUnsafe()
  }

  #resume(): void {
    this.#pauses.splice(this.#upTo(this.#pauses.length), 1)[0]?.()
  }

  #dial(): void {
    if (this.#model.items.size >= this.#model.max) {
      assert.throws(() => this.#pool.open(), /there are/)
      return
    }
    const item = this.#pool.open()
    this.#model.open(item)
    this.#dials.add(makeHolder(item))
    this.#closings.set(item, 0)
    const closing = Effect.suspend(() => {
      this.#closings.set(item, (this.#closings.get(item) ?? 0) + 1)
      return operations(this.#upTo(10))
    })
    Effect.runSync(Scope.addFinalizer(item.scope, closing))
  }

  #endDial(): void {
    const dial = this.#oneOf([...this.#dials])
    if (dial?.item === undefined) return
    if (this.#chance(0.2)) return this.#remove(dial.item)
    this.#dials.delete(dial)
    this.#pool.unreserve(dial.item)
    this.#model.unreserve(dial.item)
    this.#end(dial)
    this.#serve()
  }

  /** A check of an idle connection, of any of those with room. */
  #startCheck(): void {
    const item = this.#oneOf(this.#model.available)
    if (item === undefined) return
    this.#take(item)
    this.#checks.add(makeHolder(item))
  }

  #endCheck(): void {
    const check = this.#oneOf([...this.#checks])
    if (check === undefined) return
    this.#checks.delete(check)
    this.#end(check)
  }

  /** Ends a lease that was left behind, on another fiber. */
  #letGo(): void {
    const held = this.#oneOf([...this.#held])
    if (held === undefined) return
    this.#fork(Effect.andThen(operations(this.#upTo(10)), Effect.sync(() => this.#endHeld(held))))
  }

  #endHeld(held: Holder): void {
    this.#held.delete(held)
    this.#end(held)
  }

  #removeIdle(): void {
    const item = this.#oneOf(this.#model.available.filter((each) => this.#model.leases(each) === 0))
    if (item !== undefined) this.#remove(item)
  }

  #removeAny(): void {
    const item = this.#oneOf([...this.#model.items.keys()])
    if (item !== undefined && this.#chance(0.5)) this.#remove(item)
  }

  /** Also under those that have leases of it: they end them, which is to change nothing then. */
  #remove(item: Item<Holder>): void {
    this.#pool.remove(item)
    this.#model.remove(item)
    for (const holder of [...this.#borrowers, ...this.#dials, ...this.#checks, ...this.#held]) {
      if (holder.item !== item) continue
      holder.item = undefined
      this.#dials.delete(holder)
      this.#checks.delete(holder)
    }
    Effect.runForkWith(this.#context)(Scope.close(item.scope, Exit.void))
  }

  #reserve(): void {
    const item = this.#oneOf([...this.#model.items.keys()])
    if (item === undefined) return
    this.#pool.reserve(item)
    this.#model.reserve(item)
  }

  #unreserve(): void {
    const item = this.#oneOf([...this.#model.items.keys()])
    if (item === undefined) return
    this.#pool.unreserve(item)
    this.#model.unreserve(item)
    this.#serve()
  }

  #resize(): void {
    this.#model.max = 1 + this.#upTo(4)
    this.#pool.resize(this.#model.max)
  }

  // A borrower

  #borrowing(depth: number): Effect.Effect<void, string> {
    const holder = makeHolder(undefined, this.#oneOf(["use", "use", "get", "hold"] as const))
    this.#borrowers.add(holder)
    const ending = this.#random()
    const inner = depth > 1 ? this.#borrowing(depth - 1) : Effect.void
    const body = operations(this.#upTo(12)).pipe(
      Effect.andThen(this.#chance(0.5) ? this.#pause : Effect.void),
      // Also of itself, and of one whose step this runs in.
      Effect.andThen(this.#chance(0.1) ? Effect.sync(() => this.#interrupt()) : Effect.void),
      Effect.andThen(inner),
      Effect.andThen(ending < 0.7 ? Effect.void : ending < 0.85 ? Effect.fail("no") : Effect.die("no"))
    )
    return Effect.onExit(Effect.withFiber((fiber) => this.#begin(holder, body, fiber)), (exit) => {
      this.#borrowers.delete(holder)
      removeFrom(this.#waiting, holder)
      if (holder.way === "hold" && Exit.isSuccess(exit)) this.#held.add(holder)
      else this.#end(holder)
      return Effect.void
    })
  }

  #begin(holder: Holder, body: Effect.Effect<void, string>, fiber: Fiber.Fiber<unknown, unknown>) {
    if (this.#isClosing) return body
    const item = this.#pool.next
    if (item === undefined) return Effect.andThen(this.#wait(holder), body)
    holder.item = item
    if (holder.way !== "use" || mayYield(fiber)) {
      this.#take(item)
      return body
    }
    item.holder = holder
    this.#model.lease(item)
    return this.#pool.use((leased) => {
      assert.strictEqual(leased, item)
      return body
    })
  }

  #wait(holder: Holder): Effect.Effect<void> {
    this.#waiting.push(holder)
    let isWoken = false
    holder.wake = () => void (isWoken = true)
    return Effect.callback((resume) => {
      if (isWoken) return resume(Effect.void)
      holder.wake = () => resume(Effect.void)
    })
  }

  get #pause(): Effect.Effect<void> {
    return Effect.callback((resume) => void this.#pauses.push(() => resume(Effect.void)))
  }

  #take(item: Item<Holder>): void {
    this.#pool.take(item)
    this.#model.lease(item)
  }

  /** Ends the lease of a holder, or gives it to one that waits. */
  #end(holder: Holder): void {
    const { item } = holder
    holder.item = undefined
    if (item === undefined) return
    const next = this.#isClosing || this.#model.isReserved(item) ? undefined : this.#waiting.shift()
    if (next !== undefined) return this.#give(item, next)
    this.#model.release(item)
    this.#pool.release(item)
  }

  #give(item: Item<Holder>, holder: Holder): void {
    holder.item = item
    if (this.#chance(0.5)) holder.wake()
    else this.#tasks.add(holder.wake)
  }

  /** Room that was kept away from those that wait goes to them. */
  #serve(): void {
    for (let item = this.#pool.next; item !== undefined; item = this.#pool.next) {
      const next = this.#waiting.shift()
      if (next === undefined) return
      this.#take(item)
      this.#give(item, next)
    }
  }

  // The end

  /** Lets each borrower go on to its end; those that wait for one another are interrupted. */
  #finish(): void {
    for (let round = 0; round < 100 && this.#fibers.size > 0; round++) {
      if (this.#waiting.length > 0 && this.#model.items.size < this.#model.max) this.#dial()
      this.#endDial()
      this.#endCheck()
      this.#letGo()
      this.#resume()
      this.#unreserve()
      this.#runTasks(10)
    }
    this.#interruptAll()
    this.#endOthers()
    for (const item of this.#model.items.keys()) {
      this.#pool.unreserve(item)
      this.#model.unreserve(item)
      this.#check()
    }
    assert.strictEqual(this.#fibers.size, 0)
    assert.strictEqual(this.#model.facts.usage, 0)
    while (this.#chance(0.5)) this.#removeIdle()
    this.#check()
  }

  /** Also while there are leases, which end then, or are removed. */
  #close(): void {
    for (const holder of this.#waiting.splice(0)) this.#tasks.add(holder.wake)
    this.#isClosing = true
    const closing = Effect.runForkWith(this.#context)(this.#pool.close)
    for (let round = 0; round < 200 && closing.pollUnsafe() === undefined; round++) {
      this.#resume()
      this.#endCheck()
      this.#endDial()
      this.#letGo()
      if (this.#chance(0.3)) this.#removeAny()
      if (this.#chance(0.3)) this.#interrupt()
      this.#runTasks(this.#upTo(10))
    }
    this.#interruptAll()
    this.#endOthers()
    this.#runTasks(Infinity)
    assert.isDefined(closing.pollUnsafe(), "the pool is closed")
    assert.strictEqual(this.#pool.pool.state.items.size, 0, "items that are left")
    for (const times of this.#closings.values()) assert.strictEqual(times, 1, "times that a scope was closed")
    assert.strictEqual(this.#made, this.#closings.size, "items that were made")
  }

  #endOthers(): void {
    for (const held of this.#held) this.#endHeld(held)
    while (this.#dials.size + this.#checks.size > 0) {
      this.#endDial()
      this.#endCheck()
      this.#check()
    }
  }

  #interruptAll(): void {
    for (const fiber of this.#fibers) fiber.interruptUnsafe()
    this.#runTasks(Infinity)
  }

  // What has to hold

  #check(): void {
    for (const defect of this.#defects) throw defect
    if (this.#isClosing) return
    const { items, invalidated, usage, waiters } = this.#pool.pool.state
    const { stats, ...expected } = this.#model.facts
    const { idle, max, pending, used } = Effect.runSync(Pool.stats(this.#pool.pool))
    const leases = [...items].map(({ refCount }) => refCount)
    const next = this.#pool.next
    check("stats", [idle, used, pending, max], stats)
    check("usage", [usage], [expected.usage])
    check("items", [...items].map(({ exit }) => Exit.isSuccess(exit) ? exit.value : undefined), expected.items)
    check("leases", leases, expected.leases)
    check("available items", [...this.#pool.available()].reverse(), expected.available)
    check("next item", [next], [expected.available[0]])
    check("items that were made", [this.#made], [this.#closings.size])
    check("what waits in Effect's Pool", [waiters.size, invalidated.size], [0, 0])
    assert.isTrue(leases.every((count) => count <= this.#model.concurrency), "more leases than concurrency")
    assert.isTrue(this.#waiting.length === 0 || next === undefined, "a borrower waits while there is room")
  }

  #runTasks(count: number): void {
    for (let task = 0; task < count && this.#tasks.runNext(); task++) this.#check()
  }

  /** Runs an effect up to its first pause, and on when its turn comes. */
  #fork(effect: Effect.Effect<void, string>): void {
    const fiber = Effect.runForkWith(this.#context)(effect)
    this.#fibers.add(fiber)
    fiber.addObserver((exit) => {
      this.#fibers.delete(fiber)
      if (Exit.isFailure(exit)) {
        this.#defects.push(
          ...exit.cause.reasons.filter(Cause.isDieReason).map((each) => each.defect).filter((each) => each !== "no")
        )
      }
    })
  }

  #upTo(most: number): number {
    return Math.floor(this.#random() * (most + 1))
  }

  #chance(probability: number): boolean {
    return this.#random() < probability
  }

  #oneOf<A>(values: ReadonlyArray<A>): A | undefined {
    return values[this.#upTo(values.length - 1)]
  }
}

const removeFrom = <A>(values: Array<A>, value: A): void => {
  const index = values.indexOf(value)
  if (index >= 0) values.splice(index, 1)
}

const check = <A>(what: string, found: ReadonlyArray<A>, expected: ReadonlyArray<A>): void => {
  if (found.length === expected.length && found.every((each, index) => each === expected[index])) return
  // Items are too large to be printed.
  const shown = (values: ReadonlyArray<A>) => values.map((each) => typeof each === "number" ? each : "an item").join()
  throw new Error(`${what}: ${shown(found)} in the place of ${shown(expected)}`)
}

/** Runs the history of a seed, and throws what it shows to be wrong. */
export const run = (options: Options, steps: number): void => {
  try {
    new History(options).run(steps)
  } catch (error) {
    const { concurrency, pausing, seed } = options
    throw new Error(`seed ${seed}, concurrency ${concurrency}, pausing ${pausing}: ${String(error)}`, { cause: error })
  }
}
