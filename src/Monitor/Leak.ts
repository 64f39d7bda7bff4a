/**
 * Reports of leaks, and of leases that were held for long and then returned.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import { measured } from "../internal/MeasuredTime.ts"
import { safeLabel, safeMessage, safeText } from "../internal/SafeText.ts"

/**
 * The kind of resource that leaks: an open connection, a connection leased from a pool, or a descriptor that this library did
 * not open.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export type Leakable = "Connection" | "Lease" | "Descriptor"

/**
 * One connection, lease or descriptor, and its caller if it is known.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export interface Origin {
  readonly kind: Leakable
  /** The name of the pool, if it has one and the thing is a lease of it. */
  readonly pool?: string | undefined
  /** The endpoint's text. */
  readonly label: string
  /** `function (file:line:column)` of the call that asked for it; `undefined` if it was not recorded. */
  readonly site: string | undefined
  /** The name of the span in which it was requested, if there was one. */
  readonly span: string | undefined
  /** How long it has been open or leased. */
  readonly age: Duration.Duration
}

const askedBy = ({ site, span }: Pick<Origin, "site" | "span">): string =>
  [span, site].filter((part) => part !== undefined).join(" ") || "an unknown caller"

const nameOf = ({ kind, label }: Origin): string =>
  kind === "Connection"
    ? `connection to ${label}`
    : kind === "Lease"
    ? `lease of ${label}`
    : `descriptor (${label})`

/**
 * A connection has been leased for longer than the pool's `leakThreshold`. A lease is reported once.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export class Held extends Data.TaggedClass("Held")<Origin> {
  get message(): string {
    return safeMessage(
      `ConnectionPool: a connection to ${this.label} has been held for ${measured(this.age)} by ${askedBy(this)}`
    )
  }
}

/**
 * A lease that was reported as {@link Held} has been returned.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export class Returned extends Data.TaggedClass("Returned")<Origin> {
  get message(): string {
    return safeMessage(
      `ConnectionPool: the connection to ${this.label} that was held too long was returned after ` +
        `${measured(this.age)} by ${askedBy(this)}: it was no leak`
    )
  }
}

/**
 * The scope or fiber that should have closed or returned it was garbage-collected. It has been closed now.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export class Lost extends Data.TaggedClass("Lost")<Origin> {
  get message(): string {
    return safeMessage(
      `a ${nameOf(this)} was lost after ${measured(this.age)}: its scope or fiber was garbage-collected without ` +
        `being closed. It was asked for by ${askedBy(this)}, and has been closed now`
    )
  }
}

/**
 * It was still open at a time when everything had to be closed. `LeakCheck` of `effect-sluice/Testing` reports it.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export class LeftOpen extends Data.TaggedClass("LeftOpen")<Origin> {
  get message(): string {
    const ago = Duration.isZero(this.age) ? "" : ` ${measured(this.age)} ago`
    return safeMessage(`a ${nameOf(this)} was left open, asked for by ${askedBy(this)}${ago}`)
  }
}

/**
 * Descriptors of one kind.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export interface KindCount {
  /** Such as `socket`, `file` or `pipe`. */
  readonly kind: string
  readonly count: number
}

/**
 * The growth of descriptors that this library did not open.
 *
 * @category models
 * @since 0.1.0
 */
export interface Growth {
  /** The lowest number of descriptors that are not in the ledger, in the last window. */
  readonly foreign: number
  /** How many more that is than before the growth began. */
  readonly rise: number
  readonly over: Duration.Duration
  /** The descriptors of the process by kind, the most frequent first; `undefined` if they could not be read. */
  readonly kinds: ReadonlyArray<KindCount> | undefined
}

/**
 * The number of descriptors that this library did not open grows: its lowest value has risen in several consecutive windows.
 * (With a load that only goes up and down, the lowest value stays the same.) It is reported once, and again only after the
 * number has stopped rising.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export class ForeignGrowth extends Data.TaggedClass("ForeignGrowth")<Growth> {
  get message(): string {
    const kinds = this.kinds === undefined
      ? "their kinds could not be read"
      : `the process has ${this.kinds.map(({ count, kind }) => `${count} ${kind}`).join(", ")}`
    return safeMessage(
      `${this.rise} descriptors that are not effect-sluice's were opened within ${
        measured(this.over)
      } and not closed; ` +
        `${this.foreign} are open; ${kinds}`
    )
  }
}

/**
 * A leak, or the return of a lease that was reported as a leak. Each has a `message` with all its fields.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export type Leak = Held | Returned | Lost | LeftOpen | ForeignGrowth

/**
 * The tag and the fields of a leak, as it is reported to the monitor.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export type LeakFacts =
  | (Origin & { readonly _tag: "Held" | "Returned" | "Lost" | "LeftOpen" })
  | (Growth & { readonly _tag: "ForeignGrowth" })

const verdicts = { Held, Returned, Lost, LeftOpen }

/** The same origin with texts that are safe to print, because a label, a site or the name of a span may be that of a peer. */
const printable = <A extends Origin>(origin: A): A => ({
  ...origin,
  ...(origin.pool === undefined ? {} : { pool: safeLabel(origin.pool) }),
  label: safeLabel(origin.label),
  site: origin.site === undefined ? undefined : safeText(origin.site),
  span: origin.span === undefined ? undefined : safeText(origin.span)
})

/**
 * The leak with these facts. Its texts have no secrets and no control characters.
 *
 * @category constructors
 * @since 0.1.0
 */
export const fromFacts = (facts: LeakFacts): Leak =>
  facts._tag === "ForeignGrowth" ? new ForeignGrowth(facts) : new verdicts[facts._tag](printable(facts))

const names = {
  Held: "held",
  Returned: "returned",
  Lost: "lost",
  LeftOpen: "left_open",
  ForeignGrowth: "foreign_growth"
} as const

/**
 * The name of a leak's verdict in metrics and in annotations of the log.
 *
 * @category getters
 * @since 0.1.0
 */
export const verdictOf = ({ _tag }: Pick<Leak, "_tag">): typeof names[Leak["_tag"]] => names[_tag]
