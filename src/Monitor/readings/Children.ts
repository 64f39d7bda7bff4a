/**
 * The children of this process, over all its threads, looked at again and again for zombies.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import type { ChildProcess } from "node:child_process"
import * as DiagnosticsChannel from "node:diagnostics_channel"
import { safeText } from "../../internal/SafeText.ts"
import * as Reading from "../Reading.ts"
import { attempt, childrenOf, isSaturation, statOf } from "./Procfs.ts"
import type { OpenFiles, ProcessStat, ProcReader } from "./Procfs.ts"

/**
 * Why nobody waits for a zombie.
 *
 * - `WorkerEnded`: the worker thread that started it ended before it.
 * - `Adopted`: this process is PID 1 and inherits orphans that it has not started.
 * - `HandleClosed`: the main thread started it, and its handle was closed before it ended.
 * - `Unknown`: it began before the monitor, or another thread still has it after a long time.
 *
 * @category models
 * @since 0.1.0
 */
export type ZombieCause = "WorkerEnded" | "Adopted" | "HandleClosed" | "Unknown"

/**
 * A zombie, as it is reported, once.
 *
 * @category models
 * @since 0.1.0
 */
export interface Zombie {
  readonly pid: number
  /** The name of the program, at most 15 characters. */
  readonly command: string
  /** Milliseconds since it began, when it was reported. */
  readonly age: number
  readonly cause: ZombieCause
  /** What prevents the next one. */
  readonly remedy: string
}

/**
 * A child as one look at the system found it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Child {
  readonly pid: number
  readonly command: string
  readonly isEnded: boolean
  /** When it began, in hundredths of a second since the system's start. With the pid it names one process. */
  readonly start: number
  /** The thread that would wait for it. */
  readonly thread: number
}

/**
 * What is known about the children from the looks before.
 *
 * @category models
 * @since 0.1.0
 */
export type History = ReadonlyMap<string, Known>

interface Known {
  readonly child: Child
  /** The thread that had it when it was first seen. */
  readonly firstThread: number
  /** The look at which it was first seen ended. */
  readonly ended: Look | undefined
  /** As it was reported, if it was. */
  readonly report: Zombie | undefined
}

/**
 * One look at the children.
 *
 * @category models
 * @since 0.1.0
 */
export interface Look {
  /** Monotonic milliseconds. */
  readonly at: number
  /** Whether the event loop has made a whole turn since: it has waited by then for every child that it can wait for. */
  readonly hasTurned: () => boolean
}

/**
 * What is known about this process.
 *
 * @category models
 * @since 0.1.0
 */
export interface Parent {
  readonly pid: number
  /** The thread whose loop the looks are taken on. */
  readonly thread: number
  /** When it began, on the clock of {@link Child}. */
  readonly start: number
  /** Milliseconds that it has run. */
  readonly age: number
  /** Milliseconds that it had run when the looks began. */
  readonly watchedSince: number
  /** The processes that this thread has started and not seen the end of. */
  readonly started: ReadonlySet<number>
  /**
   * For how many milliseconds a child of another thread must have ended, whose loop cannot be asked whether it has turned:
   * one that is blocked for longer is stuck.
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
  Unknown: "whatever starts a child must wait for its exit event before it ends"
}

const causes: Readonly<Record<ZombieCause, string>> = {
  WorkerEnded: "the worker that started it ended before it",
  Adopted: "this process is PID 1 and did not start it",
  HandleClosed: "its handle was closed before it ended",
  Unknown: "nobody waits for it"
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
 * What one more look adds: the new history, how many zombies there are, and those that are to be reported now.
 *
 * **Details**
 *
 * A child that has ended is a zombie only when the loop that would wait for it has had a whole turn to do so and the same
 * process, by pid and start time, is still there. A loop that was blocked while a child ended reaps it late, and is no
 * fault. A child of another thread, whose loop cannot be asked, must have been there for a minute.
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
 * Whether some child has ended of which it is not known yet whether somebody waits for it.
 *
 * @category getters
 * @since 0.1.0
 */
export const isPending = (history: History): boolean =>
  Array.from(history.values()).some(({ ended, report }) => ended !== undefined && report === undefined)

/**
 * The zombies that are there, as they were reported.
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
 * A report in one line, with the number of zombies there are and the limit of processes beside it.
 *
 * @category getters
 * @since 0.1.0
 */
export const describeZombie = (
  { age, cause, command, pid, remedy }: Zombie,
  limit: Reading.Reading,
  count: number
): string =>
  `child ${pid} (${safeText(command, 100)}), begun ${
    Duration.format(Duration.seconds(Math.round(age / 1000)))
  } ago, is a zombie: ` +
  `${causes[cause]}. It stays until this process ends; ${amongst(count, limit)}. To prevent more, ${remedy}.`

/**
 * The processes that this thread has started and not seen the end of.
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

// A process that has ended is kept until the next look, or until there are this many, or twice as many as are running.
const fewestKept = 64

/** Hears of each process that this thread starts from now on. */
export const watchStarted = (): Started => {
  let children = new Set<ChildProcess>()
  let mostKept = fewestKept
  const forgetEnded = (): void => {
    children = new Set(Array.from(children).filter(isRunning))
    mostKept = Math.max(2 * children.size, fewestKept)
  }
  const hear = (message: unknown): void => {
    if (children.size >= mostKept) forgetEnded()
    // Documented: the message holds the new process, which has no pid yet.
    children.add((message as { readonly process: ChildProcess }).process)
  }
  DiagnosticsChannel.subscribe("child_process", hear)
  return {
    pids: () => {
      forgetEnded()
      return new Set(Array.from(children).flatMap(({ pid }) => pid === undefined ? [] : [pid]))
    },
    close: () => {
      DiagnosticsChannel.unsubscribe("child_process", hear)
      children.clear()
    }
  }
}

/**
 * What one look found.
 *
 * @category models
 * @since 0.1.0
 */
export interface Found {
  /** How many zombies there are. */
  readonly zombies: Reading.Reading
  /** Those that are to be reported now. */
  readonly fresh: ReadonlyArray<Zombie>
}

/**
 * A child and the thread that has it.
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

/** What children are read with. */
type Files = Pick<OpenFiles, "contents" | "names">

const tasks = "/proc/self/task"

// A look costs 10 to 20 microseconds for each process that it reads, and a tick is to stay under 5 ms.
const mostRead = 100

// Where there is no list of children, every process of the system is read.
const mostScanned = 200

// A thread or a process that is gone by now is no failure, and one that may not be read is not ours to wait for.
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
  const thread = Number(attempt(() => reader.target("/proc/thread-self"))?.split("/").at(-1))
  return { pid: stat.pid, start: stat.start, thread: Number.isInteger(thread) ? thread : stat.pid }
}

