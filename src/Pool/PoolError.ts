/**
 * Why a borrower got no connection.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import { errorText, safeMessage } from "../internal/SafeText.ts"
import { TaggedError } from "../internal/TaggedError.ts"

/**
 * What there is, at one endpoint or in the whole pool. `total` is `active + idle + connecting + closing`.
 *
 * @category models
 * @since 0.1.0
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
   * Connects and finalizers that were given up and have not ended since: each may have a socket open. A connect counts in
   * `closing` for at most `leftBehindTimeout`; beyond that, and where a finalizer hangs, it counts here alone.
   */
  readonly leftBehind: number
  /** Borrowers that wait. */
  readonly waiting: number
}

/**
 * Who has held a connection for how long, as an error names it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Holder {
  /** Name of the span in which it was borrowed, if there was one. */
  readonly span: string | undefined
  /** Where in the program it was borrowed, if that is known. */
  readonly site: string | undefined
  readonly age: Duration.Duration
  /** It is a standing lease, which is held for as long as its holder lives. Those that are not come first. */
  readonly isStanding: boolean
}

/**
 * What a borrower was waiting for: a slot of its own endpoint, a slot of the pool, a dial that is under way or comes after
 * a delay, room at the monitor's gate, the check of the connection that it was given, `resume`, or a slot that is kept for a
 * connect that was left behind.
 *
 * @category models
 * @since 0.1.0
 */
export type StalledBy = "EndpointCap" | "TotalCap" | "Connecting" | "Gate" | "Checking" | "Suspended" | "LeftBehind"

const formatCounts = (counts: Counts): string =>
  `total=${counts.total}, active=${counts.active}, idle=${counts.idle}, connecting=${counts.connecting}, ` +
  `closing=${counts.closing}, ${
    counts.leftBehind > 0 ? `leftBehind=${counts.leftBehind}, ` : ""
  }waiting=${counts.waiting}`

const formatHolder = ({ age, isStanding, site, span }: Holder): string =>
  `${span ?? site ?? "a borrower without a span"} for ${Duration.format(age)}${isStanding ? " (standing)" : ""}`

const formatHolders = (holders: ReadonlyArray<Holder>): string =>
  holders.length === 0
    ? ""
    : `; held longest by ${holders.map(formatHolder).join(", ")}`

const stalls: Record<StalledBy, string> = {
  EndpointCap: "all of the endpoint's connections are in use",
  TotalCap: "the pool is full",
  Connecting: "no connection has been established yet",
  Gate: "the monitor's gate has no room to open one",
  Checking: "the check of its connection has not passed",
  Suspended: "the pool is suspended",
  LeftBehind: "connects that were given up and have not ended keep slots"
}

/**
 * No connection came within `acquireTimeout`. The last connect failure of the endpoint, if there was one, is the `cause`; where
 * `stalledBy` is `Gate`, the refusal of the gate is.
 *
 * @category errors
 * @since 0.1.0
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
        `${formatHolders(this.holders)}${last}`
    )
  }
}

/**
 * `maxWaiters` borrowers wait for the endpoint already.
 *
 * @category errors
 * @since 0.1.0
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
 * The endpoint is `Unavailable` and the pool was made with `whenUnavailable: "fail"`. Nothing was sent. The `cause` is what failed
 * last there, if it is known: a failed dial, a failed first use of a connection, or a wait that ran out.
 *
 * @category errors
 * @since 0.1.0
 */
export class EndpointUnavailable extends TaggedError("EndpointUnavailable")<{
  readonly key: string
  /**
   * How long until the next attempt, which the first borrow from then on makes. Where an attempt is under way, how long after its
   * failure another one would come.
   */
  readonly retryAfter: Duration.Duration
  /** Things that went wrong there since the last success, and for how long that has been so. */
  readonly failures: number
  readonly elapsed: Duration.Duration
  readonly endpoint: Counts
  /** Whether what failed last may pass by itself. */
  readonly isRetryable: boolean
  readonly cause: unknown
}> {
  override get message(): string {
    const times = this.failures === 1 ? "1 failure" : `${this.failures} failures`
    const last = this.cause === undefined ? "" : `; last failure: ${errorText(this.cause)}`
    return safeMessage(
      `${this.key} is unavailable: ${times} without a success in ${Duration.format(this.elapsed)}, next attempt in ` +
        `${Duration.format(this.retryAfter)} (${formatCounts(this.endpoint)})${last}`
    )
  }
}

/**
 * The pool is closed, or is being drained.
 *
 * @category errors
 * @since 0.1.0
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
 */
export class PoolSuspended extends TaggedError("PoolSuspended")<{ readonly key: string }> {
  readonly isRetryable = true
  override get message(): string {
    return safeMessage(`the pool is suspended: nothing is leased to ${this.key} until it is resumed`)
  }
}

/**
 * The borrower holds connections of the pool already, and asks for one that can only come when it gives one of them back.
 * Without this error it would wait until its deadline.
 *
 * **Gotchas**
 *
 * It is recognised by the fiber. A borrow in a fiber that the holder has forked, and waits for, ends with `AcquireTimeout`, which
 * names the holder.
 *
 * @category errors
 * @since 0.1.0
 */
export class NestedAcquire extends TaggedError("NestedAcquire")<{
  readonly key: string
  /** Connections of this endpoint, and of the pool, that the borrower holds alone. */
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
 * The lease was held for longer than `maxLease`: the borrower's effect was interrupted and its connection closed.
 *
 * @category errors
 * @since 0.1.0
 */
export class LeaseExpired extends TaggedError("LeaseExpired")<{
  readonly key: string
  readonly maxLease: Duration.Duration
  /** Name of the span in which it was borrowed, if there was one. */
  readonly span: string | undefined
  /** Where in the program it was borrowed. */
  readonly site: string | undefined
}> {
  readonly isRetryable = false
  override get message(): string {
    const by = [this.span, this.site].filter((part) => part !== undefined).join(" ")
    return safeMessage(
      `a connection to ${this.key} was held for longer than maxLease, which is ${Duration.format(this.maxLease)}` +
        (by === "" ? "" : `, by ${by}`)
    )
  }
}

/**
 * The connection was dead before its first successful use, as with a server that accepts and closes. It is the `cause` of a
 * `ConnectFailed`.
 *
 * @category errors
 * @since 0.1.0
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
 * The hook `beforeLend` failed on a connection that had just been opened for a borrower. It is the `cause` of a
 * `ConnectFailed`. Its own `cause` is what the hook has failed with; there is none where the borrower's time ran out.
 *
 * @category errors
 * @since 0.1.0
 */
export class NotReady extends TaggedError("NotReady")<{ readonly key: string; readonly cause: unknown }> {
  readonly isRetryable = true
  override get message(): string {
    const why = this.cause === undefined ? "" : `: ${errorText(this.cause)}`
    return safeMessage(`the connection to ${this.key} was opened, but beforeLend failed${why}`)
  }
}

/**
 * Opening a connection failed for good, which is what all that waited for the endpoint learn. `cause` is the connector's
 * failure as the retry policy wrapped it.
 *
 * @category errors
 * @since 0.1.0
 */
export class ConnectFailed extends TaggedError("ConnectFailed")<{
  readonly key: string
  readonly cause: unknown
}> {
  /** The pool has tried as often as its retry policy says. */
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
 */
export class PoolError extends TaggedError("PoolError")<{ readonly reason: PoolErrorReason }> {
  override get message(): string {
    return this.reason.message
  }
  get isRetryable(): boolean {
    return this.reason.isRetryable
  }
}
