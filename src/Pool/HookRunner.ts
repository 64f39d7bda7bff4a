/**
 * Runs the hooks of a pool on its connections, within bounds, and reports those that fail.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { supervised } from "../internal/Bounded.ts"
import { report } from "../internal/Unhandled.ts"
import type { OnBehalf } from "./SlotHolders.ts"

/** What a hook has failed with. */
export interface HookFailure {
  readonly error: unknown
}

/** Runs a hook on a connection to the endpoint with this label. */
export type Hook<A> = (connection: A, label: string, onBehalf: OnBehalf) => Effect.Effect<HookFailure | undefined>

/** The shortest time between two reports of one hook and endpoint, in milliseconds. */
const interval = 60_000

/** So many endpoints are remembered at most, because keys may come from outside. */
const mostRemembered = 256

/** Reports failures of hooks: no borrower sees them, and each costs a connection. `now` is a time in milliseconds. */
export class HookReports {
  readonly #now: () => number
  /** When each hook and endpoint was last reported, the longest ago first. */
  readonly #last = new Map<string, number>()

  constructor(now: () => number) {
    this.#now = now
  }

  report(name: string, label: string, cause: Cause.Cause<unknown>): Effect.Effect<void> {
    return Effect.suspend(() =>
      this.#isDue(`${name} ${label}`)
        ? report(
          `ConnectionPool: hook ${name} has failed on a connection to ${label}, which is closed; further failures there are ` +
            `not reported for ${Duration.format(Duration.millis(interval))}`,
          cause
        )
        : Effect.void
    )
  }

  #isDue(id: string): boolean {
    const now = this.#now()
    if (now - (this.#last.get(id) ?? -Infinity) < interval) return false
    this.#last.delete(id)
    this.#last.set(id, now)
    const [oldest] = this.#last.keys()
    if (this.#last.size > mostRemembered && oldest !== undefined) this.#last.delete(oldest)
    return true
  }
}

interface Environment<R> {
  readonly connectTimeout: Duration.Duration
  readonly context: Context.Context<R>
  readonly reports: HookReports
}

/** A hook of a pool, if it has one, bounded by `connectTimeout`. */
export const hookOf = <A, E, R>(
  name: string,
  hook: ((connection: A) => Effect.Effect<void, E, R>) | undefined,
  { connectTimeout, context, reports }: Environment<R>
): Hook<A> | undefined =>
  hook && ((connection, label, onBehalf) => {
    const run = supervised(onBehalf(Effect.suspend(() => hook(connection))), {
      within: connectTimeout,
      patience: Duration.zero
    })
    return Effect.flatMap(Effect.provideContext(run, context), (exit) => {
      if (exit !== undefined && Exit.isSuccess(exit)) return Effect.undefined
      const cause: Cause.Cause<unknown> = exit?.cause ??
        Cause.fail(new Error(`it took longer than ${Duration.format(connectTimeout)}`))
      return Effect.as(reports.report(name, label, cause), { error: Cause.squash(cause) })
    })
  })
