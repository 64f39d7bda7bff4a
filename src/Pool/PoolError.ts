/**
 * Why a borrower got no connection.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import { measured } from "../internal/MeasuredTime.ts"
import { errorText, safeMessage } from "../internal/SafeText.ts"
import { TaggedError } from "../internal/TaggedError.ts"

/**
 * The counts of one endpoint, or of the whole pool. `total` is `active + idle + connecting + closing`.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export interface Counts {
  readonly total: number
  /** Connections that are leased, and those that are checked or reset without a borrower. */
  readonly active: number
  /** Connections that are ready to be borrowed. */
  readonly idle: number
  /** Connections that are being opened. */
  readonly connecting: number
  /** Connections that are being closed, and connects that were left behind and keep their slots. */
  readonly closing: number
  /**
   * Connects and finalizers that were left behind and have not ended. Each may have an open socket. A connect is also part of
   * `closing`, for at most `leftBehindTimeout`. A finalizer is counted here alone.
   */
  readonly leftBehind: number
  /** Borrowers that wait. */
  readonly waiting: number
}

/**
 * A holder of a connection, in an error.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export interface Holder {
  /** The route of the request (`GET /report`), or the name of the span, in which the connection was borrowed, if there was one. */
  readonly span: string | undefined
  /** The place in the program that has borrowed the connection, if it is known. */
  readonly site: string | undefined
  readonly age: Duration.Duration
  /** Whether the lease is a standing lease, which lasts as long as its holder. In a list of holders, standing leases come last. */
  readonly isStanding: boolean
}

/**
 * What a borrower was waiting for: a slot of its own endpoint, a slot of the pool, a dial that is under way or comes after
 * a delay, room at the monitor's gate, a permit of the budget, the check of the connection that it was given, `resume`, or a slot that is kept for a
 * connect that was left behind.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export type StalledBy =
  | "EndpointCap"
  | "TotalCap"
  | "Connecting"
  | "Gate"
  | "Budget"
  | "Checking"
  | "Suspended"
  | "LeftBehind"

const formatCounts = (counts: Counts): string =>
  `total=${counts.total}, active=${counts.active}, idle=${counts.idle}, connecting=${counts.connecting}, ` +
  `closing=${counts.closing}, ${
    counts.leftBehind > 0 ? `leftBehind=${counts.leftBehind}, ` : ""
  }waiting=${counts.waiting}`

const formatHolder = ({ age, isStanding, site, span }: Holder): string =>
  `${[span, site].filter((part) => part !== undefined).join(" at ") || "a borrower without a span"} for ${
    measured(age)
  }${isStanding ? " (standing)" : ""}`

const formatHolders = (holders: ReadonlyArray<Holder>): string =>
  holders.length === 0
    ? ""
    : `; held longest by ${holders.map(formatHolder).join(", ")}`

const stalls: Record<StalledBy, string> = {
  EndpointCap: "all of the endpoint's connections are in use",
  TotalCap: "the pool is full",
  Connecting: "no connection has been established yet",
  Gate: "the monitor's gate has no room to open one",
  Budget: "the budget of connections has given no permit",
  Checking: "the check of its connection has not passed",
  Suspended: "the pool is suspended",
  LeftBehind: "connects that were given up and have not ended keep slots"
}

const remedies =
  ". The server has no room for another connection: close connections between invocations, run fewer instances or smaller pools, " +
  "or share a pooler or a budget (RedisBudget)"

/**
 * The borrower got no connection within `acquireTimeout`. The `cause` is the last connect failure of the endpoint, if there was
 * one. If `stalledBy` is `Gate`, the `cause` is the refusal of the gate.
 *
 * @category errors
 * @since 0.1.0
 * @stability stable
 */
export class AcquireTimeout extends TaggedError("AcquireTimeout")<{
  /** The endpoint's text. */
  readonly key: string
  readonly after: Duration.Duration
  readonly stalledBy: StalledBy
  /** Place in the endpoint's queue when time ran out, counted from 1. */
  readonly position: number
  readonly endpoint: Counts
  readonly pool: Counts
  /** The longest holders of connections of this endpoint, at most three. */
  readonly holders: ReadonlyArray<Holder>
  /** The server has refused the last connection because it has no room for another one. */
  readonly isServerFull: boolean
  readonly cause: unknown
}> {
  readonly isRetryable = true
  override get message(): string {
    const what = this.stalledBy === "Gate" ? "" : "last connect failure: "
    const last = this.cause === undefined ? "" : `; ${what}${errorText(this.cause)}`
    return safeMessage(
      `no connection to ${this.key} within ${Duration.format(this.after)}: ${stalls[this.stalledBy]} ` +
        `(place ${this.position} in the queue; endpoint: ${formatCounts(this.endpoint)}; pool: ${
          formatCounts(this.pool)
        })` +
        `${formatHolders(this.holders)}${last}${this.isServerFull ? remedies : ""}`
    )
  }
}

