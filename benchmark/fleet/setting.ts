/**
 * What a simulated fleet is made of. All times are milliseconds.
 */
import type { OnStoreError, Wake } from "../../src/Clients/internal/redisbudget/Options.ts"

/** The scripts that a fleet calls. `wait` is an `acquire` whose answer is a place in the queue. */
export type ScriptName = "acquire" | "wait" | "release" | "renew"

/** For how long one script keeps the processor of the store busy. */
export type Service = Readonly<Record<ScriptName, number>>

/** When instances want a connection. */
export type Arrivals =
  /** Each instance wants the next one so long after its last, on average; exponentially distributed. */
  | { readonly _tag: "Think"; readonly mean: number }
  /** All at once, and each so many times in sequence. Each budget was used once, so long before. */
  | { readonly _tag: "Burst"; readonly rounds: number; readonly after: number }

/** Instances in one process, which take permits together and share them. */
export interface Shares {
  /** Instances of one process. */
  readonly size: number
  readonly permits: number
  /** How long a process keeps its permits. */
  readonly tenure: number
}

/** From when to when a store does not answer. What was sent meanwhile is executed afterwards. */
export interface Away {
  readonly from: number
  readonly to: number
}

/** Holders that end without giving their permit back. */
export interface Losses {
  /** The share of connections that are lost in this way. */
  readonly share: number
  /** How long the server keeps the session of a lost holder. */
  readonly sessionLives: number
}

export interface Setting {
  readonly seed: number
  readonly instances: number
  /** Databases, each with a budget; instances are spread over them. */
  readonly budgets: number
  /** Stores, over which the budgets are spread by their hash tags. */
  readonly stores: number
  /** The limit of each budget. */
  readonly permits: number
  readonly arrivals: Arrivals
  /** How long a connection is open. */
  readonly hold: { readonly mean: number; readonly isExponential: boolean }
  /** How long an instance waits for a connection before it fails. */
  readonly patience: number
  readonly wake: Wake
  readonly lease: number
  readonly storeTimeout: number
  readonly onStoreError: OnStoreError
  readonly maxInstances: number
  /** From a process to its store, one way. */
  readonly network: number
  readonly service: Service
  /** Processor time of each call in a process that all instances share. 0 if each instance has a process and a processor. */
  readonly processorTime: number
  readonly shares: Shares | undefined
  readonly away: Away | undefined
  readonly losses: Losses | undefined
  /** Nothing is counted before. */
  readonly warmUp: number
  /** The end of the simulation, unless all have been served before. */
  readonly end: number
}

/** The defaults of the library, and a function that needs a connection once a second for 50 ms. */
export const usual: Setting = {
  seed: 1,
  instances: 100,
  budgets: 1,
  stores: 1,
  permits: 97,
  arrivals: { _tag: "Think", mean: 1000 },
  hold: { mean: 50, isExponential: false },
  patience: 30_000,
  wake: "poll",
  lease: 60_000,
  storeTimeout: 100,
  onStoreError: "share",
  maxInstances: 97,
  network: 0.25,
  service: { acquire: 0.02, wait: 0.02, release: 0.02, renew: 0.02 },
  processorTime: 0,
  shares: undefined,
  away: undefined,
  losses: undefined,
  warmUp: 2000,
  end: 22_000
}
