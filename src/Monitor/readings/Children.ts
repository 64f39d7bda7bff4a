/**
 * The child processes of all threads of this process, and which of them are zombies.
 *
 * A zombie is a child that has ended and whose exit status no thread has read. It has no memory and no descriptors, only an
 * entry in the table of processes. No signal removes it. Only its parent can remove it, by reading its exit status ("waiting
 * for it") or by ending. So a zombie is reported with a cause and a remedy, and there is no function that kills one.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import type { ChildProcess } from "node:child_process"
import { measuredSeconds } from "../../internal/MeasuredTime.ts"
import { quietly } from "../../internal/SafeRead.ts"
import { safeText } from "../../internal/SafeText.ts"
import * as Reading from "../Reading.ts"
import { childrenOf, isSaturation, type OpenFiles, type ProcessStat, type ProcReader, statOf } from "./Procfs.ts"

/**
 * Why no thread waits for a zombie.
 *
 * - `WorkerEnded`: the worker thread that started it ended before it.
 * - `Adopted`: this process is PID 1 and inherits orphans that it did not start.
 * - `HandleClosed`: the main thread started it, and its handle was closed before it ended.
 * - `Unknown`: it began before the monitor, or it is a child of another thread, which has not waited for it for a long time.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export type ZombieCause = "WorkerEnded" | "Adopted" | "HandleClosed" | "Unknown"

/**
 * A zombie as it is reported. Each is reported once.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export interface Zombie {
  readonly pid: number
  /** The name of the program, at most 15 characters. */
  readonly command: string
  /** Milliseconds since it began, when it was reported. */
  readonly age: number
  readonly cause: ZombieCause
  /** How to prevent further zombies of this kind. */
  readonly remedy: string
}

/**
 * A child, as found by one reading.
 *
 * @category models
 * @since 0.1.0
 */
export interface Child {
  readonly pid: number
  readonly command: string
  readonly isEnded: boolean
  /** When it began, in hundredths of a second since the system's start. Pid and start identify one process. */
  readonly start: number
  /** The thread whose child it is, and which has to wait for it. */
  readonly thread: number
}

/**
 * The children that earlier readings have found.
 *
 * @category models
 * @since 0.1.0
 */
export type History = ReadonlyMap<string, Known>

interface Known {
  readonly child: Child
  /** Its thread when it was first seen. */
  readonly firstThread: number
  /** The first reading that found that it had ended. */
  readonly ended: Look | undefined
  /** Its report, once it is reported. */
  readonly report: Zombie | undefined
}

/**
 * One reading of the children.
 *
 * @category models
 * @since 0.1.0
 */
export interface Look {
  /** Monotonic milliseconds. */
  readonly at: number
  /** Whether the event loop has made a whole turn since then. After that turn it has waited for every child that has ended. */
  readonly hasTurned: () => boolean
}

/**
 * This process, as the parent of the children.
 *
 * @category models
 * @since 0.1.0
 */
export interface Parent {
  readonly pid: number
  /** The thread that takes the readings. */
  readonly thread: number
  /** When it began, on the clock of {@link Child}. */
  readonly start: number
  /** For how many milliseconds it has been running. */
  readonly age: number
  /** For how many milliseconds it had been running at the first reading. */
  readonly watchedSince: number
  /** The processes that this thread has started and whose end it has not seen. */
  readonly started: ReadonlySet<number>
  /**
   * How many milliseconds ago a child of another thread must have ended to count as a zombie. This thread cannot observe the
   * event loop of another one; it is assumed to be blocked for less than this.
   *
   * @default 60000
   */
  readonly patience?: number | undefined
}

const defaultPatience = 60_000

const keyOf = ({ pid, start }: Child): string => `${pid}:${start}`

const ageOf = (child: Child, parent: Parent): number => Math.max(parent.age - (child.start - parent.start) * 10, 0)

