/**
 * A storm of retries: a server loses most of its capacity for a while, its callers try again, and the retries may keep it
 * down for good.
 *
 * One server works first in, first out, 1000 requests a second, of which 800 are offered by a fleet of processes. A caller
 * gives up after a second, and the server does its work all the same. From 30 s to 40 s the server is at 30 % of its speed.
 */
import { Agenda } from "./agenda.ts"
import type { Policy, Process } from "./policies.ts"

const millisPerRequest = 1
const offeredPerSecond = 800
const timeout = 1000
const slow = { from: 30_000, to: 40_000, share: 0.3 }
const end = 240_000
const maxRetries = 3

/** It has recovered in the first second from which on so large a share of the calls of so many seconds succeeds. */
const recovered = { share: 0.93, seconds: 5 }

export interface Outcome {
  /** Seconds from the end of the slow time to the recovery; `Infinity` if there was none. */
  readonly recovery: number
  /** The most attempts that reached the server in one second, as a multiple of what is offered. */
  readonly peak: number
}

/** Mulberry32: small, and good enough for arrivals. */
const seeded = (seed: number): () => number => {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

const secondOf = (at: number): number => Math.floor(at / 1000)

const count = (perSecond: Float64Array, second: number): void => {
  perSecond[second] = (perSecond[second] ?? 0) + 1
}

const sum = (perSecond: Float64Array, from: number, seconds: number): number =>
  perSecond.subarray(from, from + seconds).reduce((total, value) => total + value, 0)

const recoveryOf = (calls: Float64Array, successes: Float64Array): number => {
  const first = secondOf(slow.to)
  // The calls of the last seconds may not have ended yet.
  for (let second = first; second < secondOf(end) - 20; second++) {
    const all = sum(calls, second, recovered.seconds)
    if (sum(successes, second, recovered.seconds) >= recovered.share * all) return second - first
  }
  return Infinity
}

export const simulate = (policy: Policy, fleet: number, seed: number): Outcome => {
  const random = seeded(seed)
  const agenda = new Agenda()
  const processes = Array.from({ length: fleet }, () => policy.start(random))
  const [calls, successes, load] = [1, 2, 3].map(() => new Float64Array(secondOf(end) + 1))
  if (calls === undefined || successes === undefined || load === undefined) throw new Error("three arrays were made")
  let freeAt = 0
  const serve = (now: number): number => {
    const start = Math.max(now, freeAt)
    const share = start >= slow.from && start < slow.to ? slow.share : 1
    freeAt = start + millisPerRequest / share
    return freeAt
  }
  const attempt = (process: Process, now: number, calledIn: number, retry: number): void => {
    const settle = process.admit(now, retry > 0)
    if (settle === undefined) return
    count(load, secondOf(now))
    const done = serve(now)
    const succeeded = done - now <= timeout
    const ended = succeeded ? done : now + timeout
    agenda.add(ended, () => {
      settle(succeeded, ended)
      if (succeeded) count(successes, calledIn)
      if (succeeded || retry >= maxRetries || !process.mayRetry(ended)) return
      const next = ended + policy.delay(retry + 1, random())
      agenda.add(next, () => attempt(process, next, calledIn, retry + 1))
    })
  }
  const arrive = (now: number): void => {
    const process = processes[Math.floor(random() * fleet)]
    count(calls, secondOf(now))
    if (process !== undefined) attempt(process, now, secondOf(now), 0)
    const next = now - Math.log(1 - random()) * 1000 / offeredPerSecond
    agenda.add(next, () => arrive(next))
  }
  arrive(0)
  for (let event = agenda.next(); event !== undefined && event.at < end; event = agenda.next()) event.run()
  return {
    recovery: recoveryOf(calls, successes),
    peak: Math.max(...load.subarray(secondOf(slow.from))) / offeredPerSecond
  }
}
