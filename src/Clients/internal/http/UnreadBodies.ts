/**
 * Bodies of answers that hold a connection and are not read.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { TaggedError } from "../../../internal/TaggedError.ts"
import { afterTurn, Alarm } from "../../../internal/Timer.ts"

/**
 * A body was not asked for within `unreadBody`, so its connection was closed.
 *
 * @category errors
 * @since 0.1.0
 * @stability stable
 */
export class UnreadBody extends TaggedError("UnreadBody")<{
  readonly origin: string
  readonly after: Duration.Duration
}> {
  override get message(): string {
    return `the body of an answer of ${this.origin} was not asked for within ${Duration.format(this.after)}, so its ` +
      "connection was closed: read the body, or use `HttpClient.withScope`"
  }
}

/** The body of an answer that has begun. */
export interface PendingBody {
  /** Whether the answer has ended. */
  readonly hasEnded: () => boolean
  /** Whether a reader has asked for the body; `undefined` if that is not known yet. */
  readonly isAsked: () => boolean | undefined
  /** Ends the exchange. */
  readonly giveUp: (after: Duration.Duration) => void
}

/** The answers whose body may not have been asked for, the oldest first. */
export class UnreadBodies {
  readonly #limit: Duration.Duration
  readonly #due = new Map<PendingBody, number>()
  /** Those that have begun in this turn of the event loop. Most answers end in it, too. */
  #begun: Array<PendingBody> = []
  readonly #alarm: Alarm
  readonly #now: () => number

  constructor(limit: Duration.Duration, context: Context.Context<never>) {
    this.#limit = limit
    const clock = Context.get(context, Clock.Clock)
    this.#now = () => Number(clock.monotonicTimeNanosUnsafe() / 1000n) / 1000
    this.#alarm = new Alarm({ clock, fork: Effect.runForkWith(context), now: this.#now, onDue: () => this.#look() })
  }

  add(body: PendingBody): void {
    if (this.#begun.length === 0) afterTurn(() => this.#addBegun())
    this.#begun.push(body)
  }

  delete(body: PendingBody): void {
    this.#due.delete(body)
  }

  stop(): void {
    this.#alarm.stop()
  }

  #addBegun(): void {
    const begun = this.#begun
    this.#begun = []
    for (const body of begun) if (!body.hasEnded()) this.#watch(body)
  }

  #watch(body: PendingBody): void {
    const due = this.#now() + Duration.toMillis(this.#limit)
    this.#due.set(body, due)
    this.#alarm.at(due)
  }

  #look(): number {
    const now = this.#now()
    for (const [body, due] of this.#due) {
      if (due > now) return due
      this.#due.delete(body)
      const isAsked = body.isAsked()
      if (isAsked === undefined) this.#watch(body)
      else if (!isAsked) body.giveUp(this.#limit)
    }
    return Infinity
  }
}

/** Limits how long a body is not asked for, until the scope ends; `undefined` without a limit. */
export const makeUnreadBodies = (
  limit: Duration.Duration
): Effect.Effect<UnreadBodies | undefined, never, Scope.Scope> =>
  Duration.isFinite(limit)
    ? Effect.acquireRelease(
      Effect.contextWith((context: Context.Context<never>) => Effect.sync(() => new UnreadBodies(limit, context))),
      (bodies) => Effect.sync(() => bodies.stop())
    )
    : Effect.undefined
