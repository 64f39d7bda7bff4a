/**
 * A storm of retries: a server loses most of its capacity for a while, its callers try again, and the retries may keep it
 * down for good.
 *
 * One server works first in, first out, 1000 requests a second. A fleet of processes offers a share of that, the load. A
 * caller gives up after a second, and the server does its work all the same. From 30 s on the server is slow for a while.
 */
import { type Event, Heap } from "../simulation/heap.ts"
import { exponential, seeded } from "../simulation/random.ts"
import type { Policy, Process } from "./policies.ts"

/** What the server can do in a second. */
export const capacity = 1000
const timeout = 1000
const slowFrom = 30_000
/** The time after the slow time, in milliseconds. */
const after = 200_000
const maxRetries = 3

/** It has recovered in the first second from which on so large a share of the calls of so many seconds succeeds. */
const recovered = { share: 0.93, seconds: 5 }

/** A time in which the server is slow. */
export interface Outage {
  readonly seconds: number
  /** Its speed, as a share of the usual one. */
  readonly speed: number
}

/** What is simulated beside the policy. */
export interface Setting {
  /** How many processes there are. */
  readonly fleet: number
  readonly seed: number
  /** What is offered, as a share of the capacity. */
  readonly load: number
  readonly outage: Outage
}

export interface Outcome {
  /** Seconds from the end of the slow time to the recovery; `Infinity` if there was none. */
  readonly recovery: number
  /** The most attempts that reached the server in one second, as a multiple of its capacity. */
  readonly peak: number
  /** The least share of calls that succeeded in any five seconds from the recovery on; 0 if there was none. */
  readonly dip: number
  /** The share of calls that succeeded, of all from the end of the slow time on. */
  readonly goodput: number
}

const secondOf = (at: number): number => Math.floor(at / 1000)

const count = (perSecond: Float64Array, second: number): void => {
  perSecond[second] = (perSecond[second] ?? 0) + 1
}

const sum = (perSecond: Float64Array, from: number, seconds: number): number =>
  perSecond.subarray(from, from + seconds).reduce((total, value) => total + value, 0)

/** What happened in each second: calls and those of them that succeeded, by the second of the call, and attempts. */
class Record {
  readonly calls: Float64Array
  readonly successes: Float64Array
  readonly attempts: Float64Array
  readonly #back: number

  /** `back` is the second in which the server is back at its speed. */
  constructor(back: number, seconds: number) {
    this.#back = back
    this.calls = new Float64Array(seconds + 1)
    this.successes = new Float64Array(seconds + 1)
    this.attempts = new Float64Array(seconds + 1)
  }

  /** The share of the calls of each second that succeeded. The calls of the last seconds may not have ended yet. */
  course(): ReadonlyArray<number> {
    return Array.from(this.calls.subarray(0, -21), (_, second) => this.#share(second, 1))
  }

  outcome(): Outcome {
    const back = this.#back
    // The calls of the last seconds may not have ended yet.
    const last = this.calls.length - 1 - 20
    const shares = Array.from({ length: last - back }, (_, index) => this.#share(back + index, recovered.seconds))
    const recovery = shares.findIndex((share) => share >= recovered.share)
    return {
      recovery: recovery < 0 ? Infinity : recovery,
      peak: Math.max(...this.attempts.subarray(secondOf(slowFrom))) / capacity,
      dip: recovery < 0 ? 0 : Math.min(...shares.slice(recovery)),
      goodput: this.#share(back, last - back)
    }
  }

  #share(from: number, seconds: number): number {
    return sum(this.successes, from, seconds) / sum(this.calls, from, seconds)
  }
}

/** The server: when a request that arrives now is done. */
const makeServer = (slowTo: number, speed: number): (now: number) => number => {
  let freeAt = 0
  return (now) => {
    const start = Math.max(now, freeAt)
    freeAt = start + 1000 / capacity / (start >= slowFrom && start < slowTo ? speed : 1)
    return freeAt
  }
}

/** One attempt of a call. */
interface Attempt {
  readonly process: Process
  readonly calledIn: number
  readonly retry: number
}

class Simulation {
  readonly #policy: Policy
  readonly #random: () => number
  readonly #agenda = new Heap<Event>()
  readonly #record: Record
  readonly #serve: (now: number) => number
  readonly #processes: ReadonlyArray<Process>
  readonly #meanGap: number
  readonly #end: number

  constructor(policy: Policy, { fleet, load, outage, seed }: Setting) {
    const slowTo = slowFrom + outage.seconds * 1000
    this.#policy = policy
    this.#end = slowTo + after
    this.#record = new Record(secondOf(slowTo), secondOf(this.#end))
    this.#serve = makeServer(slowTo, outage.speed)
    this.#random = seeded(seed)
    this.#processes = Array.from({ length: fleet }, () => policy.start(this.#random))
    this.#meanGap = 1000 / capacity / load
  }

  run(): Record {
    this.#arrive(0)
    while (this.#agenda.at < this.#end) this.#agenda.next()?.run()
    return this.#record
  }

  #arrive(now: number): void {
    const process = this.#processes[Math.floor(this.#random() * this.#processes.length)]
    const calledIn = secondOf(now)
    count(this.#record.calls, calledIn)
    if (process !== undefined) this.#attempt(now, { process, calledIn, retry: 0 })
    const next = now + exponential(this.#random, this.#meanGap)
    this.#agenda.add({ at: next, run: () => this.#arrive(next) })
  }

  #attempt(now: number, attempt: Attempt): void {
    const settle = attempt.process.admit(now, attempt.retry > 0)
    if (settle === undefined) return
    count(this.#record.attempts, secondOf(now))
    const done = this.#serve(now)
    const succeeded = done - now <= timeout
    const at = succeeded ? done : now + timeout
    this.#agenda.add({
      at,
      run: () => {
        settle(succeeded, at)
        if (succeeded) count(this.#record.successes, attempt.calledIn)
        else this.#retry(at, attempt)
      }
    })
  }

  #retry(now: number, { calledIn, process, retry }: Attempt): void {
    if (retry >= maxRetries) return
    const failures = retry + 1
    const delay = this.#policy.delay(failures, this.#random())
    if (!process.mayRetry(now, { failures, lived: timeout, delay })) return
    const at = now + delay
    this.#agenda.add({ at, run: () => this.#attempt(at, { process, calledIn, retry: retry + 1 }) })
  }
}

export const simulate = (policy: Policy, setting: Setting): Outcome => new Simulation(policy, setting).run().outcome()

/** The share of calls that succeed, second by second. */
export const course = (policy: Policy, setting: Setting): ReadonlyArray<number> =>
  new Simulation(policy, setting).run().course()
