/**
 * Random histories of a budget: processes that take and give back permits, renew them, wait, are told or not, stop for a while, and die.
 */
import { BudgetModel } from "../../benchmark/fleet/store.ts"
import { deadlineOf } from "../../src/Clients/internal/redisbudget/Permits.ts"

/** A permit as a process sees it, on a clock that is `skew` milliseconds ahead of the store's. */
interface Belief {
  readonly weight: number
  readonly deadline: number
}

interface Process {
  readonly skew: number
  /** Whether it listens to its channel. */
  readonly channel: string | undefined
  readonly believed: Map<string, Belief>
  /** Ids that wait, with the local time before the last call and the store's time at that call. */
  readonly waiting: Map<string, { readonly weight: number; readonly sentAt: number; readonly at: number }>
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
}

/** Runs a history of so many steps. `random` returns numbers from 0 to 1. */
export const history = (random: () => number, length: number): History => {
  const below = (most: number): number => Math.floor(random() * most)
  const violations: Array<string> = []
  const steps: Array<Step> = []
  const channels = new Set(["{m}:wake:0", "{m}:wake:1"])
  const model = new BudgetModel(1 + below(4), (channel) => channels.has(channel))
  const first = model.limit
  const processes: Array<Process> = Array.from({ length: 4 }, (_, index) => ({
    skew: index % 2 === 0 ? 11_000 : -11_000,
    channel: index < 3 ? `{m}:wake:${index}` : undefined,
    believed: new Map(),
    waiting: new Map()
  }))
  let [ids, crashes, grants, token] = [0, 0, 0, 0]

  const advance = (millis: number): void => {
    model.now += millis
  }

  /** What has to hold at every moment: what a process believes to hold, the store keeps for it. */
  const check = (): void => {
    for (const { believed, skew } of processes) {
      for (const [id, { deadline }] of believed) {
        if (model.now + skew >= deadline) believed.delete(id)
        else if ((model.expiry.get(id) ?? -Infinity) <= model.now) violations.push(`${id} is believed and not held`)
      }
    }
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

  const believe = (process: Process, id: string, weight: number, since: number, lease: number): void => {
    process.believed.set(id, { weight, deadline: deadlineOf({ id, since, lease }) })
  }

  const ask = (process: Process, id: string, weight: number, isNew: boolean): void => {
    const lease = 1000 + below(5) * 1000
    const sentAt = model.now + process.skew
    advance(below(50))
    const keep = process.channel === undefined ? 3000 : 6000
    const { channel } = process
    const args = [id, weight, lease, keep, channel ?? "-", "holder", isNew ? 1 : 0, "db"]
    const [tag, value] = step(
      "acquire",
      args,
      () => model.acquire({ id, weight, lease, keep, channel, isNew })
    ) as readonly [string, number]
    const at = model.now
    advance(below(50))
    process.waiting.delete(id)
    if (tag === "granted") believe(process, id, weight, sentAt, value)
    if (tag === "waiting") process.waiting.set(id, { weight, sentAt, at })
    check()
  }

  /** Messages arrive late. */
  const deliver = (): void => {
    for (const message of model.messages.splice(0)) {
      advance(below(20))
      for (const process of processes) {
        const waiting = process.waiting.get(message.id)
        if (waiting === undefined) continue
        process.waiting.delete(message.id)
        if (message._tag === "Refused") continue
        const since = waiting.sentAt + message.at - waiting.at
        if (model.now + process.skew < since + message.lease) {
          believe(process, message.id, waiting.weight, since, message.lease)
        }
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
      const sentAt = model.now + process.skew
      advance(below(50))
      const results = step("renew", [3000, ...all], () => model.renew(3000, all)) as ReadonlyArray<number>
      for (const [position, id] of all.entries()) {
        const weight = process.believed.get(id)?.weight ?? 1
        if (results[position] === 1) believe(process, id, weight, sentAt, 3000)
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
    } else advance(below(random() < 0.2 ? 8000 : 800))
    check()
    if (random() < 0.8) deliver()
  }
  return { violations, steps, grants, crashes }
}
