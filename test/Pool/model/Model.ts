/**
 * The reference model of a pool. It knows nothing of the pool's insides: it sees what the connector and the hooks are asked
 * to do, when each borrower gets its connection, and what `stats` says.
 */
import { Cause, type Context, Deferred, Effect, Exit, type Fiber, Scope } from "effect"
import type * as ResourceMonitor from "../../../src/Monitor/ResourceMonitor.ts"
import { noneClosed } from "../../../src/Pool/CloseReason.ts"
import * as ConnectionPool from "../../../src/Pool/ConnectionPool.ts"
import { TypeId } from "../../../src/Pool/PoolRegistry.ts"
import * as RetryPolicy from "../../../src/Retry/RetryPolicy.ts"
import { HandDriven } from "../../support/HandDriven.ts"
import * as Connecting from "./Connecting.ts"
import * as History from "./History.ts"
import {
  closedForAReason,
  type Closing,
  countsAgree,
  idleOnesAreChecked,
  maxDelay,
  minimumsAreKept,
  nobodyWaitsInVain,
  type Situation
} from "./Invariants.ts"
import {
  type Account,
  type Borrower,
  type Connection,
  CurrentBorrower,
  inPhase,
  lastingHolders,
  makeAccount,
  ScriptedFailure,
  type Task
} from "./Records.ts"

/** Longer than a hold, a dial, a close, a check and all hooks together. */
const longEnough = 100

const plain = { do: "borrow", hold: 1, ending: "succeeds", by: "use", reserves: "none", inner: undefined } as const

interface Caps {
  readonly maxPerEndpoint: number
  readonly maxTotal: number
}

type Pool = ConnectionPool.ConnectionPool<string, Connection>

/** Nobody knows what such a borrower has left behind on its connection. */
const isCutOff = (exit: Exit.Exit<unknown, unknown>): boolean =>
  Exit.isFailure(exit) && (Cause.hasInterrupts(exit.cause) || Cause.hasDies(exit.cause))

export class Model {
  readonly history: History.History
  readonly world = new HandDriven()
  readonly accounts = new Map(History.keys.map((key): [string, Account] => [key, makeAccount(key)]))
  borrowers: Array<Borrower> = []
  borrowed = 0
  opened = 0
  evicted = 0
  caps: Caps
  suspended: "no" | "wait" | "fail" = "no"
  ended = false
  #settled = 0
  /** How often everything had settled when the pool stopped lending and opening. */
  #shutAt = Infinity
  /** All caps since everything had settled. */
  #recentCaps: ReadonlyArray<Caps>
  /** How many have begun to close, by the reason that observers were told. */
  readonly #closedBy = noneClosed()
  /** What has begun to close since everything had settled. */
  #closings: Array<Closing> = []
  readonly #violations: Array<string> = []
  readonly #fork: <A, E>(effect: Effect.Effect<A, E, ResourceMonitor.ResourceMonitor>) => Fiber.Fiber<A, E>
  readonly #scope = Scope.makeUnsafe()
  readonly pool: Pool

