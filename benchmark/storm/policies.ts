/**
 * What processes do about calls that fail: policies that others have published, plain breakers, and ours. Theirs are modelled
 * from their documentation and source, with full jitter for all of them, so that only the policy differs. Ours are the state
 * machines of the library.
 */
import * as Breaker from "../../src/Retry/Breaker.ts"
import * as Failure from "../../src/Retry/Failure.ts"
import { askForRetry } from "../../src/Retry/internal/Decision.ts"
import * as RetryBudget from "../../src/Retry/RetryBudget.ts"

/** Takes what came of an attempt. */
export type Settle = (succeeded: boolean, now: number) => void

/** A call whose last attempt has failed. Times are milliseconds. */
export interface FailedCall {
  /** How often it has failed. */
  readonly failures: number
  /** How long the last attempt took. */
  readonly lived: number
  /** How long the next one would wait. */
  readonly delay: number
}

/** One process and its policy. Times are milliseconds. */
export interface Process {
  /** What takes the outcome of an attempt, or `undefined` if it may not be made. */
  readonly admit: (now: number, isRetry: boolean) => Settle | undefined
  /** Whether a call whose attempt has failed is tried again after a delay. */
  readonly mayRetry: (now: number, failed: FailedCall) => boolean
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

/**
 * A plain breaker: five failures in a row open it for a fixed time, then one probe decides. No ramp, and no budget. What comes
 * of an attempt that began before the last turn changes nothing.
 */
const plainBreaker = (openTime: number) => (): Process => {
  let state: "closed" | "open" | "half open" = "closed"
  let failures = 0
  let until = 0
  let turn = 0
  const turnTo = (next: typeof state, now: number) => {
    state = next
    failures = 0
    until = now + openTime
    turn++
  }
  const settleIn = (begunIn: number): Settle => (succeeded, now) => {
    if (begunIn !== turn) return
    failures = succeeded ? 0 : failures + 1
    if (state === "half open") turnTo(succeeded ? "closed" : "open", now)
    else if (failures === 5) turnTo("open", now)
  }
  return {
    admit: (now) => {
      if (state === "open" && now >= until) turnTo("half open", now)
      else if (state !== "closed") return undefined
      return settleIn(turn)
    },
    mayRetry: () => true
  }
}

/** What an attempt fails with in this model: the server may have done it, or is about to. */
const timedOut = Failure.make("Ambiguous")

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
    mayRetry: (now, { delay, failures, lived }) => {
      const answer = askForRetry(bucket, circuit, { now, failure: timedOut, delay, failures, lived })
      if (answer._tag === "Refused") return false
      // Nothing stands between the delay and the attempt in this model.
      answer.withdrawal?.spend()
      return true
    }
  }
}

export const our: Policy = { name: "effect-sluice: budget and breaker", delay: fullJitter, start: ours }

export const plain: Policy = { name: "plain breaker, open 1 s", delay: fullJitter, start: plainBreaker(1000) }

export const plainLong: Policy = { name: "plain breaker, open 5 s", delay: fullJitter, start: plainBreaker(5000) }

export const noRetry: Policy = { name: "no retry", delay: fullJitter, start: alike(false) }

export const noBudget: Policy = { name: "full jitter, no budget", delay: fullJitter, start: alike(true) }

export const policies: ReadonlyArray<Policy> = [
  noRetry,
  { name: "at once, no budget", delay: () => 0, start: alike(true) },
  noBudget,
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
  plainLong,
  plain,
  our
]
