/**
 * The tokens of a retry budget. Everything here is synchronous. The time is an argument, in milliseconds of
 * the monotonic clock.
 *
 * @since 0.1.0
 */
import { LabelMap } from "../../internal/LabelMap.ts"
import type { Failure } from "../Failure.ts"
import { BudgetExhausted, type RetrySummary } from "../RetryError.ts"

/** One token in millionths, the unit of all amounts here: sums of whole numbers are exact, and sums of fractions are not. */
export const token = 1_000_000

/** The capacity of a bucket and the deposit of a success: whole numbers of millionths. */
export interface BucketRules {
  readonly capacity: number
  readonly deposit: number
}

/** The balance after a success. */
export const afterSuccess = (balance: number, { capacity, deposit }: BucketRules): number =>
  Math.min(capacity, balance + deposit)

/** The balance after a failure. */
export const afterFailure = (balance: number): number => Math.max(0, balance - token)

/** Whether the balance after a failure is enough for a retry. */
export const isEnough = (balance: number, { capacity }: BucketRules): boolean => balance >= capacity / 2

/**
 * Grants one retry in each interval (in milliseconds) even if no tokens are left. Several buckets may share one floor, and then
 * share this one retry.
 */
export class Floor {
  readonly interval: number
  #grantedAt = -Infinity

  constructor(interval: number) {
    this.interval = interval
  }

  /** The milliseconds until it grants a retry; 0 if it grants one now. */
  refusedFor(now: number): number {
    return this.interval === Infinity ? Infinity : Math.max(0, this.#grantedAt + this.interval - now)
  }

  /** Grants a retry. The result undoes that. */
  grant(now: number): () => void {
    const before = this.#grantedAt
    this.#grantedAt = now
    return () => {
      // A later grant is not undone with this one.
      if (this.#grantedAt === now) this.#grantedAt = before
    }
  }
}

/** The token of one retry. It is spent when the retry begins, and refunded when it never does. */
export class Withdrawal {
  #refund: (() => void) | undefined

  constructor(refund: () => void) {
    this.#refund = refund
  }

  spend(): void {
    this.#refund = undefined
  }

  refund(): void {
    this.#refund?.()
    this.#refund = undefined
  }
}

/** The tokens of one budget, or of one label of a keyed budget. */
export class Bucket {
  readonly rules: BucketRules
  readonly #floor: Floor
  #balance: number

  constructor(rules: BucketRules, floor: Floor) {
    this.rules = rules
    this.#floor = floor
    this.#balance = rules.capacity
  }

  /** In tokens. */
  get balance(): number {
    return this.#balance / token
  }

  /** In tokens. */
  get capacity(): number {
    return this.rules.capacity / token
  }

  isLikeNew(): boolean {
    return this.#balance === this.rules.capacity
  }

  /** The bucket with the most tokens is dropped first: its label has the least to lose. */
  worth(): number {
    return -this.#balance
  }

  /** The milliseconds until a retry after one more failure would be granted. */
  refusedFor(now: number): number {
    return isEnough(afterFailure(this.#balance), this.rules) ? 0 : this.#floor.refusedFor(now)
  }

  /**
   * In how many milliseconds another attempt makes sense: after the policy's delay, and not before a retry is granted.
   * `undefined` if none will be.
   */
  retryAfter(now: number, delay: number): number | undefined {
    const refusedFor = this.refusedFor(now)
    return refusedFor === Infinity ? undefined : Math.max(refusedFor, delay)
  }

  /** The error for a retry that the budget refuses after this failure. */
  refusal<E>(summary: RetrySummary, cause: E, failure: Failure): BudgetExhausted<E> {
    const { balance, capacity } = this
    return new BudgetExhausted({ ...summary, failure, cause, balance, capacity })
  }

  succeeded(): void {
    this.#balance = afterSuccess(this.#balance, this.rules)
  }

  /** Counts a failure that is not retried. */
  failed(): void {
    this.#balance = afterFailure(this.#balance)
  }

  /** Counts a failure, which costs one token, and grants a retry if possible. The retry costs no further token. */
  withdraw(now: number): Withdrawal | undefined {
    const before = this.#balance
    this.failed()
    const refundToken = () => {
      this.#balance = Math.min(this.rules.capacity, this.#balance + before - afterFailure(before))
    }
    if (isEnough(this.#balance, this.rules)) return new Withdrawal(refundToken)
    if (this.#floor.refusedFor(now) > 0) return undefined
    const undoGrant = this.#floor.grant(now)
    return new Withdrawal(() => {
      refundToken()
      undoGrant()
    })
  }
}

const mostLabels = 1000

/** A bucket for each label. */
export class KeyedBuckets {
  readonly #rules: BucketRules
  readonly #buckets: LabelMap<Bucket>

  constructor(rules: BucketRules, floor: Floor) {
    this.#rules = rules
    this.#buckets = new LabelMap(mostLabels, () => new Bucket(rules, floor))
  }

  get size(): number {
    return this.#buckets.all.size
  }

  /** The lowest balance of all, in tokens; without a bucket, that of a full one. */
  get lowest(): number {
    let lowest = this.#rules.capacity / token
    for (const { balance } of this.#buckets.all.values()) lowest = Math.min(lowest, balance)
    return lowest
  }

  get(label: string): Bucket {
    // Buckets do not depend on the time.
    return this.#buckets.get(label, 0)
  }
}