  constructor(history: History.History, services: Context.Context<ResourceMonitor.ResourceMonitor>) {
    this.history = history
    this.caps = history.options
    this.#recentCaps = [history.options]
    this.world.opsBeforeYield = history.opsBeforeYield
    this.#fork = Effect.runForkWith(this.world.services(services))
    const { maxAttempts, ...options } = history.options
    const making = this.#fork(Scope.provide(
      ConnectionPool.make({
        ...Connecting.make(this.#referee()),
        ...options,
        ...history.watch,
        lifetimeJitter: 0,
        connectTimeout: 15,
        closeTimeout: 50,
        retry: RetryPolicy.make({ maxAttempts, initialDelay: 5, maxDelay, jitter: 0, idempotent: true })
      }),
      this.#scope
    ))
    this.world.flush()
    const made = making.pollUnsafe()
    if (made === undefined || Exit.isFailure(made)) throw new Error("a pool is made without waiting")
    this.pool = made.value
    this.pool[TypeId].core.observers.add({ closed: (reason) => void this.#closedBy[reason]++ })
    this.world.onSettled = () => this.#check()
  }

  #referee(): Connecting.Referee {
    return {
      history: this.history,
      accounts: this.accounts,
      now: () => this.world.now,
      settled: () => this.#settled,
      expect: (condition, otherwise) => this.expect(condition, otherwise),
      largestCaps: () => ({
        maxPerEndpoint: Math.max(...this.#recentCaps.map(({ maxPerEndpoint }) => maxPerEndpoint)),
        maxTotal: Math.max(...this.#recentCaps.map(({ maxTotal }) => maxTotal))
      }),
      isShut: () => this.#shutAt < this.#settled,
      opened: (connection) => this.#opened(connection),
      closing: (connection) => {
        // Where fibers yield often, others may have begun to close since this one had to.
        const isOverCap = this.#isOverCap(connection.key, 1) || this.#recentCaps.length > 1 ||
          (!this.#keepsOrder && this.caps !== this.history.options)
        this.#closings.push({ connection, isOverCap, wasIdle: connection.holders.size === 0 })
      },
      fail: (account) => this.#fail(account),
      works: (account) => this.#works(account),
      turn: (borrower, connection, isChecked) => this.#turn(borrower, connection, isChecked),
      proved: (connection) => {
        connection.checkedFor = undefined
        this.#offered(connection)
      },
      giveUp: (connection) => this.#giveUp(connection),
      sendBack: (borrower) => this.#sendBack(borrower)
    }
  }

  // ---- the connections -----------------------------------------------------------------------------------------------

  #account(key: string): Account {
    const account = this.accounts.get(key)
    if (account === undefined) throw new Error(`no account of ${key}`)
    return account
  }

  #opened(connection: Connection): void {
    connection.phase = "Open"
    // Of one that died before it was open the pool learns now, or as soon as its watcher runs.
    if (connection.diedAt < Infinity) connection.diedAt = connection.unfitAt = this.#settled
    connection.openedAt = this.world.now
    this.#used(connection)
    this.opened++
    // Where it has to be made ready for its borrower, that has the last word. What was evicted meanwhile tells nothing.
    const tells = connection.unfitAt === Infinity && !this.history.hooks.includes("beforeLend")
    if (tells) this.#works(this.#account(connection.key))
  }

  #used(connection: Connection): void {
    connection.usedAt = this.world.now
    connection.provenAt = this.world.now
  }

