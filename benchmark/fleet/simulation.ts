/**
 * A fleet of instances that want connections to a few databases, each with a budget at a store.
 */
import { type Event, Heap } from "../simulation/heap.ts"
import { exponential, seeded } from "../simulation/random.ts"
import { Client, type Surroundings } from "./client.ts"
import { RemoteBudget } from "./remote.ts"
import { Server } from "./server.ts"
import type { Setting } from "./setting.ts"
import { type Local, SharedPermits } from "./shares.ts"

/** What a fleet has met. All times are milliseconds. */
export interface Outcome {
  readonly served: number
  /** Instances that ran out of time. */
  readonly failed: number
  /** How long they waited for the permit. */
  readonly wait: { readonly mean: number; readonly p50: number; readonly p99: number; readonly max: number }
  /** For how long was counted: of a burst from the first request to the end of the last connection. */
  readonly took: number
  /** Scripts per second, of all stores. */
  readonly scripts: number
  /** Scripts for each connection that was opened. */
  readonly scriptsEach: number
  /** The share of time for which the busiest store worked. */
  readonly utilisation: number
  /** Most sessions of a database at once. */
  readonly sessions: number
  /** Permits that lost holders had, on average. */
  readonly lost: number
}

/** A database, and the sessions that it has. */
class Database {
  readonly budget: RemoteBudget
  readonly dead = new Set<string>()
  sessions = 0
  most = 0

  constructor(budget: RemoteBudget) {
    this.budget = budget
  }

  open(): void {
    this.most = Math.max(this.most, ++this.sessions)
  }

  close(): void {
    this.sessions--
  }

  /** Permits that the store keeps for holders that are gone. */
  get lost(): number {
    for (const id of this.dead) if (!this.budget.model.held.has(id)) this.dead.delete(id)
    return this.dead.size
  }
}

/** Gives permits to the instance, from the store or from the process that it shares them with. */
type Take = (now: number, local: Local & { readonly vanished: (id: string) => void }) => void

const quantile = (sorted: Float64Array, share: number): number =>
  sorted[Math.min(Math.floor(sorted.length * share), sorted.length - 1)] ?? 0

class Simulation {
  readonly #setting: Setting
  readonly #random: () => number
  readonly #agenda = new Heap<Event>()
  readonly #around: Surroundings
  readonly #servers: ReadonlyArray<Server>
  readonly #databases: ReadonlyArray<Database>
  readonly #waits: Array<number> = []
  readonly #lost: Array<number> = []
  #failed = 0
  #lastEnd = 0
  #busyBefore: ReadonlyArray<number> = []
  #callsBefore = 0
  #running = 0

  constructor(setting: Setting) {
    this.#setting = setting
    this.#random = seeded(setting.seed)
    this.#around = { setting, agenda: this.#agenda, random: this.#random, ids: { next: 0 } }
    this.#servers = Array.from({ length: setting.stores }, () => new Server(setting.away))
    this.#databases = Array.from({ length: setting.budgets }, (_, index) => {
      const server = this.#servers[index % setting.stores] ?? new Server()
      return new Database(new RemoteBudget(setting, server, this.#agenda))
    })
  }

  run(): Outcome {
    const { end } = this.#setting
    if (this.#setting.arrivals._tag === "Burst") { for (const { budget } of this.#databases) this.#useOnce(budget) }
    this.#start()
    this.#at(this.#from - 1, () => {
      this.#busyBefore = this.#servers.map(({ busy }) => busy)
      this.#callsBefore = this.#calls
    })
    if (this.#setting.losses !== undefined) this.#sample(this.#from)
    while (this.#agenda.at < end && this.#running > 0) this.#agenda.next()?.run()
    return this.#outcome(this.#setting.arrivals._tag === "Burst" ? Math.min(end, this.#lastEnd) : end)
  }

  get #calls(): number {
    return this.#servers.reduce((sum, { calls }) => sum + calls, 0)
  }