const causeOf = ({ child, firstThread }: Known, parent: Parent): ZombieCause => {
  if (parent.started.has(child.pid)) return "HandleClosed"
  if (child.thread !== parent.thread) return "Unknown"
  if (firstThread !== child.thread) return "WorkerEnded"
  if (parent.pid === 1) return "Adopted"
  return ageOf(child, parent) > parent.age - parent.watchedSince ? "Unknown" : "WorkerEnded"
}

const remedies: Readonly<Record<ZombieCause, string>> = {
  WorkerEnded: "let a worker wait for the exit of its children before it ends, or start them from the main thread",
  Adopted: "run this process under an init that waits for orphans: docker run --init, tini or dumb-init",
  HandleClosed: "keep the handle of a child open until its exit event",
  Unknown: "wait for the exit event of each child before the code that started it ends"
}

const causes: Readonly<Record<ZombieCause, string>> = {
  WorkerEnded: "the worker that started it ended before it",
  Adopted: "this process is PID 1 and did not start it",
  HandleClosed: "its handle was closed before it ended",
  Unknown: "no thread waits for it"
}

const isOverdue = ({ child, ended }: Known, look: Look, parent: Parent): boolean =>
  ended !== undefined && ended !== look &&
  (child.thread === parent.thread ? ended.hasTurned() : look.at - ended.at >= (parent.patience ?? defaultPatience))

const updated = (before: Known | undefined, child: Child, look: Look): Known => ({
  child,
  firstThread: before?.firstThread ?? child.thread,
  ended: child.isEnded ? before?.ended ?? look : undefined,
  report: before?.report
})

const reportOf = (known: Known, parent: Parent): Zombie => {
  const cause = causeOf(known, parent)
  const { command, pid } = known.child
  return { pid, command, age: ageOf(known.child, parent), cause, remedy: remedies[cause] }
}

/**
 * Adds one reading: the new history, how many zombies there are, and those to report now.
 *
 * **Details**
 *
 * A child that has ended is a zombie if the same process (by pid and start time) still exists after a whole turn of the event
 * loop that should wait for it. So a loop that was blocked while the child ended has time to wait for it. The turns of another
 * thread's loop cannot be observed: a child of that thread is a zombie after a minute.
 *
 * @category combinators
 * @since 0.1.0
 */
export const observeChildren = (history: History, children: ReadonlyArray<Child>, look: Look, parent: Parent): {
  readonly history: History
  readonly count: number
  readonly fresh: ReadonlyArray<Zombie>
} => {
  const next = new Map<string, Known>()
  const fresh: Array<Zombie> = []
  let count = 0
  for (const child of children) {
    const key = keyOf(child)
    const known = updated(history.get(key), child, look)
    const isFresh = known.report === undefined && isOverdue(known, look, parent)
    const report = isFresh ? reportOf(known, parent) : known.report
    if (report !== undefined) count += 1
    if (isFresh && report !== undefined) fresh.push(report)
    next.set(key, { ...known, report })
  }
  return { history: next, count, fresh }
}

/**
 * Whether there is a child that has ended and may yet turn out to be a zombie.
 *
 * @category getters
 * @since 0.1.0
 */
export const isPending = (history: History): boolean =>
  Array.from(history.values()).some(({ ended, report }) => ended !== undefined && report === undefined)

/**
 * The reports of the zombies that are still there.
 *
 * @category combinators
 * @since 0.1.0
 */
export const reported = (history: History): ReadonlyArray<Zombie> =>
  Array.from(history.values()).flatMap(({ report }) => report === undefined ? [] : [report])

const amongst = (count: number, limit: Reading.Reading): string => {
  const those = count === 1 ? "it is the only one" : `there are ${count}`
  return limit._tag === "Known" ? `${those}, of at most ${limit.value} processes` : those
}

/**
 * A report in one line, with the number of zombies and the limit of processes.
 *
 * @category getters
 * @since 0.1.0
 */