  /** Whether more is open, or being opened, than the caps allow; `more` of an endpoint are counted on top. */
  #isOverCap(key: string, more: number): boolean {
    const open = this.#inPhase("Dialling", "Open")
    return open.length + more > this.caps.maxTotal ||
      open.filter((connection) => connection.key === key).length + more > this.caps.maxPerEndpoint
  }

  #fail(account: Account): void {
    account.failing = true
    account.failedAt = this.world.now
  }

  /** Where what was opened last came to nothing, this is a success only when it has served somebody. */
  #works(account: Account): void {
    account.failing = account.doubted
    if (account.doubted) account.failedAt = this.world.now
  }

  #served(connection: Connection): void {
    const account = this.#account(connection.key)
    connection.served = true
    if (!account.doubted || connection.dialledAt < account.failedAt) return
    // The pool may learn of the failure after this: a connection that died as soon as it was open has to be noticed first.
    if (account.failedAt === this.world.now) account.mayHaveFailedAt = this.world.now
    account.doubted = false
    account.failing = false
  }

  /** A connection that has died and that nobody goes on with was a failure to open one if it had served nobody. */
  #lost(connection: Connection): void {
    if (connection.diedAt === Infinity || connection.served) return
    const account = this.#account(connection.key)
    account.doubted = true
    this.#fail(account)
  }

  #giveUp(connection: Connection): void {
    connection.unfitAt = Math.min(connection.unfitAt, this.#settled)
    this.#account(connection.key).lostAt = this.#settled
  }

  /** The pool notices as soon as its watcher runs, which is not in this step. */
  #kill(connection: Connection): void {
    this.#giveUp(connection)
    // A fiber that yields often comes to the pool later than it has failed, and then its connection has died.
    // One that has borrowers and was of use to none is closed under them, and the next dial waits as after a failure.
    const isFollowedByPause = connection.holders.size > 0 || !this.#keepsOrder
    if (!connection.served && isFollowedByPause) this.#account(connection.key).mayHaveFailedAt = this.world.now
    // One that dies before anybody has seen it alive is a failure to open.
    if (connection.phase === "Open" && connection.openedAt === this.world.now) this.#fail(this.#account(connection.key))
    connection.diedAt = Math.min(connection.diedAt, this.#settled)
    if (connection.phase === "Open" && connection.holders.size === 0) this.#lost(connection)
    Deferred.doneUnsafe(connection.died, Exit.void)
  }

  // ---- the borrowers -------------------------------------------------------------------------------------------------

  /** A borrower has its connection, as the first check, hook or use on its behalf tells. */
  #turn(borrower: Borrower, connection: Connection, isChecked: boolean): void {
    if (borrower.connection === connection) return
    const { checkAfterIdle, concurrency } = this.history.options
    const place = `borrower ${borrower.number} of ${borrower.key}`
    const others = lastingHolders(connection)
    this.expect(connection.key === borrower.key, `${place} got a connection to ${connection.key}`)
    this.expect(others.length < concurrency, `${place} got a full connection`)
    this.expect(connection.unfitAt >= this.#settled, `${place} got a connection that was given up`)
    this.expect(!connection.unproven, `${place} got a connection whose check had not passed`)
    this.expect(connection.tended === "no", `${place} got a connection during its ${connection.tended}`)
    this.expect(this.#shutAt >= this.#settled, `${place} got a connection although the pool lends nothing`)
    // Whoever got it in the same moment in which it was reserved may have got it before.
    const isReserved = connection.reservations > 0 && connection.reservedAt < this.#settled
    this.expect(!isReserved || others.length === 0, `${place} got a connection that somebody has for himself`)
    const idle = connection.holders.size > 0 || isChecked ? 0 : this.world.now - connection.provenAt
    this.expect(idle <= checkAfterIdle, `${place} got a connection that was not checked for ${idle} ms`)
    const isDirty = concurrency === 1 && connection.used && borrower.readied !== connection &&
      this.history.hooks.includes("afterReturn")
    this.expect(!isDirty, `${place} got a connection that was not cleaned up`)
    this.#expectOrder(borrower, place)
    borrower.state = "Holding"
    borrower.hadTurnNow = !borrower.hadTurn
    borrower.hadTurn = true
    borrower.connection = connection
    connection.used = true
    connection.holders.add(borrower)
  }

  /** Both were in the queue when time last stood still, so the one that came first has to be continued first. */
  #expectOrder(borrower: Borrower, place: string): void {
    if (borrower.queuedAt === Infinity || borrower.hadTurn || !this.#keepsOrder) return
    const ahead = this.borrowers.filter((other) => other.queuedAt < Infinity && this.#isAhead(other, borrower))
    const overtook = ahead[this.#promised(borrower.key)]
    this.expect(
      overtook === undefined || this.#hasLost(borrower.key, this.#settled),
      `${place} overtook ${overtook?.number}`
    )
  }

  /** Borrowers that have a connection and let the event loop turn before they go on with it. They were first in the queue. */
  #promised(key: string): number {
    const waiting = this.borrowers.filter((other) => other.key === key && other.state === "Waiting").length
    // The one that goes on now is counted as waiting still.
    return waiting - 1 - (this.stats.endpoints.get(key)?.waiting ?? 0)
  }

  /** A connection was given up since everything had settled: who had it promised goes back to the queue, after some that were served. */
  #hasLost(key: string, settled: number): boolean {
    return this.#account(key).lostAt >= settled
  }

  #leave(connection: Connection, borrower: Borrower): void {
    connection.holders.delete(borrower)
    this.#used(connection)
    if (this.borrowers.some(({ key, state }) => key !== connection.key && state === "Waiting")) {
      connection.contested = true
    }
    this.#offered(connection)
  }

  /** Others could share it now, unless there is more than the caps allow: then those that have it have it to the end. */
  #offered(connection: Connection): void {
    // A fiber that yields often comes to the pool later than this, and what that sees then is not known here.
    if (!this.#keepsOrder || this.#isOverCap(connection.key, 0)) connection.contested = true
  }

  #letGo(borrower: Borrower, state: "Waiting" | "Done"): void {
    if (borrower.connection !== undefined) this.#leave(borrower.connection, borrower)
    borrower.connection = undefined
    borrower.stage = "none"
    borrower.state = state
  }

  #sendBack(borrower: Borrower): void {
    // A new connection that is of no use to whom it was made ready for counts as a failure to open one.
    if (borrower.connection?.isNew === true && this.history.hooks.includes("beforeLend")) {
      this.#fail(this.#account(borrower.key))
    }
    this.#letGo(borrower, "Waiting")
    borrower.waitedAt = this.#settled
  }

  /** A fiber that yields often may come to the queue later than one that was started after it. */
  get #keepsOrder(): boolean {
    return this.history.opsBeforeYield === 2048
  }

  /** Whether a borrower that has never been served should have been before this one. */
  #isAhead(other: Borrower, borrower: Borrower): boolean {
    return other.key === borrower.key && other.state === "Waiting" && !other.hadTurn && !other.task.cancelled &&
      (this.#keepsOrder ? other.number < borrower.number : other.queuedAt <= borrower.cameAt)
  }

  /** What a borrower does with its connection. */
  #work(borrower: Borrower, step: History.Borrow) {
    return (connection: Connection): Effect.Effect<void, ScriptedFailure> =>
      Effect.suspend(() => {
        this.#turn(borrower, connection, false)
        borrower.stage = "working"
        connection.isNew = false
        const isReady = borrower.readied === connection || !this.history.hooks.includes("beforeLend")
        this.expect(connection.diedAt >= this.#settled, `borrower ${borrower.number} got a connection that had died`)
        this.expect(isReady, `borrower ${borrower.number} got a connection that was not made ready for it`)
        const { inner } = step
        const holds = inner === undefined
          ? Effect.sleep(step.hold)
          : Effect.andThen(Effect.sleep(step.hold), this.#borrowing(inner, borrower.task))
        const works = Effect.andThen(this.#reserving(connection, step, holds), this.#end(connection, step.ending))
        return Effect.onExit(
          Effect.tap(works, () => Effect.sync(() => this.#served(connection))),
          // From here on the connection may be another's, even if this fiber takes some time to end.
          (exit) =>
            Effect.sync(() => {
              this.#lost(connection)
              if (isCutOff(exit)) this.#giveUp(connection)
              this.#leave(connection, borrower)
            })
        )
      })
  }

  #reserving<E>(connection: Connection, step: History.Borrow, holds: Effect.Effect<void, E>): Effect.Effect<void, E> {
    if (step.reserves === "none") return holds
    const reserve = Effect.andThen(
      ConnectionPool.reserve(this.pool, connection),
      // It is noted after it began and until before it ends.
      Effect.acquireRelease(
        Effect.sync(() => {
          connection.reservations++
          connection.reservedAt = this.#settled
        }),
        () =>
          Effect.sync(() => {
            connection.reservations--
            this.#offered(connection)
          })
      )
    )
    if (step.reserves === "while held") return Effect.scoped(Effect.andThen(reserve, holds))
    const scope = Scope.makeUnsafe()
    this.#do(Effect.andThen(Effect.sleep(step.hold + 2), Scope.close(scope, Exit.void)))
    return Effect.andThen(Scope.provide(reserve, scope), holds)
  }

  #end(connection: Connection, ending: History.Ending): Effect.Effect<void, ScriptedFailure> {
    switch (ending) {
      case "succeeds":
        return Effect.void
      case "fails":
        return Effect.fail(new ScriptedFailure("EPIPE"))
      case "dies":
        return Effect.die(new Error("the borrower dies"))
      case "never ends":
        return Effect.never
      case "invalidates":
        return Effect.suspend(() => {
          this.#giveUp(connection)
          return ConnectionPool.invalidate(this.pool, connection)
        })
      case "is killed":
        return Effect.sync(() => this.#kill(connection))
    }
  }

  /** Whether a fiber holds all that it could get of an endpoint, so that it would wait for itself. */
  #isHopeless(task: Task, key: string, caps: Caps): boolean {
    const own = [...this.accounts.values()].flatMap((account) => inPhase(account, "Open")).filter((connection) => {
      const holders = lastingHolders(connection)
      return holders.length > 0 && holders.every((holder) => holder.task === task)
    })
    return own.filter((connection) => connection.key === key).length >= caps.maxPerEndpoint ||
      own.length >= caps.maxTotal
  }

  /** One borrow, from the first step to the last, however it ends. */
  #borrowing(step: History.Borrow, task: Task): Effect.Effect<void> {
    return Effect.suspend(() => {
      const borrower: Borrower = {
        number: this.borrowed++,
        key: step.key,
        since: this.world.now,
        task,
        state: "Waiting",
        connection: undefined,
        stage: "none",
        readied: undefined,
        cameAt: this.#settled,
        queuedAt: Infinity,
        waitedAt: this.#settled,
        hadTurn: false,
        hadTurnNow: false,
        hopeless: task.borrowers.length > 0 && this.#isHopeless(task, step.key, this.caps)
      }
      this.borrowers.push(borrower)
      task.borrowers.push(borrower)
      const work = this.#work(borrower, step)
      const borrow = step.by === "use"
        ? ConnectionPool.use(this.pool, step.key, work)
        : Effect.scoped(Effect.flatMap(ConnectionPool.get(this.pool, step.key), work))
      return Effect.catch(Effect.provideService(borrow, CurrentBorrower, borrower), (error) =>
        Effect.sync(() => {
          this.#expectReason(borrower, error)
        })).pipe(
          Effect.catchDefect(() => Effect.void),
          Effect.ensuring(Effect.sync(() => this.#letGo(borrower, "Done")))
        )
    })
  }

  /** Only who holds all that it could get is told that it waits for itself. */
  #expectReason(borrower: Borrower, error: ConnectionPool.PoolError | ScriptedFailure): void {
    if (error instanceof ScriptedFailure || error.reason._tag !== "NestedAcquire") return
    const hopeless = this.#recentCaps.some((caps) => this.#isHopeless(borrower.task, borrower.key, caps))
    this.expect(hopeless, `borrower ${borrower.number} of ${borrower.key} was told that it waits for itself`)
  }

  #borrow(step: History.Borrow): Task {
    const task: Task = { borrowers: [], fiber: undefined, cancelled: false }
    task.fiber = this.#fork(this.#borrowing(step, task))
    task.fiber.addObserver(() => {
      for (const borrower of task.borrowers) this.#letGo(borrower, "Done")
    })
    return task
  }

  // ---- the steps -----------------------------------------------------------------------------------------------------

  get #sockets(): number {
    return [...this.accounts.values()].reduce((sum, { connections }) => sum + connections.size, 0)
  }

  #inPhase(...phases: ReadonlyArray<Connection["phase"]>): ReadonlyArray<Connection> {
    return [...this.accounts.values()].flatMap(({ connections }) =>
      [...connections].filter(({ phase }) => phases.includes(phase))
    )
  }

  #do(effect: Effect.Effect<void>): void {
    this.#fork(effect)
  }

  async #step(step: History.Step): Promise<void> {
    switch (step.do) {
      case "borrow":
        this.#borrow(step)
        return
      case "pass":
        return this.world.advance(step.millis)
      case "settle":
        return this.world.settle()
      case "cancel": {
        const unfinished = this.borrowers.filter(({ state }) => state !== "Done")
        return this.#cancel(unfinished[step.which % unfinished.length])
      }
      case "kill": {
        const open = this.#inPhase("Dialling", "Open")
        const connection = open[step.which % open.length]
        return connection === undefined ? undefined : this.#kill(connection)
      }
      case "invalidate": {
        await this.world.settle()
        const open = this.#inPhase("Open")
        const connection = open[step.which % open.length]
        if (connection === undefined) return
        this.#giveUp(connection)
        return this.#do(ConnectionPool.invalidate(this.pool, connection))
      }
      case "evict": {
        // What is open but not yet the pool's is not evicted, so everything settles first.
        await this.world.settle()
        const evicted = this.#inPhase("Dialling", "Open").filter(({ key }) => key === (step.key ?? key))
        for (const connection of evicted) this.#giveUp(connection)
        return this.#do(ConnectionPool.evict(this.pool, step.key))
      }
      case "closes":
        this.#account(step.key).closes = step.millis
        return
      case "resize":
      case "suspend":
      case "resume":
        return this.#operate(step)
      default:
        this.#account(step.key).conduct[step.do] = step.conduct
    }
  }

  #operate(step: Extract<History.Step, { do: "resize" | "suspend" | "resume" }>): void {
    switch (step.do) {
      case "resize":
        this.caps = step
        this.#recentCaps = [...this.#recentCaps, step]
        return this.#do(Effect.orDie(ConnectionPool.resize(this.pool, step)))
      case "suspend":
        this.suspended = step.mode
        this.#shutAt = Math.min(this.#shutAt, this.#settled)
        return this.#do(ConnectionPool.suspend(this.pool, { mode: step.mode }))
      case "resume":
        this.suspended = "no"
        if (!this.ended) this.#shutAt = Infinity
        return this.#do(ConnectionPool.resume(this.pool))
    }
  }

  #cancel(borrower: Borrower | undefined): void {
    if (borrower === undefined) return
    const { task } = borrower
    task.cancelled = true
    for (const { key, state } of task.borrowers) {
      // It may have got a connection that nobody has heard of yet, and leaves it to those who share it.
      if (this.#keepsOrder && state !== "Waiting") continue
      for (const connection of this.#account(key).connections) connection.contested = true
    }
    task.fiber?.interruptUnsafe()
  }

  // ---- what must be true ---------------------------------------------------------------------------------------------

  expect(condition: boolean, otherwise: string): void {
    if (!condition) this.#violations.push(`at ${this.world.now} ms: ${otherwise}`)
  }

  get stats(): ConnectionPool.Stats {
    return Effect.runSync(ConnectionPool.stats(this.pool))
  }

  /** Everything that could run has run. */
  #check(): void {
    const { stats } = this
    // Some connections died when all that prepared them had passed, and before they were lent for good.
    for (const borrower of this.borrowers) {
      const isDead = borrower.connection !== undefined && Deferred.isDoneUnsafe(borrower.connection.died)
      if (isDead && borrower.stage === "none") this.#sendBack(borrower)
    }
    this.#settled++
    const situation: Situation = {
      ...this.caps,
      history: this.history,
      accounts: this.accounts,
      borrowers: this.borrowers,
      now: this.world.now,
      stats,
      closings: this.#closings,
      waits: ({ waitedAt }) => waitedAt >= this.#settled - 1,
      expect: (condition, otherwise) => this.expect(condition, otherwise)
    }
    countsAgree(situation)
    this.expect(stats.opened === this.opened, `${this.opened} were opened, but stats says ${stats.opened}`)
    this.#checkReasons(stats)
    this.#checkEvictions(situation)
    this.#checkBorrowers()
    if (!this.ended) idleOnesAreChecked(situation)
    if (!this.ended && this.suspended === "no") {
      nobodyWaitsInVain(situation)
      minimumsAreKept(situation)
    }
    if (!this.ended) closedForAReason(situation)
    this.#closings = []
    this.#recentCaps = [this.caps]
    this.borrowers = this.borrowers.filter(({ state }) => state !== "Done")
    if (this.#violations.length > 0) throw new Error(this.#violations.join("\n"))
  }

  /** Each connection that is closed has one reason. */
  #checkReasons({ active, closed, closedBy, idle, opened }: ConnectionPool.Stats): void {
    const [told, counted] = [JSON.stringify(this.#closedBy), JSON.stringify(closedBy)]
    this.expect(told === counted, `closed by ${told} for observers, but by ${counted} in stats`)
    const sum = Object.values(closedBy).reduce((all, count) => all + count, 0)
    this.expect(
      sum === closed && closed === opened - active - idle,
      `${opened} were opened and ${
        active + idle
      } are open, but stats says that ${closed} were closed, ${sum} for a reason`
    )
  }

  /** Nothing gives way but to somebody who waits: not to a minimum. */
  #checkEvictions({ stats: { evicted }, waits }: Situation): void {
    this.expect(evicted === this.evicted || this.borrowers.some(waits), "a connection gave way although nobody waits")
    this.evicted = evicted
  }

  #checkBorrowers(): void {
    const { acquireTimeout, concurrency } = this.history.options
    for (const borrower of this.borrowers) {
      const { hopeless, queuedAt, since, state, task } = borrower
      if (state === "Done" && !borrower.hadTurnNow) continue
      const name = `borrower ${borrower.number} of ${borrower.key}`
      if (borrower.hadTurnNow && !task.cancelled) {
        const ahead = this.#hasLost(borrower.key, this.#settled - 1)
          ? undefined
          : this.borrowers.find((other) => this.#isAhead(other, borrower))
        this.expect(ahead === undefined, `${name} was served before ${ahead?.number}, which still waits`)
      }
      const waited = state === "Waiting" ? this.world.now - since : 0
      this.expect(waited < acquireTimeout, `${name} waits for ${waited} ms already`)
      this.expect(waited === 0 || !task.cancelled, `${name} was cancelled and still waits`)
      this.expect(
        state !== "Waiting" || (!this.ended && this.suspended !== "fail"),
        `${name} waits, but the pool refuses borrowers`
      )
      // Where several share a connection, somebody may have got it who is not known here yet.
      const isTold = concurrency > 1 || !this.#keepsOrder || borrower.hadTurn || queuedAt < Infinity
      this.expect(state !== "Waiting" || !hopeless || isTold, `${name} waits for itself`)
    }
    for (const borrower of this.borrowers) {
      borrower.hadTurnNow = false
      if (borrower.state !== "Waiting") continue
      borrower.queuedAt = Math.min(borrower.queuedAt, this.#settled)
      borrower.waitedAt = this.#settled
    }
  }

  // ---- the end -------------------------------------------------------------------------------------------------------

  async run(): Promise<void> {
    for (const step of this.history.steps) await this.#step(step)
    await this.world.settle()
    if (this.history.end === "finish") await this.#finish()
    await this.#drain()
  }

  /** With everything mended, everybody gets through, and the pool lends as on its first day. */
  async #finish(): Promise<void> {
    for (const account of this.accounts.values()) {
      for (const what of History.scripted) account.conduct[what] = "works"
      account.closes = 0
    }
    await this.#step({ do: "resume" })
    for (const borrower of this.borrowers) if (borrower.state === "Holding") this.#cancel(borrower)
    await this.world.advance(longEnough)
    for (const borrower of this.borrowers) this.#cancel(borrower)
    await this.world.settle()
    this.expect(this.borrowers.length === 0, `${this.borrowers.length} borrowers have not ended`)
    const tasks = ["a", "b"].map((key) => this.#borrow({ ...plain, key }))
    await this.world.advance(longEnough)
    const isServed = ({ borrowers }: Task) => borrowers.every(({ hadTurn, state }) => hadTurn && state === "Done")
    this.expect(tasks.every(isServed), "a borrower got nothing from a pool that has everything")
  }

  async #drain(): Promise<void> {
    this.ended = true
    this.#shutAt = Math.min(this.#shutAt, this.#settled)
    const drain = this.#fork(ConnectionPool.drain(this.pool, 20))
    await this.world.advance(longEnough)
    this.expect(drain.pollUnsafe() !== undefined, "the drain has not ended")
    const { active, closing, connecting, idle, total, waiting } = this.stats
    const left = { active, closing, connecting, idle, total, waiting, sockets: this.#sockets }
    this.expect(Object.values(left).every((count) => count === 0), `after the drain: ${JSON.stringify(left)}`)
    for (const borrower of this.borrowers) this.#cancel(borrower)
    this.#do(Scope.close(this.#scope, Exit.void))
    await this.world.settle()
    this.expect(this.borrowers.length === 0, `${this.borrowers.length} borrowers are left`)
    this.expect(this.world.sleeping === 0, `${this.world.sleeping} timers are left`)
    this.#check()
  }
}
