/**
 * Zombies: children of this process that have ended and that nobody waits for.
 *
 * **Details**
 *
 * A zombie has no memory and no descriptors left. It holds an entry in the table of processes, and nothing can end it but
 * its parent waiting for it, or the end of its parent: a signal to it changes nothing. So there is a report here with a
 * cause and a remedy, and no function that would kill one.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import { safeText } from "../internal/SafeText.ts"
import type { Reading } from "./Reading.ts"

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
export type Cause = "WorkerEnded" | "Adopted" | "HandleClosed" | "Unknown"

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
  readonly cause: Cause
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

const causeOf = ({ child, firstThread }: Known, parent: Parent): Cause => {
  if (parent.started.has(child.pid)) return "HandleClosed"
  if (child.thread !== parent.thread) return "Unknown"
  if (firstThread !== child.thread) return "WorkerEnded"
  if (parent.pid === 1) return "Adopted"
  return ageOf(child, parent) > parent.age - parent.watchedSince ? "Unknown" : "WorkerEnded"
}

const remedies: Readonly<Record<Cause, string>> = {
  WorkerEnded: "let a worker wait for the exit of its children before it ends, or start them from the main thread",
  Adopted: "run this process under an init that waits for orphans: docker run --init, tini or dumb-init",
  HandleClosed: "keep the handle of a child open until its exit event",
  Unknown: "whatever starts a child must wait for its exit event before it ends"
}

const causes: Readonly<Record<Cause, string>> = {
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
export const step = (history: History, children: ReadonlyArray<Child>, look: Look, parent: Parent): {
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

const amongst = (count: number, limit: Reading): string => {
  const those = count === 1 ? "it is the only one" : `there are ${count}`
  return limit._tag === "Known" ? `${those}, of at most ${limit.value} processes` : those
}

/**
 * A report in one line, with the number of zombies there are and the limit of processes beside it.
 *
 * @category getters
 * @since 0.1.0
 */
export const describe = ({ age, cause, command, pid, remedy }: Zombie, limit: Reading, count: number): string =>
  `child ${pid} (${safeText(command, 100)}), begun ${
    Duration.format(Duration.seconds(Math.round(age / 1000)))
  } ago, is a zombie: ` +
  `${causes[cause]}. It stays until this process ends; ${amongst(count, limit)}. To prevent more, ${remedy}.`