export const describeZombie = (
  { age, cause, command, pid, remedy }: Zombie,
  limit: Reading.Reading,
  count: number
): string =>
  `child ${pid} (${safeText(command, 100)}), begun ${measuredSeconds(Duration.millis(age))} ago, is a zombie: ` +
  `${causes[cause]}. It stays until this process ends; ${amongst(count, limit)}. To prevent more, ${remedy}.`

/**
 * The processes that this thread has started and whose end it has not seen.
 *
 * @category models
 * @since 0.1.0
 */
export interface Started {
  readonly pids: () => ReadonlySet<number>
  readonly close: () => void
}

const isRunning = ({ exitCode, pid, signalCode }: ChildProcess): boolean =>
  pid !== undefined && exitCode === null && signalCode === null

// Processes that have ended are removed at each reading, and when there are twice as many as were running, but at least this
// many.
const fewestKept = 64

/** Records each process that this thread starts from now on. */
export const watchStarted = (): Started => {
  let children = new Set<ChildProcess>()
  let mostKept = fewestKept
  const forgetEnded = (): void => {
    children = new Set(Array.from(children).filter(isRunning))
    mostKept = Math.max(2 * children.size, fewestKept)
  }
  const hear = (message: unknown): void => {
    if (children.size >= mostKept) forgetEnded()
    // By Node's documentation, the message holds the new process, which has no pid yet.
    children.add((message as { readonly process: ChildProcess }).process)
  }
  const channels = process.getBuiltinModule("node:diagnostics_channel")
  channels.subscribe("child_process", hear)
  return {
    pids: () => {
      forgetEnded()
      return new Set(Array.from(children).flatMap(({ pid }) => pid === undefined ? [] : [pid]))
    },
    close: () => {
      channels.unsubscribe("child_process", hear)
      children.clear()
    }
  }
}

/**
 * The result of one reading.
 *
 * @category models
 * @since 0.1.0
 */
export interface Found {
  /** How many zombies there are. */
  readonly zombies: Reading.Reading
  /** The zombies to report now. */
  readonly fresh: ReadonlyArray<Zombie>
}

/**
 * A child and its thread.
 *
 * @category models
 * @since 0.1.0
 */
export interface Entry {
  readonly pid: number
  readonly thread: number
}

interface Self {
  readonly pid: number
  readonly thread: number
  readonly start: number
}

/** The part of the open files that reads children. */
type Files = Pick<OpenFiles, "contents" | "names">

const tasks = "/proc/self/task"

// Reading one process takes 10 to 20 microseconds, and a tick must stay under 5 ms.
const mostRead = 100

// Without a list of children, every process of the system is read.
const mostScanned = 200

// It is no failure if a thread or process has ended meanwhile, or may not be read: then it is not a child of this process.
const unlessSaturated = <A>(read: () => A): A | undefined => {
  try {
    return read()
  } catch (cause) {
    if (isSaturation(cause)) throw cause
    return undefined
  }
}

const selfOf = (reader: ProcReader, files: OpenFiles): Self => {
  const stat = statOf(files.contents("/proc/self/stat"))
  if (stat === undefined) throw new Error("/proc/self/stat is not as expected")
  const thread = Number(quietly(() => reader.target("/proc/thread-self"))?.split("/").at(-1))
  return { pid: stat.pid, start: stat.start, thread: Number.isInteger(thread) ? thread : stat.pid }
}

/**
 * The children of the process whose threads are in the directory `tasks`, from the kernel's list for each thread. `thread` is one
 * of these threads. `undefined` if the kernel was built without these lists.
 *
 * @category parsing
 * @since 0.1.0
 */
export const listedEntries = (files: Files, tasks: string, thread: number): ReadonlyArray<Entry> | undefined => {
  const listOf = (thread: number) => unlessSaturated(() => files.contents(`${tasks}/${thread}/children`))
  // The given thread exists, so this file exists if the kernel has such files.
  if (listOf(thread) === undefined) return undefined
  return files.names(tasks).map(Number).flatMap((thread) =>
    childrenOf(listOf(thread) ?? "").map((pid) => ({ pid, thread }))
  )
}