/**
 * `maxWaiters` borrowers wait for the endpoint already.
 *
 * @category errors
 * @since 0.1.0
 * @stability stable
 */
export class QueueFull extends TaggedError("QueueFull")<{
  readonly key: string
  readonly maxWaiters: number
  readonly endpoint: Counts
}> {
  readonly isRetryable = true
  override get message(): string {
    return safeMessage(
      `the queue for ${this.key} is full: maxWaiters is ${this.maxWaiters} (${formatCounts(this.endpoint)})`
    )
  }
}

/**
 * The endpoint is `Unavailable`, and the pool was made with `whenUnavailable: "fail"`. Nothing was sent. The `cause` is the last
 * error at the endpoint, if it is known: of a dial, of the first use of a connection, or of a wait that has timed out.
 *
 * @category errors
 * @since 0.1.0
 * @stability stable
 */
export class EndpointUnavailable extends TaggedError("EndpointUnavailable")<{
  readonly key: string
  /**
   * The time until the next attempt, which is made by the first borrow after that time. If an attempt is under way, it is the delay
   * that would follow its failure.
   */
  readonly retryAfter: Duration.Duration
  /** The number of setbacks since the last success. `elapsed` is the time since the first of them. */
  readonly failures: number
  readonly elapsed: Duration.Duration
  readonly endpoint: Counts
  /** Whether the last error may pass by itself. */
  readonly isRetryable: boolean
  readonly cause: unknown
}> {
  override get message(): string {
    const times = this.failures === 1 ? "1 failure" : `${this.failures} failures`
    const last = this.cause === undefined ? "" : `; last failure: ${errorText(this.cause)}`
    return safeMessage(
      `${this.key} is unavailable: ${times} without a success in ${measured(this.elapsed)}, next attempt in ` +
        `${measured(this.retryAfter)} (${formatCounts(this.endpoint)})${last}`
    )
  }
}

/**
 * The pool is closed, or is being drained.
 *
 * @category errors
 * @since 0.1.0
 * @stability stable
 */
export class PoolClosed extends TaggedError("PoolClosed")<{ readonly key: string }> {
  readonly isRetryable = false
  override get message(): string {
    return safeMessage(`the pool is closed: nothing is leased to ${this.key} any more`)
  }
}

/**
 * The pool is suspended with the mode `"fail"`.
 *
 * @category errors
 * @since 0.1.0
 * @stability stable
 */
export class PoolSuspended extends TaggedError("PoolSuspended")<{ readonly key: string }> {
  readonly isRetryable = true
  override get message(): string {
    return safeMessage(`the pool is suspended: nothing is leased to ${this.key} until it is resumed`)
  }
}

/**
 * The borrower holds connections of the pool, and its further borrow can only be served when it gives one of them back. Without
 * this error the borrow would wait until its deadline.
 *
 * **Gotchas**
 *
 * The borrower is recognised by its fiber. If a holder forks a fiber that borrows, and waits for it, the borrow ends with
 * `AcquireTimeout`, which names the holder.
 *
 * @category errors
 * @since 0.1.0
 * @stability stable
 */
export class NestedAcquire extends TaggedError("NestedAcquire")<{
  readonly key: string
  /** The number of connections of this endpoint that no other borrower shares with this one. `heldOfPool` is that of the pool. */
  readonly heldOfEndpoint: number
  readonly heldOfPool: number
  readonly maxPerEndpoint: number
  readonly maxTotal: number
}> {
  readonly isRetryable = false
  override get message(): string {
    return safeMessage(
      `a borrower of ${this.key} waits for itself: it holds ${this.heldOfEndpoint} of at most ` +
        `${this.maxPerEndpoint} connections of the endpoint and ${this.heldOfPool} of at most ${this.maxTotal} of the pool, ` +
        "and asks for one more. Pass it the connection it has, or raise the cap above the depth of nesting"
    )
  }
}

