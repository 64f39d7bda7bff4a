/**
 * The open descriptors of this process: how many there are, the limit, and how many there are of each kind. Counting them by kind
 * is too expensive for each tick, so it runs off the event loop, in small steps and at most once a minute.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import { addTo, mostFirst } from "../../internal/Counts.ts"
import { monotonicMillis } from "../../internal/MonotonicTime.ts"
import { quietly } from "../../internal/SafeRead.ts"
import * as Reading from "../Reading.ts"
import { guarded, limitReading, softLimitOf } from "./Procfs.ts"
import type { Failure, OpenFiles, Probe, ProcReader, SmallFile } from "./Procfs.ts"

const openTable = "/proc/self/fd"

const heldCount = (reader: ProcReader, descriptor: number, files: OpenFiles): Probe => ({
  read: (now) =>
    guarded(openTable, () => {
      const size = reader.size(files.held(descriptor))
      return size > 0
        ? Reading.known(size - files.count, now, openTable)
        : Reading.unknown("Unsupported", openTable)
    }),
  cheap: true
})

// A listing needs one descriptor. The spare is closed for it, and it appears among the entries.
const listed = (reader: ProcReader, path: string, files: OpenFiles, now: number): Reading.Reading =>
  guarded(path, () => {
    const { entries, held } = files.inPlaceOfSpare(() => ({ entries: reader.entries(path), held: files.count }))
    return entries > 0 ? Reading.known(entries - 1 - held, now, path) : Reading.unknown("Unsupported", path)
  })

const listedCount = (reader: ProcReader, files: OpenFiles): Probe => ({
  read: (now) => {
    const first = listed(reader, openTable, files, now)
    return first._tag === "Unknown" ? listed(reader, "/dev/fd", files, now) : first
  },
  cheap: false
})

/** Counts the open descriptors of this process, without those that the monitor holds. */
export const countProbe = (reader: ProcReader, files: OpenFiles): Probe => {
  const table = quietly(() => files.open(openTable))
  if (table === undefined) return listedCount(reader, files)
  // Before Linux 6.2 the size of this directory is 0. Check the size, not the version, because kernels are patched.
  if ((quietly(() => reader.size(table)) ?? 0) > 0) return heldCount(reader, table, files)
  files.release(table)
  return listedCount(reader, files)
}

/** Reads the soft limit of open descriptors. */
export const limitProbe = (reader: ProcReader, file: SmallFile): Probe => {
  if (quietly(file.text) !== undefined) {
    const text = () => softLimitOf(file.text(), "Max open files")
    return { read: (now) => guarded(file.path, () => limitReading(text(), now, file.path)), cheap: true }
  }
  // A report takes milliseconds, so this limit is read once. A later change is not noticed.
  const once = guarded("process.report", () => limitReading(reader.reportedLimit(), 0, "process.report"))
  return { read: (now) => once._tag === "Known" ? { ...once, at: now } : once, cheap: true }
}

/**
 * The open descriptors of a process by kind.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export interface DescriptorBreakdown {
  /** Wall-clock time when it was complete, in milliseconds since 1970. */
  readonly at: number
  /**
   * How many there are of each kind: `socket`, `pipe`, `file`, `directory`, `device`, `memory`, or the name of a kernel object
   * such as `eventpoll`, `eventfd` and `inotify`. A directory counts as `file` if only its path is known.
   */
  readonly kinds: ReadonlyMap<string, number>
  /** `false` when there were more descriptors than one breakdown counts. */
  readonly isComplete: boolean
}

/**
 * The kind of a descriptor, from the target of its link in `/proc/self/fd`.
 *
 * @category parsing
 * @since 0.1.0
 */
