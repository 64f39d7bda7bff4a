/**
 * The reference model of a pool. It knows nothing of the pool's insides: it sees what the connector is asked to do, when
 * each borrower gets its connection, and what `stats` says.
 */
import { Context, Deferred, Effect, Exit, type Fiber, Scope } from "effect"
import type * as ResourceMonitor from "../../../src/Monitor/ResourceMonitor.ts"
import * as ConnectionPool from "../../../src/Pool/ConnectionPool.ts"
import * as Connector from "../../../src/Resource/Connector.ts"
import * as RetryPolicy from "../../../src/Retry/RetryPolicy.ts"
import { HandDriven } from "../../support/HandDriven.ts"
import * as History from "./History.ts"

interface Connection {
  readonly key: string
  readonly openedAt: number
  readonly died: Deferred.Deferred<void>
  readonly holders: Set<Borrower>
  /** How often everything had settled when it was given up: since then nobody may get it any more. */
  unfitAt: number
  /** Its last check has not passed, or is still running for this borrower. */
  unproven: boolean
  checkedFor: Borrower | undefined
  /** One of its borrowers gave it back while its slot may have been needed elsewhere: the others have it to the end. */
  contested: boolean
}

interface Borrower {
  readonly number: number
  readonly key: string
  readonly since: number
  state: "Waiting" | "Holding" | "Done"
  connection: Connection | undefined
  /** How often everything had settled when it came, and when it was first seen in the queue. */
  readonly cameAt: number
  queuedAt: number
  hadTurn: boolean
  hadTurnNow: boolean
  cancelled: boolean
  fiber: Fiber.Fiber<unknown, unknown> | undefined
}

/** What the connector has for one endpoint. */
interface Account {
  dials: History.Conduct
  checks: History.Conduct
  closes: number
  /** From the first step of a dial to the last of a close. */
  sockets: number
  dialling: number
  readonly live: Set<Connection>
  /** The last dial failed. */
  down: boolean
  /** The endpoint counts as failing, because of that or because a connection died as soon as it was there, and since when. */
  failing: boolean
  failedAt: number
}

class ScriptedFailure extends Error {
  readonly code: string
  constructor(code: string) {
    super(`scripted ${code}`)
    this.code = code
  }
}

/** Tells a check which borrower's connection is being checked. */
const CurrentBorrower = Context.Reference<Borrower | undefined>("test/Model/CurrentBorrower", {
  defaultValue: () => undefined
})

const act = (conduct: History.Conduct): Effect.Effect<void, ScriptedFailure> => {
  switch (conduct) {
    case "works":
      return Effect.void
    case "is slow":
      return Effect.sleep(4)
    case "fails":
      return Effect.fail(new ScriptedFailure("ECONNREFUSED"))
    case "fails slowly":
      return Effect.andThen(Effect.sleep(3), Effect.fail(new ScriptedFailure("ECONNREFUSED")))
    case "hangs":
      return Effect.never
    case "dies":
      return Effect.die(new Error("scripted defect"))
  }
}

/** The longest pause between two dials of an endpoint that is down. */
const maxDelay = 10

/** Longer than a hold, a dial, a close and a check together. */
const longEnough = 100

type Pool = ConnectionPool.ConnectionPool<string, Connection>

export class Model {
  readonly history: History.History
  readonly world = new HandDriven()
  readonly accounts = new Map(History.keys.map((key): [string, Account] => [key, {
    dials: "works",
    checks: "works",
    closes: 0,
    sockets: 0,
    dialling: 0,
    live: new Set(),
    down: false,
    failing: false,
    failedAt: -Infinity
  }]))
  borrowers: Array<Borrower> = []
  borrowed = 0
  opened = 0
  maxPerEndpoint: number
  maxTotal: number
  suspended: "no" | "wait" | "fail" = "no"
  ended = false
  #settled = 0
  /** The largest caps since everything had settled. */
  #recentCaps: { readonly maxPerEndpoint: number; readonly maxTotal: number }
  readonly #fork: <A, E>(effect: Effect.Effect<A, E, ResourceMonitor.ResourceMonitor>) => Fiber.Fiber<A, E>
  readonly #scope = Scope.makeUnsafe()
  readonly #pool: Pool