/**
 * The lease was held for longer than `maxLease`, or an operator has ended it. Its connection was closed. In a pool with `maxLease`
 * the borrower's effect was interrupted. In any other pool it has failed when it used the closed connection: its cause has that
 * failure, and this one after it.
 *
 * @category errors
 * @since 0.1.0
 * @stability stable
 */
export class LeaseExpired extends TaggedError("LeaseExpired")<{
  readonly key: string
  /** The limit of the pool that was exceeded. `undefined`: an operator has ended the lease. */
  readonly maxLease: Duration.Duration | undefined
  /** The route of the request (`GET /report`), or the name of the span in which the connection was borrowed, if there was one. */
  readonly span: string | undefined
  /** The place in the program that has borrowed the connection, if it is known. */
  readonly site: string | undefined
}> {
  readonly isRetryable = false
  override get message(): string {
    const by = [this.span, this.site].filter((part) => part !== undefined).join(" ")
    const { key, maxLease } = this
    const what = maxLease === undefined
      ? `an operator has ended the lease of a connection to ${key}`
      : `a connection to ${key} was held for longer than maxLease, which is ${Duration.format(maxLease)}`
    return safeMessage(what + (by === "" ? "" : `, ${maxLease === undefined ? "held " : ""}by ${by}`))
  }
}

/**
 * A connection died before its first successful use, as with a server that accepts connections and closes them. This error is the
 * `cause` of a `ConnectFailed`.
 *
 * @category errors
 * @since 0.1.0
 * @stability stable
 */
export class ConnectionDied extends TaggedError("ConnectionDied")<{ readonly key: string }> {
  readonly isRetryable = true
  override get message(): string {
    return safeMessage(`the connection to ${this.key} was closed before it was of use`)
  }
}

/**
 * One attempt to open a connection took longer than `connectTimeout`.
 *
 * @category errors
 * @since 0.1.0
 * @stability stable
 */
export class ConnectTimeout extends TaggedError("ConnectTimeout")<{
  readonly key: string
  readonly after: Duration.Duration
}> {
  readonly code = "ETIMEDOUT"
  readonly isRetryable = true
  override get message(): string {
    return safeMessage(`connecting to ${this.key} took longer than ${Duration.format(this.after)}`)
  }
}

/**
 * The hook `beforeLend` has failed on a new connection. This error is the `cause` of a `ConnectFailed`. Its own `cause` is the
 * error of the hook, or `undefined` if the borrower's time was over.
 *
 * @category errors
 * @since 0.1.0
 * @stability stable
 */
export class NotReady extends TaggedError("NotReady")<{ readonly key: string; readonly cause: unknown }> {
  readonly isRetryable = true
  override get message(): string {
    const why = this.cause === undefined ? "" : `: ${errorText(this.cause)}`
    return safeMessage(`the connection to ${this.key} was opened, but beforeLend failed${why}`)
  }
}

/**
 * Opening a connection has failed, and the retry policy makes no further attempt. All borrowers that wait for the endpoint fail
 * with this error. `cause` is the connector's failure as the retry policy has wrapped it.
 *
 * @category errors
 * @since 0.1.0
 * @stability stable
 */
export class ConnectFailed extends TaggedError("ConnectFailed")<{
  readonly key: string
  readonly cause: unknown
}> {
  /** The pool has made all attempts of its retry policy. */
  readonly isRetryable = false
  override get message(): string {
    return safeMessage(`no connection to ${this.key}: ${errorText(this.cause)}`)
  }
}

/**
 * Why a borrower got no connection.
 *
 * @category errors
 * @since 0.1.0
 * @stability stable
 */
export type PoolErrorReason =
  | AcquireTimeout
  | QueueFull
  | EndpointUnavailable
  | PoolClosed
  | PoolSuspended
  | NestedAcquire
  | LeaseExpired
  | ConnectFailed

/**
 * A borrower got no connection; `reason` says why. `Effect.catchReason("PoolError", "AcquireTimeout", f)` handles one.
 *
 * @category errors
 * @since 0.1.0
 * @stability stable
 */
export class PoolError extends TaggedError("PoolError")<{
  readonly reason: PoolErrorReason
  /** The name of the pool, if the program has given it one. The message begins with it. */
  readonly pool?: string | undefined
}> {
  override get message(): string {
    return this.pool === undefined ? this.reason.message : safeMessage(`${this.pool}: ${this.reason.message}`)
  }
  get isRetryable(): boolean {
    return this.reason.isRetryable
  }
}
