/**
 * What processes do about calls that fail: policies that others have published, and ours. Theirs are modelled from their
 * documentation and source, with full jitter for all of them, so that only the policy differs.
 */
import * as Breaker from "../../src/Retry/Breaker.ts"
import * as RetryBudget from "../../src/Retry/RetryBudget.ts"

/** Told what came of an attempt. */
export type Settle = (succeeded: boolean, now: number) => void

/** One process and its policy. Times are milliseconds. */
export interface Process {
  /** Lets an attempt be made, or not. */
  readonly admit: (now: number, isRetry: boolean) => Settle | undefined
  /** Whether a call whose attempt has failed is tried again after a delay. */
  readonly mayRetry: (now: number) => boolean
}

export interface Policy {
  readonly name: string
  /** Milliseconds before a retry, for a random number; a call is tried again three times at most. */
  readonly delay: (retry: number, u: number) => number
  readonly start: (random: () => number) => Process
}

const fullJitter = (retry: number, u: number): number => u * Math.min(10_000, 100 * 2 ** (retry - 1))

const unmoved: Settle = () => undefined

const alike = (mayRetry: boolean) => (): Process => ({ admit: () => unmoved, mayRetry: () => mayRetry })

interface Tokens {
  readonly start: number
  readonly most: number
  /** What a success earns; with `onSend`, what every call earns when it is sent. A retry costs one. */
  readonly deposit: number
  readonly onSend?: boolean
  /** Retries a second that are free. */
  readonly floor?: number
}

const tokens = ({ deposit, floor = 0, most, onSend = false, start }: Tokens) => (): Process => {
  let balance = start
  let free = floor
  let freeAt = 0
  const earn = () => {
    balance = Math.min(most, balance + deposit)
  }
  return {
    admit: (_, isRetry) => {
      if (onSend && !isRetry) earn()
      return (succeeded) => {
        if (succeeded && !onSend) earn()
      }
    },
    mayRetry: (now) => {
      free = Math.min(floor, free + (now - freeAt) / 1000 * floor)
      freeAt = now
      if (balance >= 1) balance--
      else if (free >= 1) free--
      else return false
      return true
    }
  }
}

const inFlight = (share: number, least: number) => (): Process => {
  let active = 0
  let retrying = 0
  return {
    admit: (_, isRetry) => {
      const weight = isRetry ? 1 : 0
      active++
      retrying += weight
      return () => {
        active--
        retrying -= weight
      }
    },
    mayRetry: () => retrying < Math.max(share * active, least)
  }
}

const throttle = (most: number, deposit: number) => (): Process => {
  let balance = most
  return {
    admit: () => (succeeded) => {
      balance = succeeded ? Math.min(most, balance + deposit) : Math.max(0, balance - 1)
    },
    mayRetry: () => balance > most / 2
  }
}

/** Ours as it is: the budget and the breaker of the library, with their defaults. */
const ours = (random: () => number): Process => {
  const bucket = RetryBudget.make()[RetryBudget.TypeId].bucketOf("server")
  const circuit = Breaker.make()[Breaker.TypeId].circuitOf("server", 0)
  return {
    admit: (now) => {
      const ticket = circuit.admit(now)
      if (ticket === undefined) return undefined
      return (succeeded, at) => {
        circuit.settle(ticket, succeeded ? "Success" : "Failure", { now: at, u: random() })
        if (succeeded) bucket.succeeded()
      }
    },
    mayRetry: (now) => {
      const withdrawal = bucket.withdraw(now)
      if (withdrawal === undefined) return false
      const isRefused = circuit.refusedFor(now) > 0
      if (isRefused) withdrawal.refund()
      else withdrawal.spend()
      return !isRefused
    }
  }
}

export const ourName = "effect-sluice: budget and breaker"

export const controls = ["no retry", "full jitter, no budget"] as const

export const policies: ReadonlyArray<Policy> = [
  { name: controls[0], delay: fullJitter, start: alike(false) },
  { name: "at once, no budget", delay: () => 0, start: alike(true) },
  { name: controls[1], delay: fullJitter, start: alike(true) },
  {
    name: "Finagle, linkerd, tower: 20 % of successes and 10/s",
    delay: fullJitter,
    start: tokens({ start: 0, most: 100, deposit: 0.2, floor: 10 })
  },
  {
    name: "20 % of what is sent",
    delay: fullJitter,
    start: tokens({ start: 0, most: 100, deposit: 0.2, onSend: true })
  },
  { name: "20 % of successes", delay: fullJitter, start: tokens({ start: 0, most: 100, deposit: 0.2 }) },
  { name: "Envoy: 20 % of what is in flight, 3 at least", delay: fullJitter, start: inFlight(0.2, 3) },
  {
    name: "AWS SDK, legacy: 500 tokens, 5 a retry",
    delay: fullJitter,
    start: tokens({ start: 100, most: 100, deposit: 0.2 })
  },
  { name: "gRPC: 10 tokens, 0.1 a success", delay: fullJitter, start: throttle(10, 0.1) },
  { name: ourName, delay: fullJitter, start: ours }
]