  constructor(history: History.History, services: Context.Context<ResourceMonitor.ResourceMonitor>) {
    this.history = history
    this.maxPerEndpoint = history.options.maxPerEndpoint
    this.maxTotal = history.options.maxTotal
    this.#recentCaps = history.options
    this.#fork = Effect.runForkWith(this.world.services(services))
    const { maxAttempts, ...options } = history.options
    const made = this.#fork(Scope.provide(
      ConnectionPool.make({
        connector: this.#connector(),
        ...options,
        lifetimeJitter: 0,
        connectTimeout: 15,
        closeTimeout: 50,
        retry: RetryPolicy.make({ maxAttempts, initialDelay: 5, maxDelay, jitter: 0, idempotent: true })
      }),
      this.#scope
    )).pollUnsafe()
    if (made === undefined || Exit.isFailure(made)) throw new Error("a pool is made in one step")
    this.#pool = made.value
    this.world.opsBeforeYield = history.opsBeforeYield
    this.world.onSettled = () => this.#check()
  }

  // ---- the connector -------------------------------------------------------------------------------------------------

  #account(key: string): Account {
    const account = this.accounts.get(key)
    if (account === undefined) throw new Error(`no account of ${key}`)
    return account
  }

  get sockets(): number {
    return [...this.accounts.values()].reduce((sum, { sockets }) => sum + sockets, 0)
  }

  #connector() {
    return Connector.make({
      open: (key: string) => this.#open(this.#account(key), key),
      check: (connection: Connection) =>
        Effect.flatMap(CurrentBorrower, (borrower) => {
          if (borrower !== undefined) this.#turn(borrower, connection)
          connection.checkedFor = borrower
          connection.unproven = true
          return Effect.onExit(act(this.#account(connection.key).checks), (exit) =>
            Effect.sync(() => {
              // A check that was cut off has proved nothing: the next borrower must not be the one to find out.
              connection.unproven = Exit.isFailure(exit)
              connection.checkedFor = undefined
              if (Exit.isSuccess(exit) || borrower === undefined || borrower.cancelled) return
              // It goes back to the front of its queue, unless its time is over.
              this.#giveUp(connection)
              this.#letGo(borrower, "Waiting")
            }))
        }),
      closed: (connection: Connection) => Deferred.await(connection.died)
    })
  }

  #open(account: Account, key: string): Effect.Effect<Connection, ScriptedFailure, Scope.Scope> {
    const { world } = this
    const socket = Effect.acquireRelease(
      Effect.sync(() => {
        account.sockets++
        // A dial that was decided on when a cap is lowered goes on; one that is decided on later does not.
        const { maxPerEndpoint, maxTotal } = this.#recentCaps
        this.expect(account.sockets <= maxPerEndpoint, `${account.sockets} connections to ${key}`)
        this.expect(this.sockets <= maxTotal, `${this.sockets} connections in all`)
      }),
      () => Effect.sync(() => account.sockets--)
    )
    const dial = Effect.onExit(
      Effect.suspend(() => {
        account.dialling++
        const most = account.down ? 1 : 2
        this.expect(account.dialling <= most, `${account.dialling} dials of ${key} at once`)
        return act(account.dials)
      }),
      (exit) =>
        Effect.sync(() => {
          account.dialling--
          account.down = Exit.isFailure(exit)
          if (account.down) this.#fail(account)
          else account.failing = false
        })
    )
    const connection = Effect.acquireRelease(
      Effect.sync((): Connection => {
        const opened: Connection = {
          key,
          openedAt: world.now,
          died: Deferred.makeUnsafe(),
          holders: new Set(),
          unfitAt: Infinity,
          unproven: false,
          checkedFor: undefined,
          contested: false
        }
        this.opened++
        account.live.add(opened)
        return opened
      }),
      (opened) =>
        Effect.suspend(() => {
          this.expect(account.live.delete(opened), "a connection is closed twice")
          return Effect.sleep(account.closes)
        })
    )
    return Effect.andThen(Effect.andThen(socket, dial), connection)
  }

  #fail(account: Account): void {
    account.failing = true
    account.failedAt = this.world.now
  }

  // ---- the borrowers -------------------------------------------------------------------------------------------------

  #turn(borrower: Borrower, connection: Connection): void {
    if (borrower.connection === connection) return
    const place = `borrower ${borrower.number} of ${borrower.key}`
    this.expect(connection.key === borrower.key, `${place} got a connection to ${connection.key}`)
    const others = [...connection.holders].filter(({ cancelled }) => !cancelled)
    this.expect(others.length < this.history.options.concurrency, `${place} got a full connection`)
    this.expect(connection.unfitAt >= this.#settled, `${place} got a connection that was given up`)
    this.expect(!connection.unproven, `${place} got a connection whose check had not passed`)
    // Both were in the queue when time last stood still, so the one that came first has to be continued first.
    if (borrower.queuedAt < Infinity && !borrower.hadTurn && this.#keepsOrder) {
      const ahead = this.borrowers.find((other) => other.queuedAt < Infinity && this.#isAhead(other, borrower))
      this.expect(ahead === undefined, `${place} overtook ${ahead?.number}`)
    }
    borrower.state = "Holding"
    borrower.hadTurnNow = !borrower.hadTurn
    borrower.hadTurn = true
    borrower.connection = connection
    connection.holders.add(borrower)
  }

  #leave(connection: Connection, borrower: Borrower): void {
    connection.holders.delete(borrower)
    const isOverCap = this.sockets > this.maxTotal || this.#account(connection.key).sockets > this.maxPerEndpoint
    // A fiber that yields often gives back later than this, and what the pool sees then is not known here.
    if (
      !this.#keepsOrder || isOverCap ||
      this.borrowers.some(({ key, state }) => key !== connection.key && state === "Waiting")
    ) {
      connection.contested = true
    }
  }

  #letGo(borrower: Borrower, state: "Waiting" | "Done"): void {
    if (borrower.connection !== undefined) this.#leave(borrower.connection, borrower)
    borrower.connection = undefined
    borrower.state = state
  }

  /** A fiber that yields often may come to the queue later than one that was started after it. */
  get #keepsOrder(): boolean {
    return this.history.opsBeforeYield === 2048
  }

  /** Whether a borrower that has never been served should have been before this one. */
  #isAhead(other: Borrower, borrower: Borrower): boolean {
    return other.key === borrower.key && other.state === "Waiting" && !other.hadTurn && !other.cancelled &&
      (this.#keepsOrder ? other.number < borrower.number : other.queuedAt <= borrower.cameAt)
  }

  #work(borrower: Borrower, step: Extract<History.Step, { do: "borrow" }>) {
    return (connection: Connection): Effect.Effect<void, ScriptedFailure> =>
      Effect.suspend(() => {
        this.#turn(borrower, connection)
        return Effect.ensuring(
          Effect.andThen(Effect.sleep(step.hold), this.#end(connection, step.ending)),
          // From here on the connection may be another's, even if this fiber takes some time to end.
          Effect.sync(() => this.#leave(connection, borrower))
        )
      })
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
          return ConnectionPool.invalidate(this.#pool, connection)
        })
      case "is killed":
        return Effect.sync(() => this.#kill(connection))
    }
  }

  #giveUp(connection: Connection): void {
    connection.unfitAt = Math.min(connection.unfitAt, this.#settled)
  }

  /** The pool notices as soon as its watcher runs, which is not in this step. */
  #kill(connection: Connection): void {
    this.#giveUp(connection)
    // One that dies before anybody has seen it alive is a failure to open.
    if (connection.openedAt === this.world.now) this.#fail(this.#account(connection.key))
    Deferred.doneUnsafe(connection.died, Exit.void)
  }

  #borrow(step: Extract<History.Step, { do: "borrow" }>): void {
    const borrower: Borrower = {
      number: this.borrowed++,
      key: step.key,
      since: this.world.now,
      state: "Waiting",
      connection: undefined,
      cameAt: this.#settled,
      queuedAt: Infinity,
      hadTurn: false,
      hadTurnNow: false,
      cancelled: false,
      fiber: undefined
    }
    this.borrowers.push(borrower)
    const work = this.#work(borrower, step)
    const borrow = step.by === "use"
      ? ConnectionPool.use(this.#pool, step.key, work)
      : Effect.scoped(Effect.flatMap(ConnectionPool.get(this.#pool, step.key), work))
    borrower.fiber = this.#fork(Effect.exit(Effect.provideService(borrow, CurrentBorrower, borrower)))
    borrower.fiber.addObserver(() => this.#letGo(borrower, "Done"))
  }

  // ---- the steps -----------------------------------------------------------------------------------------------------

  #live(): ReadonlyArray<Connection> {
    return [...this.accounts.values()].flatMap(({ live }) => [...live])
  }

  #do(effect: Effect.Effect<void>): void {
    this.#fork(effect)
  }

  async #step(step: History.Step): Promise<void> {
    switch (step.do) {
      case "borrow":
        return this.#borrow(step)
      case "pass":
        return this.world.advance(step.millis)
      case "settle":
        return this.world.settle()
      case "cancel": {
        const unfinished = this.borrowers.filter(({ state }) => state !== "Done")
        return this.#cancel(unfinished[step.which % unfinished.length])
      }
      case "kill": {
        const live = this.#live()
        const connection = live[step.which % live.length]
        return connection === undefined ? undefined : this.#kill(connection)
      }
      case "invalidate": {
        await this.world.settle()
        const live = this.#live()
        const connection = live[step.which % live.length]
        if (connection === undefined) return
        this.#giveUp(connection)
        return this.#do(ConnectionPool.invalidate(this.#pool, connection))
      }
      case "evict": {
        // What is open but not yet the pool's is not evicted, so everything settles first.
        await this.world.settle()
        const evicted = step.key === undefined ? this.#live() : this.#account(step.key).live
        for (const connection of evicted) this.#giveUp(connection)
        return this.#do(ConnectionPool.evict(this.#pool, step.key))
      }
      case "resize":
        this.maxPerEndpoint = step.maxPerEndpoint
        this.maxTotal = step.maxTotal
        this.#recentCaps = {
          maxPerEndpoint: Math.max(this.#recentCaps.maxPerEndpoint, step.maxPerEndpoint),
          maxTotal: Math.max(this.#recentCaps.maxTotal, step.maxTotal)
        }
        return this.#do(Effect.orDie(ConnectionPool.resize(this.#pool, step)))
      case "suspend":
        this.suspended = step.mode
        return this.#do(ConnectionPool.suspend(this.#pool, { mode: step.mode }))
      case "resume":
        this.suspended = "no"
        return this.#do(ConnectionPool.resume(this.#pool))
      case "dials":
      case "checks":
        this.#account(step.key)[step.do] = step.conduct
        return
      case "closes":
        this.#account(step.key).closes = step.millis
    }
  }

  #cancel(borrower: Borrower | undefined): void {
    if (borrower === undefined) return
    borrower.cancelled = true
    borrower.fiber?.interruptUnsafe()
  }

  // ---- what must be true ---------------------------------------------------------------------------------------------

  expect(condition: boolean, otherwise: string): void {
    if (!condition) this.#violations.push(`at ${this.world.now} ms: ${otherwise}`)
  }
  readonly #violations: Array<string> = []

  get stats(): ConnectionPool.Stats {
    return Effect.runSync(ConnectionPool.stats(this.#pool))
  }

  /** Everything that could run has run. */
  #check(): void {
    const { stats } = this
    this.#settled++
    this.#recentCaps = { maxPerEndpoint: this.maxPerEndpoint, maxTotal: this.maxTotal }
    this.#checkCounts(stats)
    this.#checkOrder()
    if (this.suspended === "no" && !this.ended) {
      for (const [key, account] of this.accounts) this.#checkWaiters(key, account, stats)
    }
    this.borrowers = this.borrowers.filter(({ state }) => state !== "Done")
    if (this.#violations.length > 0) throw new Error(this.#violations.join("\n"))
  }

  #checkCounts(stats: ConnectionPool.Stats): void {
    for (const [key, account] of this.accounts) {
      const counts = stats.endpoints.get(key)
      const { dialling, live, sockets } = account
      // An endpoint that the pool does not know has nothing, and need not be looked at any closer.
      if (counts === undefined && sockets === 0) continue
      let [active, waiting] = [0, 0]
      for (const { holders } of live) if (holders.size > 0) active++
      for (const borrower of this.borrowers) if (borrower.key === key && borrower.state === "Waiting") waiting++
      const idle = live.size - active
      const closing = sockets - dialling - live.size
      const agrees = counts !== undefined && counts.total === sockets && counts.active === active &&
        counts.idle === idle && counts.connecting === dialling && counts.closing === closing &&
        counts.waiting === waiting
      if (agrees) continue
      const actual = { total: sockets, active, idle, connecting: dialling, closing, waiting }
      this.expect(false, `of ${key} there is ${JSON.stringify(actual)}, but stats says ${JSON.stringify(counts)}`)
    }
    this.expect(stats.opened === this.opened, `${this.opened} were opened, but stats says ${stats.opened}`)
  }

  #checkOrder(): void {
    const { acquireTimeout } = this.history.options
    for (const borrower of this.borrowers) {
      if (borrower.state === "Done" && !borrower.hadTurnNow) continue
      const name = `borrower ${borrower.number} of ${borrower.key}`
      if (borrower.hadTurnNow && !borrower.cancelled) {
        const ahead = this.borrowers.find((other) => this.#isAhead(other, borrower))
        this.expect(ahead === undefined, `${name} was served before ${ahead?.number}, which still waits`)
      }
      const waited = borrower.state === "Waiting" ? this.world.now - borrower.since : 0
      this.expect(waited < acquireTimeout, `${name} waits for ${waited} ms already`)
      this.expect(waited === 0 || !borrower.cancelled, `${name} was cancelled and still waits`)
      this.expect(
        borrower.state !== "Waiting" || (!this.ended && this.suspended !== "fail"),
        `${name} waits, but the pool refuses borrowers`
      )
    }
    for (const borrower of this.borrowers) {
      borrower.hadTurnNow = false
      if (borrower.state === "Waiting") borrower.queuedAt = Math.min(borrower.queuedAt, this.#settled)
    }
  }

  /** Nobody waits while something is free. */
  #checkWaiters(key: string, { failedAt, failing, live }: Account, stats: ConnectionPool.Stats): void {
    const counts = stats.endpoints.get(key)
    if (counts === undefined || counts.waiting === 0) return
    const { concurrency, maxLifetime } = this.history.options
    const fit = [...live].filter(({ unfitAt }) => unfitAt === Infinity)
    const open = fit.find(({ checkedFor, contested, holders, openedAt }) =>
      checkedFor === undefined && holders.size < (contested ? 1 : concurrency) &&
      this.world.now < openedAt + maxLifetime
    )
    // Whoever finds room when a check has passed needs no connection of its own.
    const coming = fit.filter(({ checkedFor }) => checkedFor !== undefined).length * (concurrency - 1)
    const overCap = stats.total - stats.closing > this.maxTotal || counts.total - counts.closing > this.maxPerEndpoint
    this.expect(open === undefined || overCap, `borrowers of ${key} wait while it has a connection with room`)
    const missing = Math.min(
      Math.ceil((counts.waiting - coming) / concurrency) - counts.connecting,
      (failing ? 1 : 2) - counts.connecting,
      this.maxPerEndpoint - counts.total
    )
    if (missing <= 0 || (failing && this.world.now < failedAt + maxDelay)) return
    this.expect(stats.total >= this.maxTotal, `borrowers of ${key} wait while a slot is free`)
    const others = stats.idle - counts.idle
    this.expect(
      others === 0 || stats.closing > 0,
      `borrowers of ${key} wait while another endpoint has an idle connection`
    )
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
      account.dials = "works"
      account.checks = "works"
      account.closes = 0
    }
    await this.#step({ do: "resume" })
    for (const borrower of this.borrowers) if (borrower.state === "Holding") this.#cancel(borrower)
    await this.world.advance(longEnough)
    for (const borrower of this.borrowers) this.#cancel(borrower)
    await this.world.settle()
    this.expect(this.borrowers.length === 0, `${this.borrowers.length} borrowers have not ended`)
    for (const key of ["a", "b"]) this.#borrow({ do: "borrow", key, hold: 1, ending: "succeeds", by: "use" })
    const last = this.borrowers.map(({ fiber }) => fiber)
    await this.world.advance(longEnough)
    for (const fiber of last) {
      const exit = fiber?.pollUnsafe()
      const served = exit !== undefined && Exit.isSuccess(exit) && Exit.isExit(exit.value) && Exit.isSuccess(exit.value)
      this.expect(served, "a borrower got nothing from a pool that has everything")
    }
  }

  async #drain(): Promise<void> {
    this.ended = true
    const drain = this.#fork(ConnectionPool.drain(this.#pool, 20))
    await this.world.advance(longEnough)
    this.expect(drain.pollUnsafe() !== undefined, "the drain has not ended")
    const { active, closing, connecting, idle, total, waiting } = this.stats
    const left = { active, closing, connecting, idle, total, waiting, sockets: this.sockets }
    this.expect(Object.values(left).every((count) => count === 0), `after the drain: ${JSON.stringify(left)}`)
    for (const borrower of this.borrowers) this.#cancel(borrower)
    this.#do(Scope.close(this.#scope, Exit.void))
    await this.world.settle()
    this.expect(this.borrowers.length === 0, `${this.borrowers.length} borrowers are left`)
    this.expect(this.world.sleeping === 0, `${this.world.sleeping} timers are left`)
    this.#check()
  }
}
