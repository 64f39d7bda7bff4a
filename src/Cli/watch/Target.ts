/**
 * Finds the process to watch, and checks whether it still exists.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import { cut, printable } from "../../internal/Printable.ts"
import { quietly } from "../../internal/SafeRead.ts"
import * as Reading from "../../Monitor/Reading.ts"
import { statOf } from "../../Monitor/readings/Procfs.ts"
import type { ProcessStat, ProcReader } from "../../Monitor/readings/Procfs.ts"
import { isEnding, programOf, statusOf } from "./ProcessFiles.ts"
import * as WatchError from "./WatchError.ts"

/**
 * A process. The system reuses pids, so a process is identified by its pid and its start time.
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

/** Whether a failure means that the process has ended. If it ends while its files are read, there are two possible errors. */
const isGone = (failure: Failure): boolean =>
  failure._tag === "Unknown" && (failure.reason === "Missing" || codeOf(failure) === "ESRCH")

const longestName = 40

/** The name of a process for a message. The name is untrusted text. */
export const nameOf = ({ command, pid }: Pick<ProcessStat, "command" | "pid">): string =>
  `process ${pid} (${cut(printable(command), longestName)})`

/**
 * Fails the watch because a needed figure of an existing process could not be read.
 *
 * @category constructors
 * @since 0.1.0
 */
export const refuse = (failure: Failure, process: string): Effect.Effect<never, WatchError.WatchFailed> =>
  failure._tag === "Unknown" && failure.reason === "Denied"
    ? failed(new WatchError.PermissionDenied({ process, path: failure.source }))
    : failed(new WatchError.CannotLook({ code: codeOf(failure), path: failure.source }))

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

interface Stat extends ProcessStat {
  /** Whether it is ending: its memory and its descriptors are released, or will be soon. */
  readonly isEnding: boolean
}

/**
 * Whether the process has ended, and only its entry in the process table is left. If the first thread has ended, other threads
 * may still run.
 */
const isOver = ({ state, threads }: ProcessStat): boolean => state === "X" || state === "Z" && threads <= 1

const readStat = (
  reader: ProcReader,
  directory: string,
  process: string
): Effect.Effect<Stat | undefined, WatchError.WatchFailed> =>
  Effect.map(textOf(reader, `${directory}/stat`, process), (text) => {
    const stat = text === undefined ? undefined : statOf(text)
    return text === undefined || stat === undefined ? undefined : { ...stat, isEnding: isEnding(text) }
  })

/**
 * Finds the process with this pid. Fails with the reason if it cannot be watched.
 *
 * @category constructors
 * @since 0.1.0
 */
export const find = (reader: ProcReader, pid: number): Effect.Effect<Target, WatchError.WatchFailed> =>
  Effect.gen(function*() {
    const { platform } = reader
    if (platform !== "linux") return yield* failed(new WatchError.UnsupportedPlatform({ platform }))
    const stat = yield* readStat(reader, `/proc/${pid}`, `process ${pid}`)
    if (stat === undefined) {
      const hasProc = quietly(() => reader.contents("/proc/self/stat")) !== undefined
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
 * A process that exists.
 *
 * @category models
 * @since 0.1.0
 */
export interface Present {
  /** Its `command` is the name of the program that was called. */
  readonly stat: ProcessStat
  /** The directory with the figures of the process: that of its first thread or, if that has ended, of another thread. */
  readonly directory: string
  /** The start time of the thread with these figures. */
  readonly start: number
}

/** Finds a running thread, from which the figures can be read after the first thread has ended. */
const livingThread = (
  reader: ProcReader,
  { pid }: ProcessStat
): Effect.Effect<Omit<Present, "stat"> | undefined, WatchError.WatchFailed> =>
  Effect.gen(function*() {
    const tasks = `/proc/${pid}/task`
    for (const thread of quietly(() => reader.names(tasks)) ?? []) {
      const directory = `${tasks}/${thread}`
      const stat = yield* readStat(reader, directory, `process ${pid}`)
      if (stat !== undefined && !stat.isEnding) return { directory, start: stat.start }
    }
    return undefined
  })

/**
 * Uses the name of the program, because the first thread may have another name: Node calls it `MainThread`. Arguments are left
 * out, because they may contain secrets.
 */
const named = (reader: ProcReader, stat: ProcessStat, directory: string): ProcessStat => {
  const name = programOf(quietly(() => reader.contents(`${directory}/cmdline`)) ?? "")
  return name === "" ? stat : { ...stat, command: name }
}

/**
 * The process as it is now; `undefined` when it has ended, even if another process has its pid since.
 *
 * @category getters
 * @since 0.1.0
 */
export const present = (
  reader: ProcReader,
  { pid, start }: Target
): Effect.Effect<Present | undefined, WatchError.WatchFailed> =>
  Effect.gen(function*() {
    const first = `/proc/${pid}`
    const stat = yield* readStat(reader, first, `process ${pid}`)
    if (stat === undefined || stat.start !== start || isOver(stat)) return undefined
    const living = stat.isEnding ? yield* livingThread(reader, stat) : { directory: first, start }
    return living === undefined ? undefined : { ...living, stat: named(reader, stat, living.directory) }
  })

/**
 * Whether the figures that were read are valid. They are not if the thread was ending, because it closes its descriptors before
 * it disappears.
 *
 * @category getters
 * @since 0.1.0
 */
export const isIntact = (
  reader: ProcReader,
  { directory, start, stat: { pid } }: Present
): Effect.Effect<boolean, WatchError.WatchFailed> =>
  Effect.map(
    readStat(reader, directory, `process ${pid}`),
    (stat) => stat !== undefined && stat.start === start && !stat.isEnding
  )