/** The `stat` file of a process; `undefined` if it has ended or may not be read. */
export const statIn = (files: Files, pid: number): ProcessStat | undefined =>
  statOf(unlessSaturated(() => files.contents(`/proc/${pid}/stat`)) ?? "")

/**
 * Every process whose parent is this one. Throws if there are more than `most` processes to read. The thread of a child is
 * unknown, so each is assigned to `thread`.
 *
 * @category parsing
 * @since 0.1.0
 */
export const scannedEntries = (
  files: Files,
  { pid: parent, thread }: Pick<Self, "pid" | "thread">,
  most: number
): ReadonlyArray<Entry> => {
  const pids = files.names("/proc").filter((name) => /^\d+$/.test(name)).map(Number)
  if (pids.length > most) throw new Error(`${pids.length} processes are too many to look through on a timer`)
  return pids.filter((pid) => statIn(files, pid)?.parent === parent).map((pid) => ({ pid, thread }))
}

interface ChildrenOptions {
  readonly reader: ProcReader
  readonly files: OpenFiles
  readonly started: () => ReadonlySet<number>
  readonly afterTurn: (act: () => void) => void
}

/** Reads the children of one process. */
export class Children {
  readonly #options: ChildrenOptions
  readonly #watchedSince: number
  #self: Self | undefined
  #history: History = new Map()
  /** Where the next reading begins, when there are more children than one reading may read. */
  #offset = 0

  constructor(options: ChildrenOptions) {
    this.#options = options
    this.#watchedSince = this.#age()
  }

  /** Whether the next reading should come soon, because a child has just ended. */
  get isPending(): boolean {
    return isPending(this.#history)
  }

  /** The reports of the zombies that are still there. */
  get reported(): ReadonlyArray<Zombie> {
    return reported(this.#history)
  }

  /** Reads all children. `at` is monotonic, `now` the wall clock, both in milliseconds. It never throws. */
  look(at: number, now: number): Found {
    // Windows has no zombies.
    if (this.#options.reader.platform === "win32") return { zombies: Reading.known(0, now, "win32"), fresh: [] }
    try {
      const self = this.#self ??= selfOf(this.#options.reader, this.#options.files)
      const entries = listedEntries(this.#options.files, tasks, self.thread) ??
        scannedEntries(this.#options.files, self, mostScanned)
      const children = this.#read(entries)
      const { count, fresh, history } = observeChildren(this.#history, children, this.#turn(at), this.#parent(self))
      this.#history = history
      return { zombies: Reading.known(count, now, tasks, children.length === entries.length), fresh }
    } catch (cause) {
      return { zombies: Reading.fromFailure(cause, tasks), fresh: [] }
    }
  }

  #age(): number {
    return (quietly(this.#options.reader.uptime) ?? 0) * 1000
  }

  #parent({ start, thread }: Self): Parent {
    return {
      pid: this.#options.reader.pid,
      thread,
      start,
      age: this.#age(),
      watchedSince: this.#watchedSince,
      started: this.#options.started()
    }
  }

  #turn(at: number): Look {
    let hasTurned = false
    this.#options.afterTurn(() => {
      hasTurned = true
    })
    return { at, hasTurned: () => hasTurned }
  }

  /** Reads as many children as allowed. The others stay as they were, and the next reading begins with them. */
  #read(entries: ReadonlyArray<Entry>): ReadonlyArray<Child> {
    const known = new Map(Array.from(this.#history.values(), (each) => [each.child.pid, each]))
    const first = this.#offset % Math.max(entries.length, 1)
    let read = 0
    return [...entries.slice(first), ...entries.slice(0, first)].flatMap(({ pid, thread }) => {
      const before = known.get(pid)
      if (read >= mostRead) return before === undefined ? [] : [{ ...before.child, thread }]
      read += 1
      this.#offset += entries.length > mostRead ? 1 : 0
      const stat = statIn(this.#options.files, pid)
      return stat === undefined ? [] : [{ ...stat, isEnded: stat.state === "Z", thread }]
    })
  }
}
