/**
 * Random histories of a budget: processes that take and give back permits, renew them, wait, are told or not, stop for a while, and die. All clocks
 * are set now and then, that of the store as well, and those of the processes run at rates of their own.
 */
import { type Answer, BudgetModel } from "../../benchmark/fleet/store.ts"
import { deadlineOf, type Granted, leaseOf } from "../../src/Clients/internal/redisbudget/Permits.ts"
import { AgeClock } from "../../src/internal/AgeClock.ts"
import { LateClock } from "./LateClock.ts"

/** The clocks of a process, which are not those of the store. */
class ProcessClock extends LateClock {
  readonly #rate: number
  readonly #age: AgeClock
  /** By how much the wall clock is ahead of the monotonic one. */
  #ahead = 0

  constructor(rate: number) {
    super(0)
    this.#rate = rate
    this.#age = new AgeClock(this)
  }

  override currentTimeMillisUnsafe = () => Math.floor(this.now + this.#ahead)

  pass(millis: number): void {
    this.now += millis * this.#rate
  }

  set(by: number): void {
    this.#ahead += by
  }

  /** The time as the budget of the process reads it. */
  read(): number {
    return this.#age.synchronize()
  }
}

/** A permit as a process sees it. */
interface Belief {
  readonly weight: number
  readonly granted: Granted
}

interface Process {
  readonly clock: ProcessClock
  /** Whether it listens to its channel. */
  readonly channel: string | undefined
  readonly believed: Map<string, Belief>
  /** Ids that wait, with the time of the process before the last call, and the fence of its answer. */
  readonly waiting: Map<string, { readonly weight: number; readonly sentAt: number; readonly fence: number }>
}

/** When the store has given or renewed a lease, and by how much its clock had been set forward until then. */
interface Begun {
  readonly at: number
  readonly forward: number
}

/** A step of a history at the store, for a comparison with the real scripts. */
export interface Step {
  readonly now: number
  readonly name: "acquire" | "release" | "renew" | "setLimit"
  readonly args: ReadonlyArray<string | number>
  readonly expected: unknown
  readonly used: number
  readonly waiting: ReadonlyArray<string>
}

export interface History {
  readonly violations: ReadonlyArray<string>
  readonly steps: ReadonlyArray<Step>
  readonly grants: number
  readonly crashes: number
  /** Leases that a process counts on although the store has ended them, because its clock was set forward. */
  readonly endedEarly: number
}

/** Runs a history of so many steps. `random` returns numbers from 0 to 1. */
export const history = (random: () => number, length: number): History => {
  const below = (most: number): number => Math.floor(random() * most)
  const violations: Array<string> = []
  const steps: Array<Step> = []
  const channels = new Set(["{m}:wake:0", "{m}:wake:1"])
  const model = new BudgetModel(1 + below(4), (channel) => channels.has(channel))
  // The clock may be set back by hours, and its time is never negative.
  model.now = 1_800_000_000_000
  const first = model.limit
  const processes: Array<Process> = Array.from({ length: 4 }, (_, index) => ({
    clock: new ProcessClock([1, 0.97, 1.03, 1][index] ?? 1),
    channel: index < 3 ? `{m}:wake:${index}` : undefined,
    believed: new Map(),
    waiting: new Map()
  }))
  let [ids, crashes, grants, token, endedEarly] = [0, 0, 0, 0, 0]
  // The time that has passed, and by how much the clock of the store was set forward in all.
  let [passed, forward] = [0, 0]
  // Until then no message arrives.
  let stalledUntil = 0
  const begun = new Map<string, Begun>()

  const advance = (millis: number): void => {
    passed += millis
    model.now += millis
    for (const { clock } of processes) clock.pass(millis)
  }

  /** From half a second to an hour. */
  const aStep = (): number => Math.round(500 * 7200 ** random())

  const setStoreClock = (by: number): void => {
    model.now += by
    forward += Math.max(by, 0)
  }

  /**
   * What has to hold at every moment: what a process believes to hold, the store keeps for it, unless its clock was set forward meanwhile. Nothing is
   * believed for longer than its lease, however clocks are set.
   */
  const check = (): void => {
    for (const { believed, clock } of processes) {
      if (believed.size === 0) continue
      const now = clock.read()
      for (const [id, { granted }] of believed) {
        if (now >= deadlineOf(granted)) {
          believed.delete(id)
          continue
        }
        const since = begun.get(id) ?? { at: -Infinity, forward: 0 }
        const isKept = (model.expiry.get(id) ?? -Infinity) > model.now
        if (passed >= since.at + granted.lease) violations.push(`${id} is believed for longer than its lease`)
        else if (!isKept && since.forward === forward) violations.push(`${id} is believed and not held`)
        else if (!isKept) endedEarly++
      }
    }
  }

  const begins = (ids: Iterable<string>): void => {
    for (const id of ids) begun.set(id, { at: passed, forward })
  }

  const step = (name: Step["name"], args: ReadonlyArray<string | number>, run: () => unknown): unknown => {
    const before = { used: model.used, waiting: model.waiting, held: new Set(model.held.keys()) }
    const expected = run()
    const { now, used, waiting } = model
    steps.push({ now, name, args: [first, ...args], expected, used, waiting })
    const sum = [...model.held.values()].reduce((all, { weight }) => all + weight, 0)
    if (sum !== used) violations.push("used is not the sum of the weights")
    if (used > model.limit && used > before.used) violations.push("a permit was given above the limit")
    for (const [id, expiry] of model.expiry) if (expiry <= now) violations.push(`${id} outlives its lease`)
    const head = model.queue.get(waiting[0] ?? "")
    if (head !== undefined && head.seen >= now && used + head.weight <= model.limit) violations.push("a permit is lost")
    const fresh = [...model.held].filter(([id]) => !before.held.has(id))
    begins(fresh.map(([id]) => id))
    for (const [, record] of fresh) {
      grants++
      if (record.token <= token) violations.push("a token is not greater")
      token = record.token
    }
    // Nobody is passed: what was before it in the queue has a permit too, or has left the queue.
    for (const [id] of fresh) {
      const ahead = before.waiting.slice(0, Math.max(before.waiting.indexOf(id), 0))
      if (ahead.some((other) => waiting.includes(other))) violations.push(`${id} has passed another`)
    }
    check()
    return expected
  }

  const believe = (process: Process, weight: number, granted: Granted | undefined): void => {
    if (granted?.id !== undefined) process.believed.set(granted.id, { weight, granted })
  }

  const ask = (process: Process, id: string, weight: number, isNew: boolean): void => {
    const lease = 1000 + below(5) * 1000
    const { channel, clock } = process
    const sentAt = clock.read()
    advance(below(50))
    const keep = channel === undefined ? 3000 : 6000
    const args = [id, weight, lease, keep, channel ?? "-", "holder", isNew ? 1 : 0, "db"]
    const answer = step(
      "acquire",
      args,
      () => model.acquire({ id, weight, lease, keep, channel, isNew })
    ) as Answer
    if (answer[0] === "granted") begins([id])
    advance(below(50))
    process.waiting.delete(id)
    if (answer[0] === "granted") {
      const [, length, fence] = answer
      believe(process, weight, leaseOf({ id, at: sentAt, fence: 0 }, { fence, lease: length }, clock.read()))
    }
    if (answer[0] === "waiting") process.waiting.set(id, { weight, sentAt, fence: answer[3] })
    check()
  }

  /** Messages arrive late. */
  const deliver = (): void => {
    for (const message of model.messages.splice(0)) {
      advance(below(20))
      for (const process of processes) {
        const waiting = process.waiting.get(message.id)
        if (waiting === undefined) continue
        const { fence, sentAt, weight } = waiting
        if (message._tag === "Refused") {
          process.waiting.delete(message.id)
          continue
        }
        const granted = leaseOf({ id: message.id, at: sentAt, fence }, message, process.clock.read())
        if (granted !== undefined) process.waiting.delete(message.id)
        believe(process, weight, granted)
      }
    }
    check()
  }

  for (let index = 0; index < length; index++) {
    const process = processes[below(processes.length)]
    if (process === undefined) break
    const [held] = process.believed.keys()
    const [waiting] = process.waiting
    const action = random()
    if (action < 0.3) ask(process, `i${++ids}`, random() < 0.8 ? 1 : 1 + below(3), true)
    else if (action < 0.45 && waiting !== undefined) ask(process, waiting[0], waiting[1].weight, false)
    else if (action < 0.65 && held !== undefined) {
      process.believed.delete(held)
      step("release", [held], () => model.release([held]))
    } else if (action < 0.75 && held !== undefined) {
      const all = [...process.believed.keys()]
      const since = process.clock.read()
      advance(below(50))
      const [, ...results] = step("renew", [3000, ...all], () => model.renew(3000, all)) as ReadonlyArray<number>
      begins(all.filter((_, position) => results[position] === 1))
      for (const [position, id] of all.entries()) {
        const weight = process.believed.get(id)?.weight ?? 1
        if (results[position] === 1) believe(process, weight, { id, since, lease: 3000 })
        else process.believed.delete(id)
      }
    } else if (action < 0.8) {
      // It dies with all that it holds and waits for.
      if (process.believed.size + process.waiting.size > 0) crashes++
      process.believed.clear()
      process.waiting.clear()
    } else if (action < 0.85) {
      const limit = below(6)
      step("setLimit", [limit], () => model.setLimit(limit))
    } else if (action < 0.87) setStoreClock(random() < 0.5 ? aStep() : -aStep())
    else if (action < 0.89) process.clock.set(random() < 0.5 ? aStep() : -aStep())
    else advance(below(random() < 0.2 ? 8000 : 800))
    check()
    if (random() < 0.04) stalledUntil = passed + below(15_000)
    if (passed >= stalledUntil && random() < 0.8) deliver()
  }
  return { violations, steps, grants, crashes, endedEarly }
}