/**
 * The children of the process whose threads are in this directory, from what the kernel lists for each thread. `thread` is
 * one that is there. `undefined` where the kernel was built without these lists.
 *
 * @category parsing
 * @since 0.1.0
 */
export const listedEntries = (files: Files, tasks: string, thread: number): ReadonlyArray<Entry> | undefined => {
  const listOf = (thread: number) => unlessSaturated(() => files.contents(`${tasks}/${thread}/children`))
  // This thread is there, so its file is if any is.
  if (listOf(thread) === undefined) return undefined
  return files.names(tasks).map(Number).flatMap((thread) =>
    childrenOf(listOf(thread) ?? "").map((pid) => ({ pid, thread }))
  )
}

/** The `stat` file of a process, `undefined` when it is gone or not to be read. */
export const statIn = (files: Files, pid: number): ProcessStat | undefined =>
  statOf(unlessSaturated(() => files.contents(`/proc/${pid}/stat`)) ?? "")

/**
 * Every process that names this one as its parent, as long as there are no more than `most` to ask. Which of its threads
 * has it is not to be seen.
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

/** The looks at the children of one process. */
export class Children {
  readonly #reader: ProcReader
  readonly #files: OpenFiles
  readonly #started: () => ReadonlySet<number>
  readonly #afterTurn: (act: () => void) => void
  readonly #watchedSince: number
  #self: Self | undefined
  #history: History = new Map()
  /** Where the next look begins to read, when there are more children than one look may read. */
  #offset = 0

  constructor(options: {
    readonly reader: ProcReader
    readonly files: OpenFiles
    readonly started: () => ReadonlySet<number>
    readonly afterTurn: (act: () => void) => void
  }) {
    this.#reader = options.reader
    this.#files = options.files
    this.#started = options.started
    this.#afterTurn = options.afterTurn
    this.#watchedSince = this.#age()
  }

  /** Whether the next look should come soon, to know what this one could not. */
  get isPending(): boolean {
    return isPending(this.#history)
  }

  /** The zombies that are there, as they were reported. */
  get reported(): ReadonlyArray<Zombie> {
    return reported(this.#history)
  }

  /** Looks at all children. `at` is monotonic, `now` the wall clock, both in milliseconds. It never throws. */
  look(at: number, now: number): Found {
    // Windows has no such thing as an ended process that waits to be waited for.
    if (this.#reader.platform === "win32") return { zombies: Reading.known(0, now, "win32"), fresh: [] }
    try {
      const self = this.#self ??= selfOf(this.#reader, this.#files)
      const entries = listedEntries(this.#files, tasks, self.thread) ??
        scannedEntries(this.#files, self, mostScanned)
      const children = this.#read(entries)
      const { count, fresh, history } = observeChildren(this.#history, children, this.#turn(at), this.#parent(self))
      this.#history = history
      return { zombies: Reading.known(count, now, tasks, children.length === entries.length), fresh }
    } catch (cause) {
      return { zombies: Reading.fromFailure(cause, tasks), fresh: [] }
    }
  }

  #age(): number {
    return (attempt(this.#reader.uptime) ?? 0) * 1000
  }

  #parent({ start, thread }: Self): Parent {
    return {
      pid: this.#reader.pid,
      thread,
      start,
      age: this.#age(),
      watchedSince: this.#watchedSince,
      started: this.#started()
    }
  }

  #turn(at: number): Look {
    let hasTurned = false
    this.#afterTurn(() => {
      hasTurned = true
    })
    return { at, hasTurned: () => hasTurned }
  }

  /** Reads the children, as many as one look may; those beyond are as they were, and the next look begins with them. */
  #read(entries: ReadonlyArray<Entry>): ReadonlyArray<Child> {
    const known = new Map(Array.from(this.#history.values(), (each) => [each.child.pid, each]))
    const first = this.#offset % Math.max(entries.length, 1)
    let read = 0
    return [...entries.slice(first), ...entries.slice(0, first)].flatMap(({ pid, thread }) => {
      const before = known.get(pid)
      if (read >= mostRead) return before === undefined ? [] : [{ ...before.child, thread }]
      read += 1
      this.#offset += entries.length > mostRead ? 1 : 0
      const stat = statIn(this.#files, pid)
      return stat === undefined ? [] : [{ ...stat, isEnded: stat.state === "Z", thread }]
    })
  }
}