  #at(at: number, run: (at: number) => void): void {
    this.#agenda.add({ at, run: () => run(at) })
  }

  #start(): void {
    const { arrivals, instances, shares } = this.#setting
    this.#running = instances
    const perProcess = shares?.size ?? 1
    for (let first = 0; first < instances; first += perProcess) {
      const database = this.#databases[first / perProcess % this.#databases.length]
      if (database === undefined) return
      const take = this.#takeOf(database)
      for (let index = first; index < Math.min(first + perProcess, instances); index++) {
        const rounds = arrivals._tag === "Burst" ? arrivals.rounds : Infinity
        const at = arrivals._tag === "Burst" ? arrivals.after : exponential(this.#random, arrivals.mean)
        this.#at(at, () => this.#invoke(at, { database, take, rounds }))
      }
    }
  }

  #takeOf(database: Database): Take {
    const { patience, shares } = this.#setting
    let client = new Client(database.budget, this.#around)
    if (shares !== undefined) {
      const shared = new SharedPermits({ client, shares, patience, later: (at, run) => this.#at(at, run) })
      return (now, local) => shared.take(now, local)
    }
    return (now, { deadline, failed, granted, vanished }) => {
      const asked = client
      client.take(now, {
        weight: 1,
        deadline,
        failed,
        granted: (at, permit) => {
          if (!this.#isLost()) return granted(at, (later) => asked.giveBack(later, permit))
          // Another instance takes its place.
          asked.end()
          client = new Client(database.budget, this.#around)
          vanished(permit.lease.id ?? "")
          return granted(at, () => undefined)
        }
      })
    }
  }

  #isLost(): boolean {
    const { losses } = this.#setting
    return losses !== undefined && this.#random() < losses.share
  }

  #invoke(now: number, instance: { readonly database: Database; readonly take: Take; readonly rounds: number }): void {
    const { database, rounds, take } = instance
    let isLost = false
    const next = (at: number) => {
      const { arrivals } = this.#setting
      this.#lastEnd = at
      if (rounds === 1) {
        this.#running--
        return
      }
      const then = arrivals._tag === "Burst" ? at : at + exponential(this.#random, arrivals.mean)
      this.#at(then, () => this.#invoke(then, { ...instance, rounds: rounds - 1 }))
    }
    take(now, {
      deadline: now + this.#setting.patience,
      vanished: (id) => {
        isLost = true
        database.dead.add(id)
      },
      failed: (at) => {
        if (now >= this.#from) this.#failed++
        next(at)
      },
      granted: (at, giveBack) => {
        if (now >= this.#from) this.#waits.push(at - now)
        database.open()
        const end = at + this.#hold()
        if (isLost) this.#at(at + (this.#setting.losses?.sessionLives ?? 0), () => database.close())
        this.#at(end, () => {
          if (!isLost) database.close()
          giveBack(end)
          next(end)
        })
      }
    })
  }

  /** From when on is counted. */
  get #from(): number {
    const { arrivals, warmUp } = this.#setting
    return arrivals._tag === "Burst" ? arrivals.after : warmUp
  }

  #useOnce(budget: RemoteBudget): void {
    const client = new Client(budget, this.#around)
    client.take(0, {
      weight: 1,
      deadline: Infinity,
      granted: (at, permit) => client.giveBack(at, permit),
      failed: () => undefined
    })
  }

  #hold(): number {
    const { isExponential, mean } = this.#setting.hold
    return isExponential ? exponential(this.#random, mean) : mean
  }

  #sample(at: number): void {
    this.#at(at, () => {
      this.#lost.push(this.#databases.reduce((sum, { lost }) => sum + lost, 0))
      this.#sample(at + 100)
    })
  }

  #outcome(end: number): Outcome {
    const millis = end - this.#from
    const calls = this.#calls - this.#callsBefore
    const sorted = Float64Array.from(this.#waits).toSorted()
    const busy = this.#servers.map((server, index) => server.busy - (this.#busyBefore[index] ?? 0))
    return {
      served: sorted.length,
      failed: this.#failed,
      wait: {
        mean: sorted.reduce((sum, value) => sum + value, 0) / Math.max(sorted.length, 1),
        p50: quantile(sorted, 0.5),
        p99: quantile(sorted, 0.99),
        max: sorted.at(-1) ?? 0
      },
      took: millis,
      scripts: calls / millis * 1000,
      scriptsEach: calls / Math.max(sorted.length, 1),
      // A store that is behind has work for longer than that.
      utilisation: Math.min(Math.max(...busy) / millis, 1),
      sessions: Math.max(...this.#databases.map(({ most }) => most)),
      lost: this.#lost.reduce((sum, value) => sum + value, 0) / Math.max(this.#lost.length, 1)
    }
  }
}

export const simulate = (setting: Setting): Outcome => new Simulation(setting).run()
