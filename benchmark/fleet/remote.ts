/**
 * A budget at a store that is reached over a network.
 */
import type { Event, Heap } from "../simulation/heap.ts"
import { Server } from "./server.ts"
import type { ScriptName, Setting } from "./setting.ts"
import { type Answer, type Ask, BudgetModel, type Message } from "./store.ts"

/** The clock of the store, at the start of a simulation. */
const epoch = 1_000_000

/** What becomes of a call. */
export interface Outcome<A> {
  readonly done: (answer: A, at: number) => void
  readonly failed: (at: number) => void
}

/**
 * The network delays each call alike, so calls arrive in the order in which they are sent. A call is therefore executed at once, with the time at which
 * it is going to be done, and only its answer is an event.
 */
export class RemoteBudget {
  readonly model: BudgetModel
  readonly #server: Server
  readonly #agenda: Heap<Event>
  readonly #setting: Setting
  /** The process of all instances, if they share one. */
  readonly #process = new Server()
  readonly #waiting = new Map<string, (message: Message, at: number) => void>()

  constructor(setting: Setting, server: Server, agenda: Heap<Event>) {
    this.#setting = setting
    this.#server = server
    this.#agenda = agenda
    this.model = new BudgetModel(setting.permits, () => true)
  }

  acquire(now: number, ask: Ask, outcome: Outcome<Answer>): void {
    // A request that is known, or that meets a full budget, is not granted as a rule. This decides only how long the script takes.
    const isFull = this.model.used >= this.model.limit || this.model.queue.size > 0
    this.#call(now, isFull ? "wait" : "acquire", () => this.model.acquire(ask), outcome)
  }

  release(now: number, ids: ReadonlyArray<string>, outcome: Outcome<number>): void {
    this.#call(now, "release", () => this.model.release(ids), outcome)
  }

  renew(now: number, lease: number, ids: ReadonlyArray<string>, outcome: Outcome<ReadonlyArray<number>>): void {
    this.#call(now, "renew", () => this.model.renew(lease, ids), outcome)
  }

  /** Calls back when a message about a request arrives. */
  expect(id: string, told: (message: Message, at: number) => void): void {
    this.#waiting.set(id, told)
  }

  forget(id: string): void {
    this.#waiting.delete(id)
  }

  #call<A>(now: number, script: ScriptName, run: () => A, { done, failed }: Outcome<A>): void {
    const { network, service, storeTimeout } = this.#setting
    const sent = this.#work(now)
    const executed = this.#server.serve(sent + network, service[script])
    this.model.now = epoch + Math.floor(executed)
    const answer = run()
    const back = executed + network
    for (const message of this.model.messages.splice(0)) {
      this.#receive(back, (at) => this.#waiting.get(message.id)?.(message, at))
    }
    if (back - now <= storeTimeout) this.#receive(back, (at) => done(answer, at))
    else this.#at(now + storeTimeout, failed)
  }

  /** When the process has done its half of the work for a call. */
  #work(now: number): number {
    const { processorTime } = this.#setting
    return processorTime > 0 ? this.#process.serve(now, processorTime / 2) : now
  }

  #receive(at: number, run: (at: number) => void): void {
    if (this.#setting.processorTime === 0) return this.#at(at, run)
    this.#at(at, (arrived) => this.#at(this.#work(arrived), run))
  }

  #at(at: number, run: (at: number) => void): void {
    this.#agenda.add({ at, run: () => run(at) })
  }
}
