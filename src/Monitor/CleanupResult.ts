/**
 * How each callback of a cleanup ended.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Exit from "effect/Exit"
import { safeMessage } from "../internal/SafeText.ts"

interface Ending {
  /** The callback's name. */
  readonly name: string
  /** How long it ran. */
  readonly duration: Duration.Duration
}

const took = ({ duration }: Ending): string => Duration.format(Duration.millis(Math.round(Duration.toMillis(duration))))

/**
 * The callback ran to its end.
 *
 * @category models
 * @since 0.1.0
 */
export class Done extends Data.TaggedClass("Done")<Ending> {
  get message(): string {
    return safeMessage(`${this.name} is done after ${took(this)}`)
  }
}

/**
 * The callback failed, or was interrupted by itself.
 *
 * @category models
 * @since 0.1.0
 */
export class Failed extends Data.TaggedClass("Failed")<Ending & { readonly cause: Cause.Cause<unknown> }> {
  get message(): string {
    return safeMessage(`${this.name} failed after ${took(this)}`)
  }
}

/**
 * The callback died: it has a bug.
 *
 * @category models
 * @since 0.1.0
 */
export class Died extends Data.TaggedClass("Died")<Ending & { readonly cause: Cause.Cause<unknown> }> {
  get message(): string {
    return safeMessage(`${this.name} died after ${took(this)}`)
  }
}

/**
 * The callback was interrupted at its timeout. One that cannot be interrupted goes on, and nobody waits for it.
 *
 * @category models
 * @since 0.1.0
 */
export class TimedOut extends Data.TaggedClass("TimedOut")<Ending> {
  get message(): string {
    return safeMessage(`${this.name} had not ended after ${took(this)}`)
  }
}

/**
 * The callback did not run to its end, and need not: the pressure was gone before its turn, its scope had closed by then, or
 * the monitor has closed.
 *
 * @category models
 * @since 0.1.0
 */
export class Skipped extends Data.TaggedClass("Skipped")<
  Ending & { readonly reason: "PressureGone" | "Unregistered" | "MonitorClosed" }
> {
  get message(): string {
    return safeMessage(`${this.name} was skipped: ${this.reason}`)
  }
}

/**
 * How one callback of a cleanup ended. Each has a `message` for a log.
 *
 * @category models
 * @since 0.1.0
 */
export type CleanupResult = Done | Failed | Died | TimedOut | Skipped

/** What is known of a callback whose run has ended; `undefined` stands for one that was left at its timeout. */
export const resultOf = (
  name: string,
  exit: Exit.Exit<unknown, unknown> | undefined,
  duration: Duration.Duration
): CleanupResult => {
  if (exit === undefined) return new TimedOut({ name, duration })
  if (Exit.isSuccess(exit)) return new Done({ name, duration })
  const { cause } = exit
  return Cause.hasDies(cause) ? new Died({ name, duration, cause }) : new Failed({ name, duration, cause })
}

/** A callback that was not run to its end. */
export const skipped = (name: string, reason: Skipped["reason"]): Skipped =>
  new Skipped({ name, duration: Duration.zero, reason })

/** A callback that did not do what it should. */
export const isFailure = (result: CleanupResult): result is Failed | Died | TimedOut =>
  result._tag === "Failed" || result._tag === "Died" || result._tag === "TimedOut"
