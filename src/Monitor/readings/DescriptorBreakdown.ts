/**
 * Counts the open descriptors by kind. That is too expensive for each tick, so it runs off the event loop, in small steps and at
 * most once a minute.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import { monotonicMillis } from "../../internal/MonotonicTime.ts"
import { unknown } from "../Reading.ts"
import type { Failure, OpenFiles, ProcReader } from "./Procfs.ts"

/**
 * The open descriptors of a process by kind.
 *
 * @category models
 * @since 0.1.0
 */
export interface DescriptorBreakdown {
  /** Wall-clock time when it was complete, in milliseconds since 1970. */
  readonly at: number
  /**
   * How many there are of each kind: `socket`, `pipe`, `file`, `directory`, `device`, `memory`, or the name of a kernel
   * object such as `eventpoll`, `eventfd` and `inotify`. A directory counts as `file` where only its path is known.
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
  const counts = Array.from(kinds).toSorted(([, left], [, right]) => right - left)
  const list = counts.map(([kind, count]) => `${count} ${kind}`).join(", ")
  return `the open descriptors by kind: ${list}${isComplete ? "" : ", and others beyond these"}`
}

/** One breakdown counts no more descriptors than this, which is about 0.1 seconds of work in many small steps. */
const mostCounted = 16_384

interface Task {
  readonly reader: ProcReader
  readonly files: OpenFiles
  readonly directory: string
  readonly kinds: Map<string, number>
}

const isGone = (failure: Failure): boolean => failure._tag === "Unknown" && failure.reason === "Missing"

const add = ({ kinds }: Task, kind: string): void => {
  kinds.set(kind, (kinds.get(kind) ?? 0) + 1)
}

/** Counts descriptors by the targets of their links, and returns those without a link. */
const countLinks = (task: Task, names: ReadonlyArray<string>): Effect.Effect<ReadonlyArray<number>> =>
  Effect.map(task.reader.targetsLater(names.map((name) => `${task.directory}/${name}`)), (targets) => {
    // The descriptor of the listing does not count.
    const listing = `/proc/${task.reader.pid}/fd`
    return targets.flatMap((target, i) => {
      if (typeof target !== "string") return isGone(target) ? [] : [Number(names[i])]
      if (target !== listing) add(task, kindOf(target))
      return []
    })
  })

/** Counts descriptors whose entries are not links, as on macOS, by their status. A closed one has no kind. */
const countOthers = (task: Task, descriptors: ReadonlyArray<number>): Effect.Effect<void> =>
  Effect.map(
    task.reader.kindsLater(descriptors),
    (kinds) => kinds.forEach((kind) => typeof kind === "string" && add(task, kind))
  )

const isForeign = ({ files }: Task) => (name: string): boolean => /^\d+$/.test(name) && !files.holds(Number(name))

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
      const others = yield* countLinks(task, names.filter(isForeign(task)))
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
 * It lists `/proc/self/fd`, else `/dev/fd`, off the event loop, and reads a few entries at a time. It needs one descriptor, for
 * which the monitor closes its spare. It fails with the reading that states the reason.
 *
 * @category constructors
 * @since 0.1.0
 */
export const take = (reader: ProcReader, files: OpenFiles): Effect.Effect<DescriptorBreakdown, Failure> =>
  countIn(reader, files, "/proc/self/fd").pipe(
    Effect.catchTag("Unknown", () => countIn(reader, files, "/dev/fd"))
  )

const closed = unknown("Stale", "the monitor is closed")

/** The least number of milliseconds between the beginnings of two breakdowns. */
const leastApart = 60_000

/**
 * One breakdown for all callers within a minute of its beginning.
 *
 * @category models
 * @since 0.1.0
 */
export interface SharedBreakdown {
  /** Whether the next call takes a new breakdown. */
  readonly isDue: () => boolean
  /** The breakdown of this minute. An interrupted caller does not interrupt it for the others. */
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
