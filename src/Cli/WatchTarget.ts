/**
 * Which process is watched, and whether it is still there.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import { cut, printable } from "../internal/Printable.ts"
import { attempt } from "../Monitor/Probe.ts"
import type { ProcReader } from "../Monitor/ProcReader.ts"
import { statOf } from "../Monitor/ProcText.ts"
import type { ProcessStat } from "../Monitor/ProcText.ts"
import * as Reading from "../Monitor/Reading.ts"
import * as WatchError from "./WatchError.ts"
import { programOf, statusOf } from "./WatchText.ts"

/**
 * A process. A pid is given to another process later; together with the moment at which it began it names one for good.
 *
 * @category models
 * @since 0.1.0
 */
export interface Target {
  readonly pid: number
  /** In hundredths of a second since the system's start. */
  readonly start: number
}

type Failure = Reading.Unknown | Reading.Saturated

const failed = (reason: WatchError.Reason) => Effect.fail(new WatchError.WatchFailed({ reason }))

const codeOf = (failure: Failure): string => {
  if (failure._tag === "Saturated") return failure.code
  return Predicate.hasProperty(failure.cause, "code") ? String(failure.cause.code) : failure.reason
}

/** A process that ends while its files are read answers either so or so. */
const isGone = (failure: Failure): boolean =>
  failure._tag === "Unknown" && (failure.reason === "Missing" || codeOf(failure) === "ESRCH")

const longestName = 40

/** The name of a process for a message. Whoever starts a program chooses its name. */
export const nameOf = ({ command, pid }: Pick<ProcessStat, "command" | "pid">): string =>
  `process ${pid} (${cut(printable(command), longestName)})`

/**
 * What a figure that is needed, and that could not be read of a process that is there, ends the watch with.
 *
 * @category constructors
 * @since 0.1.0
 */
export const refuse = (failure: Failure, process: string): Effect.Effect<never, WatchError.WatchFailed> =>
  failure._tag === "Unknown" && failure.reason === "Denied"
    ? failed(new WatchError.PermissionDenied({ process, path: failure.source }))
    : failed(new WatchError.CannotLook({ what: codeOf(failure), path: failure.source }))

/** The text of a file; `undefined` when its process has ended. */
const textOf = (reader: ProcReader, path: string, process: string) =>
  Effect.suspend((): Effect.Effect<string | undefined, WatchError.WatchFailed> => {
    try {
      return Effect.succeed(reader.contents(path))
    } catch (cause) {
      const failure = Reading.fromFailure(cause, path)
      return isGone(failure) ? Effect.undefined : refuse(failure, process)
    }
  })

/** Its entry is still in the table of processes, but nothing else is. Other threads may outlive the first one. */
const isOver = ({ state, threads }: ProcessStat): boolean => state === "X" || state === "Z" && threads <= 1

/**
 * The `stat` file with the name of the program that was called: the one there may be that of the first thread, and Node calls
 * it `MainThread`. Arguments are left out, for they may hold secrets.
 */
const readStat = (reader: ProcReader, pid: number): Effect.Effect<ProcessStat | undefined, WatchError.WatchFailed> =>
  Effect.map(textOf(reader, `/proc/${pid}/stat`, `process ${pid}`), (text) => {
    const stat = text === undefined ? undefined : statOf(text)
    const name = programOf(attempt(() => reader.contents(`/proc/${pid}/cmdline`)) ?? "")
    return stat === undefined || name === "" ? stat : { ...stat, command: name }
  })

/**
 * Finds the process with this pid. It fails with the reason why it cannot be watched.
 *
 * @category constructors
 * @since 0.1.0
 */
export const find = (reader: ProcReader, pid: number): Effect.Effect<Target, WatchError.WatchFailed> =>
  Effect.gen(function*() {
    const { platform } = reader
    if (platform !== "linux") return yield* failed(new WatchError.UnsupportedPlatform({ platform }))
    const stat = yield* readStat(reader, pid)
    if (stat === undefined) {
      const hasProc = attempt(() => reader.contents("/proc/self/stat")) !== undefined
      return yield* failed(
        hasProc
          ? new WatchError.NoSuchProcess({ pid })
          : new WatchError.UnsupportedPlatform({ platform: "linux without /proc" })
      )
    }
    const status = yield* textOf(reader, `/proc/${pid}/status`, nameOf(stat))
    const group = Number(statusOf(status ?? "", "Tgid") ?? pid)
    if (group !== pid) return yield* failed(new WatchError.IsThread({ thread: pid, pid: group }))
    if (isOver(stat)) {
      return yield* failed(new WatchError.AlreadyEnded({ process: nameOf(stat), parent: stat.parent }))
    }
    return { pid, start: stat.start }
  })

/**
 * What the kernel says of the process now; `undefined` when it has ended, also when another one has its pid since.
 *
 * @category getters
 * @since 0.1.0
 */
export const present = (
  reader: ProcReader,
  { pid, start }: Target
): Effect.Effect<ProcessStat | undefined, WatchError.WatchFailed> =>
  Effect.map(
    readStat(reader, pid),
    (stat) => stat === undefined || stat.start !== start || isOver(stat) ? undefined : stat
  )

/**
 * The directory that has the figures of the process. Where the first thread has ended and others go on, only they have them.
 *
 * @category getters
 * @since 0.1.0
 */
export const directoryOf = (reader: ProcReader, { pid, state }: ProcessStat): string => {
  const tasks = `/proc/${pid}/task`
  const others = state === "Z" ? attempt(() => reader.names(tasks)) ?? [] : []
  const living = others.find((thread) => thread !== String(pid))
  return living === undefined ? `/proc/${pid}` : `${tasks}/${living}`
}