export const kindOf = (target: string): string => {
  const object = /^anon_inode:\[?([\w.-]+)\]?/.exec(target)?.[1]
  if (object !== undefined) return object
  const [, scheme] = /^(socket|pipe):\[/.exec(target) ?? []
  if (scheme !== undefined) return scheme
  if (target.startsWith("/memfd:")) return "memory"
  if (target.startsWith("/dev/") && !target.startsWith("/dev/shm/")) return "device"
  return target.startsWith("/") ? "file" : "other"
}

/**
 * A breakdown in one line, the most frequent kind first.
 *
 * @category getters
 * @since 0.1.0
 */
export const describe = ({ isComplete, kinds }: DescriptorBreakdown): string => {
  const list = Array.from(mostFirst(kinds), ([kind, count]) => `${count} ${kind}`).join(", ")
  return `the open descriptors by kind: ${list}${isComplete ? "" : ", and others beyond these"}`
}

/** One breakdown counts at most this many descriptors, which takes about 0.1 seconds in many small steps. */
const mostCounted = 16_384

interface Task {
  readonly reader: ProcReader
  readonly files: OpenFiles
  readonly directory: string
  readonly kinds: Map<string, number>
}

const isGone = (failure: Failure): boolean => failure._tag === "Unknown" && failure.reason === "Missing"

/** Counts descriptors by the targets of their links, and returns those without a link. */
const countLinks = (task: Task, names: ReadonlyArray<string>): Effect.Effect<ReadonlyArray<number>> =>
  Effect.map(task.reader.targetsLater(names.map((name) => `${task.directory}/${name}`)), (targets) => {
    // The descriptor of the listing itself is not counted.
    const listing = `/proc/${task.reader.pid}/fd`
    return targets.flatMap((target, i) => {
      if (typeof target !== "string") return isGone(target) ? [] : [Number(names[i])]
      if (target !== listing) addTo(task.kinds, kindOf(target))
      return []
    })
  })

/** Counts descriptors whose entries are not links, as on macOS, by their status. A closed one has no kind. */
const countOthers = (task: Task, descriptors: ReadonlyArray<number>): Effect.Effect<void> =>
  Effect.map(
    task.reader.kindsLater(descriptors),
    (kinds) => kinds.forEach((kind) => typeof kind === "string" && addTo(task.kinds, kind))
  )

const isProgram = ({ files }: Task) => (name: string): boolean => /^\d+$/.test(name) && !files.holds(Number(name))

/** Reads the directory and counts; `false` if it stopped before the end. */
const classify = (task: Task): Effect.Effect<boolean, Failure> =>
  Effect.scoped(Effect.gen(function*() {
    yield* Effect.acquireRelease(
      Effect.sync(() => task.files.releaseSpare()),
      (regain) => Effect.sync(regain)
    )
    const next = yield* task.reader.list(task.directory)
    let counted = 0
    while (counted < mostCounted) {
      const names = yield* next
      if (names.length === 0) return true
      counted += names.length
      const others = yield* countLinks(task, names.filter(isProgram(task)))
      if (others.length > 0) yield* countOthers(task, others)
    }
    return false
  }))

const countIn = (
  reader: ProcReader,
  files: OpenFiles,
  directory: string
): Effect.Effect<DescriptorBreakdown, Failure> =>
  Effect.gen(function*() {
    const kinds = new Map<string, number>()
    const isComplete = yield* classify({ reader, files, directory, kinds })
    const at = yield* Effect.clockWith((clock) => clock.currentTimeMillis)
    return { at, kinds, isComplete }
  })

/**
 * Counts the open descriptors of this process by kind, without those of the monitor.
 *
 * **Details**
 *
 * It lists `/proc/self/fd`, or else `/dev/fd`, off the event loop, and reads a few entries at a time. It needs one descriptor,
 * for which the monitor closes its spare. The reading with which it fails has the reason.
 *
 * @category constructors
 * @since 0.1.0
 */
export const take = (reader: ProcReader, files: OpenFiles): Effect.Effect<DescriptorBreakdown, Failure> =>
  countIn(reader, files, openTable).pipe(
    Effect.catchTag("Unknown", () => countIn(reader, files, "/dev/fd"))
  )

const closed = Reading.unknown("Stale", "the monitor is closed")

/** The least number of milliseconds between the beginnings of two breakdowns. */
const leastApart = 60_000

/**
 * Shares one breakdown among all callers within a minute.
 *
 * @category models
 * @since 0.1.0
 */
export interface SharedBreakdown {
  /** Whether the next call takes a new breakdown. */
  readonly isDue: () => boolean
  /** The breakdown of this minute. An interruption of one caller does not affect the others. */
  readonly take: Effect.Effect<DescriptorBreakdown, Failure>
}

/**
 * Makes a {@link SharedBreakdown}. Closing the scope interrupts a breakdown that is under way.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (reader: ProcReader, files: OpenFiles): Effect.Effect<SharedBreakdown, never, Scope.Scope> =>
  Effect.gen(function*() {
    const scope = yield* Effect.scope
    const clock = yield* Effect.clockWith(Effect.succeed)
    const monotonic = () => monotonicMillis(clock)
    let last: { readonly at: number; readonly fiber: Fiber.Fiber<DescriptorBreakdown, Failure> } | undefined
    const isDue = () => last === undefined || monotonic() - last.at >= leastApart
    const begin = Effect.suspend(() => {
      const at = monotonic()
      return Effect.map(Effect.forkIn(take(reader, files), scope), (fiber) => last = { at, fiber })
    })
    const shared = Effect.suspend(() => last === undefined || isDue() ? begin : Effect.succeed(last)).pipe(
      Effect.flatMap(({ fiber }) => Fiber.await(fiber)),
      // The end of the monitor must not interrupt the callers.
      Effect.flatMap((exit) => Exit.hasInterrupts(exit) ? Effect.fail(closed) : exit)
    )
    return { isDue, take: shared }
  })
