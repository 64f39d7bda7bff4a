/**
 * What is remembered of a pool from its events: its last failures, what has failed at each endpoint since it was healthy, and when a
 * borrow succeeded last.
 *
 * @since 0.1.0
 */
import { errorTypeOf } from "../../internal/ErrorType.ts"
import type { Observer, RefusalReason } from "../../Pool/PoolStats.ts"
import type { Failed } from "./OutageLog.ts"

/** Failures of one kind at one endpoint. */
export interface RecordedFailure {
  readonly endpoint: string
  readonly type: string
  /** The last of them, in milliseconds since 1970. */
  readonly at: number
  /** How many there were in a row, without another failure that had to be remembered instead. */
  readonly count: number
  /** The error of the last one. `undefined`: a borrower ran out of time. */
  readonly cause: unknown
}

/** The type of the failure of a borrower that ran out of time. */
const timeoutType: RefusalReason = "AcquireTimeout"

/** The errors of borrowers that an endpoint is responsible for. Others are those of the pool or of the borrower. */
const failsBy: ReadonlySet<RefusalReason> = new Set([
  "AcquireTimeout",
  "QueueFull",
  "EndpointUnavailable",
  "ConnectFailed"
])

/** The most failures that are remembered. */
const mostFailures = 10

/** The most endpoints whose failures are counted. Keys may come from outside the program. */
const mostEndpoints = 10_000

const nothingFailed: Failed = { attempts: 0, borrows: 0, cause: undefined }

interface Counted {
  attempts: number
  borrows: number
  cause: unknown
}

/** The time in milliseconds: since 1970, and on a clock that does not go back. */
export interface Time {
  readonly now: () => number
  readonly monotonic: () => number
}

/** Remembers the events of one pool. */
export class PoolRecord {
  readonly #time: Time
  readonly #failed = new Map<string, Counted>()
  /** By endpoint and type, the oldest first. */
  readonly #failures = new Map<string, RecordedFailure>()
  /** Borrows that have got a connection. */
  #served = 0
  /** When a borrower ran out of time last, and the number of borrows then. */
  #timedOutAt = -Infinity
  #servedAtTimeout = 0
  /** The number of borrows when it was last looked at, and when it was different for the last time. */
  #servedBefore = 0
  #progressAt: number

  constructor(time: Time) {
    this.#time = time
    this.#progressAt = time.monotonic()
  }

  /** Observes the events of the pool. `onChange` is called when the health of an endpoint may have changed. */
  observer(onChange: () => void): Partial<Observer> {
    return {
      waited: () => {
        this.#served++
      },
      judged: onChange,
      failed: (label, cause) => {
        const counted = this.#countOf(label)
        counted.attempts++
        counted.cause = cause
        this.#remember(label, errorTypeOf(cause), cause)
        onChange()
      },
      timedOut: (label, isSuspended) => {
        // Of a suspended pool it says nothing: no borrower is served until the pool is resumed.
        if (!isSuspended) {
          this.#timedOutAt = this.#time.monotonic()
          this.#servedAtTimeout = this.#served
        }
        this.#remember(label, timeoutType, undefined)
      },
      refused: (reason, label) => {
        if (failsBy.has(reason)) this.#countOf(label).borrows++
      }
    }
  }

  /** What has failed at an endpoint since it was healthy. */
  readonly failedAt = (label: string): Failed => this.#failed.get(label) ?? nothingFailed

  /** The last failures, the last one first. */
  get failures(): ReadonlyArray<RecordedFailure> {
    return [...this.#failures.values()].reverse()
  }

  /** Forgets what has failed at endpoints that are healthy again. `isImpaired` is the answer for all others. */
  forgetHealthy(isImpaired: (label: string) => boolean): void {
    for (const label of this.#failed.keys()) if (!isImpaired(label)) this.#failed.delete(label)
  }

  /**
   * For how many milliseconds no borrow has got a connection. It is too short by at most the time between two calls, because a borrow
   * does not read the clock.
   */
  sinceProgress(): number {
    const now = this.#time.monotonic()
    if (this.#served !== this.#servedBefore) {
      this.#servedBefore = this.#served
      this.#progressAt = now
    }
    return now - this.#progressAt
  }

  /**
   * How many milliseconds ago a borrower ran out of time. It is `Infinity` if there was none since a borrow has got a connection.
   */
  sinceTimeout(): number {
    return this.#served === this.#servedAtTimeout ? this.#time.monotonic() - this.#timedOutAt : Infinity
  }

  #countOf(label: string): Counted {
    const known = this.#failed.get(label)
    if (known !== undefined) return known
    const counted: Counted = { ...nothingFailed }
    if (this.#failed.size < mostEndpoints) this.#failed.set(label, counted)
    return counted
  }

  #remember(endpoint: string, type: string, cause: unknown): void {
    const id = `${type} ${endpoint}`
    const count = (this.#failures.get(id)?.count ?? 0) + 1
    this.#failures.delete(id)
    this.#failures.set(id, { endpoint, type, at: this.#time.now(), count, cause })
    if (this.#failures.size <= mostFailures) return
    for (const oldest of this.#failures.keys()) {
      this.#failures.delete(oldest)
      return
    }
  }
}
