/**
 * What the open descriptors are, by kind: a look that costs too much for a timer, so it is taken off the event loop, seldom
 * and in small steps.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import { unknown } from "../Reading.ts"
import type { Failure, OpenFiles, ProcReader } from "./Procfs.ts"

/**
 * The open descriptors of a process by kind.
 *
 * @category models
 * @since 0.1.0
 */
export interface DescriptorBreakdown {
  /** Wall-clock time of its end, in milliseconds since 1970. */
  readonly at: number
  /**
   * How many there are of each kind: `socket`, `pipe`, `file`, `directory`, `device`, `memory`, or the name of a kernel
   * object such as `eventpoll`, `eventfd` and `inotify`. A directory counts as `file` where only its path is known.
   */
  readonly kinds: ReadonlyMap<string, number>
  /** `false` when there were more than one look goes through; the rest is not counted. */
  readonly isComplete: boolean
}

/**
 * The kind of a descriptor, from what its link in `/proc/self/fd` points to.
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
 * A look in one line, the most frequent kind first.
 *
 * @category getters
 * @since 0.1.0
 */
export const describe = ({ isComplete, kinds }: DescriptorBreakdown): string => {
  const counts = Array.from(kinds).toSorted(([, left], [, right]) => right - left)
  const list = counts.map(([kind, count]) => `${count} ${kind}`).join(", ")
  return `the open descriptors by kind: ${list}${isComplete ? "" : ", and others beyond these"}`
}

/** One look goes through no more descriptors than these: about a tenth of a second of work, spread over the time it takes. */
const mostLookedAt = 16_384

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

/** Counts those that are known by what their links point to, and yields those that have no link. */
const countLinks = (task: Task, names: ReadonlyArray<string>): Effect.Effect<ReadonlyArray<number>> =>
  Effect.map(task.reader.targetsLater(names.map((name) => `${task.directory}/${name}`)), (targets) => {
    // The descriptor that lists is not the process's.
    const listing = `/proc/${task.reader.pid}/fd`
    return targets.flatMap((target, i) => {
      if (typeof target !== "string") return isGone(target) ? [] : [Number(names[i])]
      if (target !== listing) add(task, kindOf(target))
      return []
    })
  })

/** Where the entries are no links, as on macOS, the descriptors themselves are asked. One that is gone has no kind. */
const countOthers = (task: Task, descriptors: ReadonlyArray<number>): Effect.Effect<void> =>
  Effect.map(
    task.reader.kindsLater(descriptors),
    (kinds) => kinds.forEach((kind) => typeof kind === "string" && add(task, kind))
  )

const isForeign = ({ files }: Task) => (name: string): boolean => /^\d+$/.test(name) && !files.holds(Number(name))

/** Goes through the directory, and says whether it came to the end. */
const classify = (task: Task): Effect.Effect<boolean, Failure> =>
  Effect.scoped(Effect.gen(function*() {
    yield* Effect.acquireRelease(
      Effect.sync(() => task.files.lendSpare()),
      (takeBack) => Effect.sync(takeBack)
    )
    const next = yield* task.reader.list(task.directory)
    let looked = 0
    while (looked < mostLookedAt) {
      const names = yield* next
      if (names.length === 0) return true
      looked += names.length
      const others = yield* countLinks(task, names.filter(isForeign(task)))
      if (others.length > 0) yield* countOthers(task, others)
    }
    return false
  }))

const lookAt = (reader: ProcReader, files: OpenFiles, directory: string): Effect.Effect<DescriptorBreakdown, Failure> =>
  Effect.gen(function*() {
    const kinds = new Map<string, number>()
    const isComplete = yield* classify({ reader, files, directory, kinds })
    const at = yield* Effect.clockWith((clock) => clock.currentTimeMillis)
    return { at, kinds, isComplete }
  })

/**
 * Looks at every open descriptor of this process but those that the monitor holds.
 *
 * **Details**
 *
 * It lists `/proc/self/fd`, else `/dev/fd`, off the event loop, and asks about a few entries at a time. The one descriptor that it needs
 * takes the place of the monitor's spare. It fails with the reading that says why it could not be done.
 *
 * @category constructors
 * @since 0.1.0
 */
export const take = (reader: ProcReader, files: OpenFiles): Effect.Effect<DescriptorBreakdown, Failure> =>
  lookAt(reader, files, "/proc/self/fd").pipe(
    Effect.catchTag("Unknown", () => lookAt(reader, files, "/dev/fd"))
  )

const closed = unknown("Stale", "the monitor is closed")

/** Two looks begin at least this many milliseconds apart. */
const leastApart = 60_000

/**
 * Shares one look among all who ask within a minute of its beginning.
 *
 * @category models
 * @since 0.1.0
 */
export interface Looker {
  /** Whether the next question takes a new look. */
  readonly isDue: () => boolean
  /** The look of this minute. Whoever stops waiting for it leaves it to the others. */
  readonly look: Effect.Effect<DescriptorBreakdown, Failure>
}

/**
 * Makes a {@link Looker}. Closing the scope ends a look that is under way.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (reader: ProcReader, files: OpenFiles): Effect.Effect<Looker, never, Scope.Scope> =>
  Effect.gen(function*() {
    const scope = yield* Effect.scope
    const clock = yield* Effect.clockWith(Effect.succeed)
    const monotonic = () => Number(clock.monotonicTimeNanosUnsafe()) / 1e6
    let last: { readonly at: number; readonly fiber: Fiber.Fiber<DescriptorBreakdown, Failure> } | undefined
    const isDue = () => last === undefined || monotonic() - last.at >= leastApart
    const begin = Effect.suspend(() => {
      const at = monotonic()
      return Effect.map(Effect.forkIn(take(reader, files), scope), (fiber) => last = { at, fiber })
    })
    const look = Effect.suspend(() => last === undefined || isDue() ? begin : Effect.succeed(last)).pipe(
      Effect.flatMap(({ fiber }) => Fiber.await(fiber)),
      // Whoever waits is not to be interrupted because the monitor is.
      Effect.flatMap((exit) => Exit.hasInterrupts(exit) ? Effect.fail(closed) : exit)
    )
    return { isDue, look }
  })
