/**
 * What the open descriptors are, by kind: a look that costs too much for a timer, so it is taken off the event loop, seldom
 * and in small steps.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import type { HeldFiles } from "./HeldFiles.ts"
import type { ProcReader } from "./ProcReader.ts"
import type { Saturated, Unknown } from "./Reading.ts"

/**
 * The open descriptors of a process by kind.
 *
 * @category models
 * @since 0.1.0
 */
export interface DeepLook {
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

type Failure = Saturated | Unknown

// So many are asked about at once: few enough that what they come back with takes well under a millisecond of the loop.
const batch = 32

/** One look goes through no more descriptors than these: about a tenth of a second of work, spread over the time it takes. */
const mostLookedAt = 16_384

interface Task {
  readonly reader: ProcReader
  readonly files: HeldFiles
  readonly directory: string
  readonly kinds: Map<string, number>
}

const isSelf = (target: string, { reader }: Task): boolean => target === `/proc/${reader.pid}/fd`

const isGone = (failure: Failure): boolean => failure._tag === "Unknown" && failure.reason === "Missing"

// A descriptor that is gone by now has no kind, and the one that lists is not the process's.
const kindIn = (task: Task, name: string): Effect.Effect<string | undefined> =>
  task.reader.targetLater(`${task.directory}/${name}`).pipe(
    Effect.map((target) => isSelf(target, task) ? undefined : kindOf(target)),
    // Where the entries are no links, as on macOS, the descriptor itself is asked.
    Effect.catchIf((failure) => !isGone(failure), () => task.reader.kindLater(Number(name))),
    Effect.orElseSucceed(() => undefined)
  )

const count = (task: Task, kind: string | undefined): void => {
  if (kind !== undefined) task.kinds.set(kind, (task.kinds.get(kind) ?? 0) + 1)
}

const nextNames = (next: Effect.Effect<string | undefined, Failure>) =>
  Effect.gen(function*() {
    const names: Array<string> = []
    while (names.length < batch) {
      const name = yield* next
      if (name === undefined) break
      names.push(name)
    }
    return names
  })

const isForeign = ({ files }: Task) => (name: string): boolean => /^\d+$/.test(name) && !files.holds(Number(name))

/** Goes through the directory, and says whether it came to the end. */
const classify = (task: Task): Effect.Effect<boolean, Failure> =>
  Effect.scoped(Effect.gen(function*() {
    yield* Effect.acquireRelease(
      Effect.sync(() => task.files.lendSpare()),
      (takeBack) => Effect.sync(takeBack)
    )
    const next = yield* task.reader.list(task.directory)
    for (let looked = 0; looked < mostLookedAt; looked += batch) {
      const names = yield* nextNames(next)
      const kinds = yield* Effect.forEach(names.filter(isForeign(task)), (name) => kindIn(task, name), {
        concurrency: batch
      })
      kinds.forEach((kind) => count(task, kind))
      if (names.length < batch) return true
    }
    return false
  }))

const lookAt = (reader: ProcReader, files: HeldFiles, directory: string): Effect.Effect<DeepLook, Failure> =>
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
 * It lists `/proc/self/fd`, else `/dev/fd`, off the event loop, 32 entries at a time. The one descriptor that it needs
 * takes the place of the monitor's spare. It fails with the reading that says why it could not be done.
 *
 * @category constructors
 * @since 0.1.0
 */
export const take = (reader: ProcReader, files: HeldFiles): Effect.Effect<DeepLook, Failure> =>
  lookAt(reader, files, "/proc/self/fd").pipe(
    Effect.catchTag("Unknown", () => lookAt(reader, files, "/dev/fd"))
  )

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
  readonly look: Effect.Effect<DeepLook, Failure>
}

/**
 * Makes a {@link Looker}. Closing the scope ends a look that is under way.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (reader: ProcReader, files: HeldFiles): Effect.Effect<Looker, never, Scope.Scope> =>
  Effect.gen(function*() {
    const scope = yield* Effect.scope
    const clock = yield* Effect.clockWith(Effect.succeed)
    const monotonic = () => Number(clock.monotonicTimeNanosUnsafe()) / 1e6
    let last: { readonly at: number; readonly fiber: Fiber.Fiber<DeepLook, Failure> } | undefined
    const isDue = () => last === undefined || monotonic() - last.at >= leastApart
    const begin = Effect.suspend(() => {
      const at = monotonic()
      return Effect.map(Effect.forkIn(take(reader, files), scope), (fiber) => last = { at, fiber })
    })
    const look = Effect.suspend(() => last === undefined || isDue() ? begin : Effect.succeed(last)).pipe(
      Effect.flatMap(({ fiber }) => Fiber.join(fiber))
    )
    return { isDue, look }
  })
