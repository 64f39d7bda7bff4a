/**
 * The children of this process, over all its threads, looked at again and again for zombies.
 *
 * @since 0.1.0
 */
import type { ChildProcess } from "node:child_process"
import * as DiagnosticsChannel from "node:diagnostics_channel"
import type { HeldFiles } from "./HeldFiles.ts"
import { isSaturation } from "./HeldFiles.ts"
import { attempt } from "./Probe.ts"
import type { ProcReader } from "./ProcReader.ts"
import { childrenOf, statOf } from "./ProcText.ts"
import type { ProcessStat } from "./ProcText.ts"
import * as Reading from "./Reading.ts"
import * as Zombies from "./Zombies.ts"

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
  readonly fresh: ReadonlyArray<Zombies.Zombie>
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
type Files = Pick<HeldFiles, "contents" | "names">

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

const selfOf = (reader: ProcReader, files: HeldFiles): Self => {
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
  readonly #files: HeldFiles
  readonly #started: () => ReadonlySet<number>
  readonly #afterTurn: (act: () => void) => void
  readonly #watchedSince: number
  #self: Self | undefined
  #history: Zombies.History = new Map()
  /** Where the next look begins to read, when there are more children than one look may read. */
  #offset = 0

  constructor(options: {
    readonly reader: ProcReader
    readonly files: HeldFiles
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
    return Zombies.isPending(this.#history)
  }

  /** The zombies that are there, as they were reported. */
  get reported(): ReadonlyArray<Zombies.Zombie> {
    return Zombies.reported(this.#history)
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
      const { count, fresh, history } = Zombies.step(this.#history, children, this.#turn(at), this.#parent(self))
      this.#history = history
      return { zombies: Reading.known(count, now, tasks, children.length === entries.length), fresh }
    } catch (cause) {
      return { zombies: Reading.fromFailure(cause, tasks), fresh: [] }
    }
  }

  #age(): number {
    return (attempt(this.#reader.uptime) ?? 0) * 1000
  }

  #parent({ start, thread }: Self): Zombies.Parent {
    return {
      pid: this.#reader.pid,
      thread,
      start,
      age: this.#age(),
      watchedSince: this.#watchedSince,
      started: this.#started()
    }
  }

  #turn(at: number): Zombies.Look {
    let hasTurned = false
    this.#afterTurn(() => {
      hasTurned = true
    })
    return { at, hasTurned: () => hasTurned }
  }

  /** Reads the children, as many as one look may; those beyond are as they were, and the next look begins with them. */
  #read(entries: ReadonlyArray<Entry>): ReadonlyArray<Zombies.Child> {
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
