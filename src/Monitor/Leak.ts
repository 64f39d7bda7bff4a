/**
 * What the monitor says about leaks: five verdicts, one type.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import { safeMessage } from "../internal/SafeText.ts"

/**
 * What leaks: a connection that is open, the right to use one that a pool has lent, or a descriptor of the process that is
 * not this library's.
 *
 * @category models
 * @since 0.1.0
 */
export type Leakable = "Connection" | "Lease" | "Descriptor"

/**
 * One connection or lease, with what is known of who asked for it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Origin {
  readonly kind: Leakable
  /** The endpoint's text. */
  readonly label: string
  /** `function (file:line:column)` of the call that asked for it; `undefined` where it was not taken. */
  readonly site: string | undefined
  /** The name of the span in which it was asked for, if the borrower was being traced. */
  readonly span: string | undefined
  /** How long it has been open or lent. */
  readonly age: Duration.Duration
}

const formatAge = (age: Duration.Duration): string =>
  Duration.format(Duration.millis(Math.round(Duration.toMillis(age))))

const askedBy = ({ site, span }: Pick<Origin, "site" | "span">): string =>
  [span, site].filter((part) => part !== undefined).join(" ") || "an unknown caller"

const nameOf = ({ kind, label }: Origin): string =>
  kind === "Connection"
    ? `connection to ${label}`
    : kind === "Lease"
    ? `lease of ${label}`
    : `descriptor (${label})`

/**
 * A connection has been lent for longer than the pool's `leakThreshold`. There is one such report for a lease.
 *
 * @category models
 * @since 0.1.0
 */
export class Held extends Data.TaggedClass("Held")<Origin> {
  get message(): string {
    return safeMessage(
      `ConnectionPool: a connection to ${this.label} has been held for ${formatAge(this.age)} by ${askedBy(this)}`
    )
  }
}

/**
 * A lease that was reported as {@link Held} has come back after all.
 *
 * @category models
 * @since 0.1.0
 */
export class Returned extends Data.TaggedClass("Returned")<Origin> {
  get message(): string {
    return safeMessage(
      `ConnectionPool: the connection to ${this.label} that was held too long has come back after ` +
        `${formatAge(this.age)} from ${askedBy(this)}: it was no leak`
    )
  }
}

/**
 * Whoever had to give it back has been garbage-collected, so nobody ever would have. It has been closed.
 *
 * @category models
 * @since 0.1.0
 */
export class Lost extends Data.TaggedClass("Lost")<Origin> {
  get message(): string {
    return safeMessage(
      `a ${nameOf(this)} was lost after ${formatAge(this.age)}: its scope or fiber was garbage-collected without ` +
        `being closed. It was asked for by ${askedBy(this)}, and has been closed now`
    )
  }
}

/**
 * It was still open when everything had to be closed. `LeakCheck` of `effect-sluice/Testing` says so.
 *
 * @category models
 * @since 0.1.0
 */
export class LeftOpen extends Data.TaggedClass("LeftOpen")<Origin> {
  get message(): string {
    const ago = Duration.isZero(this.age) ? "" : ` ${formatAge(this.age)} ago`
    return safeMessage(`a ${nameOf(this)} was left open, asked for by ${askedBy(this)}${ago}`)
  }
}

/**
 * Descriptors of one kind.
 *
 * @category models
 * @since 0.1.0
 */
export interface KindCount {
  /** Such as `socket`, `file` or `pipe`. */
  readonly kind: string
  readonly count: number
}

/**
 * How descriptors that are not this library's have become more.
 *
 * @category models
 * @since 0.1.0
 */
export interface Drift {
  /** Descriptors that are not in the ledger, at least, in the last window. */
  readonly foreign: number
  /** How many of them have come since the rise began. */
  readonly rise: number
  readonly over: Duration.Duration
  /** What the descriptors of the process are, the most frequent kind first; `undefined` where nobody could look. */
  readonly kinds: ReadonlyArray<KindCount> | undefined
}

/**
 * Descriptors that are not this library's have become more and more: the least number of them rose over several windows,
 * so that it is no swing of the load. There is one such report until the number falls.
 *
 * @category models
 * @since 0.1.0
 */
export class ForeignGrowth extends Data.TaggedClass("ForeignGrowth")<Drift> {
  get message(): string {
    const kinds = this.kinds === undefined
      ? "what they are could not be read"
      : `the process has ${this.kinds.map(({ count, kind }) => `${count} ${kind}`).join(", ")}`
    return safeMessage(
      `${this.rise} descriptors that are not effect-sluice's have come within ${formatAge(this.over)} and not gone; ` +
        `${this.foreign} are open; ${kinds}`
    )
  }
}

/**
 * A leak, or the end of what was taken for one. Each has a `message` that says all of it.
 *
 * @category models
 * @since 0.1.0
 */
export type Leak = Held | Returned | Lost | LeftOpen | ForeignGrowth

/**
 * A leak as it is reported to the monitor: its tag and its fields.
 *
 * @category models
 * @since 0.1.0
 */
export type LeakFacts =
  | (Origin & { readonly _tag: "Held" | "Returned" | "Lost" | "LeftOpen" })
  | (Drift & { readonly _tag: "ForeignGrowth" })

const verdicts = { Held, Returned, Lost, LeftOpen }

/**
 * The leak with these facts.
 *
 * @category constructors
 * @since 0.1.0
 */
export const fromFacts = (facts: LeakFacts): Leak =>
  facts._tag === "ForeignGrowth" ? new ForeignGrowth(facts) : new verdicts[facts._tag](facts)
