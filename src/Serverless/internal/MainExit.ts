/**
 * The reason for which a program ends, its exit status, and the text for standard error. All functions are pure.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Exit from "effect/Exit"
import * as Runtime from "effect/Runtime"
import { countsOf } from "../../internal/Counts.ts"
import { quietly } from "../../internal/SafeRead.ts"
import type { Stats } from "../../Pool/PoolStats.ts"

/** The signals that end a program. */
export type EndingSignal = "SIGHUP" | "SIGINT" | "SIGTERM"

/** The first event that ended the program. */
export type Ending =
  | { readonly _tag: "Ended"; readonly exit: Exit.Exit<unknown, unknown> }
  | { readonly _tag: "Signalled"; readonly signal: EndingSignal }
  | { readonly _tag: "Uncaught"; readonly error: unknown; readonly origin: NodeJS.UncaughtExceptionOrigin }
  /** The event loop is empty: nothing can resume the program. */
  | { readonly _tag: "Starved" }

/** The statuses of the signals by the convention of shells: 128 plus the number of the signal. */
export const signalStatuses: Record<EndingSignal, number> = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 }

/** Node's status for a program that waits while its event loop is empty. */
const starved = 13

const statusOfExit = (exit: Exit.Exit<unknown, unknown>): number => {
  if (Exit.isSuccess(exit)) return 0
  if (Cause.hasInterruptsOnly(exit.cause)) return signalStatuses.SIGINT
  return quietly(() => Runtime.getErrorExitCode(Cause.squash(exit.cause))) ?? 1
}

export const statusOf = (ending: Ending, ofSignal: Record<EndingSignal, number>): number => {
  switch (ending._tag) {
    case "Ended":
      return statusOfExit(ending.exit)
    case "Signalled":
      return ofSignal[ending.signal]
    case "Uncaught":
      return 1
    case "Starved":
      return starved
  }
}

const causeText = (cause: Cause.Cause<unknown>): string =>
  quietly(() => Cause.pretty(cause)) ?? "an error whose message cannot be read, because reading it throws"

/** The text of a failure that was not reported yet; `undefined` if there is none. */
export const failureText = (exit: Exit.Exit<unknown, unknown>): string | undefined =>
  Exit.isSuccess(exit) || Cause.hasInterruptsOnly(exit.cause) ||
    quietly(() => Runtime.getErrorReported(Cause.squash(exit.cause))) === false
    ? undefined
    : causeText(exit.cause)

const uncaughtText = (error: unknown, origin: NodeJS.UncaughtExceptionOrigin): string =>
  `${origin === "unhandledRejection" ? "Unhandled rejection" : "Uncaught exception"}: ${causeText(Cause.die(error))}`

/** The text to print when the program begins to end; `undefined` if there is none. */
export const endingText = (ending: Ending): string | undefined => {
  switch (ending._tag) {
    case "Ended":
      return failureText(ending.exit)
    case "Signalled":
      return undefined
    case "Uncaught":
      return uncaughtText(ending.error, ending.origin)
    case "Starved":
      return "The program waits, but nothing can resume it: the event loop is empty."
  }
}

/** The open pools and resources of a process. */
export interface Holdings {
  readonly pools: ReadonlyArray<Stats>
  /** The kind of each resource that keeps Node's event loop alive. */
  readonly resources: ReadonlyArray<string>
}

/** `1 request`, `2 requests`. */
export const plural = (count: number, what: string): string => `${count} ${what}${count === 1 ? "" : "s"}`

const states = ["active", "idle", "connecting", "closing"] as const

const connectionTexts = ({ pools }: Holdings): ReadonlyArray<string> =>
  pools.flatMap((pool) =>
    Array.from(pool.endpoints).filter(([, counts]) => counts.total > 0).map(([endpoint, counts]) => {
      const inStates = states.filter((state) => counts[state] > 0).map((state) => `${counts[state]} ${state}`)
      return `${plural(counts.total, "connection")} to ${endpoint} (${inStates.join(", ")})`
    })
  )

const resourceTexts = ({ resources }: Holdings): ReadonlyArray<string> =>
  Array.from(countsOf(resources), ([kind, count]) => `${count} ${kind}`)

/** The text that lists what is open. */
export const holdingsText = (holdings: Holdings): string => {
  const connections = connectionTexts(holdings)
  const resources = resourceTexts(holdings)
  return [
    `In pools: ${connections.length === 0 ? "nothing" : connections.join("; ")}.`,
    `In the event loop: ${resources.length === 0 ? "nothing" : resources.join(", ")}.`
  ].join(" ")
}
