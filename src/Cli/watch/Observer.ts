/**
 * One look at another process: every figure, read at about the same moment.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Reading from "../../Monitor/Reading.ts"
import * as Zombies from "../../Monitor/readings/Children.ts"
import { listedEntries, scannedEntries, statIn } from "../../Monitor/readings/Children.ts"
import * as Container from "../../Monitor/readings/Container.ts"
import {
  amountReading,
  attempt,
  guarded,
  limitReading,
  OpenFiles,
  smaller,
  softLimitOf
} from "../../Monitor/readings/Procfs.ts"
import type { ProcessStat, ProcReader } from "../../Monitor/readings/Procfs.ts"
import type { Gauge } from "../../Monitor/Usage.ts"
import * as Descriptors from "./Descriptors.ts"
import { residentOf, statusOf } from "./ProcessFiles.ts"
import * as Target from "./Target.ts"
import type { WatchFailed } from "./WatchError.ts"

/**
 * What one look found.
 *
 * @category models
 * @since 0.1.0
 */
export interface Look {
  /** Wall-clock time in milliseconds since 1970. */
  readonly at: number
  /** Milliseconds on a clock that does not go back. */
  readonly now: number
  /** The name of the program, the number of threads, and more. */
  readonly stat: ProcessStat
  readonly descriptors: Descriptors.Descriptors
  /** The process's own soft limit of descriptors. */
  readonly descriptorLimit: Reading.Reading
  /** Resident memory in bytes. */
  readonly memory: Reading.Reading
  /** The memory of its container, which other processes use as well. */
  readonly container: Gauge
  /** Children that have ended and that it has not waited for, seen so twice. */
  readonly zombies: { readonly count: Reading.Reading; readonly all: ReadonlyArray<Zombies.Zombie> }
  /** Processes and threads that its user, or its container, may have. */
  readonly processLimit: Reading.Reading
}

/**
 * What looks at one process, again and again.
 *
 * @category models
 * @since 0.1.0
 */
export interface Observer {
  /**
   * Takes a look; `undefined` when the process has ended. With `settled` it waits until it is known of every child that has
   * ended whether somebody waits for it, which takes a second at most.
   */
  readonly look: (settled: boolean) => Effect.Effect<Look | undefined, WatchFailed>
}

/** The loop of another process cannot be asked whether it has turned. It has this many milliseconds to wait for a child. */
const patience = 1000

/** So many threads in a row may end while they are looked at; then the process is taken to have ended. */
const mostAttempts = 5

// A process is asked in about 20 microseconds.
const mostScanned = 10_000

const uptime = (reader: ProcReader): number =>
  Number(attempt(() => reader.contents("/proc/uptime"))?.split(" ")[0]) * 1000 || 0

/** The pid that the process has for itself: 1 in a container whose first process it is. */
const innerPid = (reader: ProcReader, pid: number): number => {
  const status = attempt(() => reader.contents(`/proc/${pid}/status`)) ?? ""
  return Number(statusOf(status, "NSpid")?.split(/\s+/).at(-1) ?? pid)
}

const childrenOf = (reader: ProcReader, pid: number): ReadonlyArray<Zombies.Child> => {
  const entries = listedEntries(reader, `/proc/${pid}/task`, pid) ??
    scannedEntries(reader, { pid, thread: pid }, mostScanned)
  return entries.flatMap((entry) => {
    const stat = statIn(reader, entry.pid)
    return stat === undefined ? [] : [{ ...stat, isEnded: stat.state === "Z", thread: entry.thread }]
  })
}

/** The children of one process over time. */
class ZombieWatch {
  readonly #reader: ProcReader
  readonly #now: () => number
  #history: Zombies.History = new Map()
  /** The zombies that there are, each with the moment at which it had the age that it has here. */
  #found: ReadonlyArray<{ readonly zombie: Zombies.Zombie; readonly since: number }> = []

  constructor(reader: ProcReader, now: () => number) {
    this.#reader = reader
    this.#now = now
  }

  get isPending(): boolean {
    return Zombies.isPending(this.#history)
  }

  look(stat: ProcessStat, at: number): Look["zombies"] {
    const source = `/proc/${stat.pid}/task`
    const count = guarded(source, () => Reading.known(this.#step(stat), at, source))
    const now = this.#now()
    const all = this.#found.map(({ since, zombie }) => ({ ...zombie, age: zombie.age + now - since }))
    return { count, all: count._tag === "Known" ? all : [] }
  }

  #step(stat: ProcessStat): number {
    const children = childrenOf(this.#reader, stat.pid)
    const now = this.#now()
    const step = Zombies.observeChildren(this.#history, children, {
      at: now,
      hasTurned: () => this.#now() - now >= patience
    }, {
      pid: innerPid(this.#reader, stat.pid),
      thread: stat.pid,
      start: stat.start,
      age: uptime(this.#reader) - stat.start * 10,
      // It is not known which children it has started itself.
      watchedSince: Infinity,
      started: new Set(),
      patience
    })
    this.#history = step.history
    const ended = new Set(children.filter(({ isEnded }) => isEnded).map(({ pid }) => pid))
    this.#found = [...this.#found, ...step.fresh.map((zombie) => ({ zombie, since: now }))]
      .filter(({ zombie }) => ended.has(zombie.pid))
    return step.count
  }
}

const textOf = (reader: ProcReader, path: string) => (): string => reader.contents(path)

const limitsOf = (reader: ProcReader, directory: string, at: number) => {
  const path = `${directory}/limits`
  const read = textOf(reader, path)
  const limit = (name: "Max open files" | "Max processes", least: number) =>
    guarded(path, () => limitReading(softLimitOf(read(), name), at, path, least))
  return { descriptors: limit("Max open files", 0), processes: limit("Max processes", 1) }
}

const outside = Reading.unknown("Missing", "a control group that is not visible here")

/** The container of the process, unless its groups lie outside of what is visible here: then ours are not its own. */
const containerOf = (reader: ProcReader, files: OpenFiles, pid: number, resident: () => Reading.Reading) => {
  const membership = `/proc/${pid}/cgroup`
  const isOutside = /:\/\.\.(\/|$)/m.test(attempt(textOf(reader, membership)) ?? "")
  if (isOutside) return { memory: (): Gauge => ({ used: outside, limit: outside }), processLimit: () => outside }
  return Container.make(reader, files, { isHeld: false, resident, membership })
}

const isSaturated = (reading: Reading.Reading): reading is Reading.Saturated => reading._tag === "Saturated"

/** A figure that says something about this side, or without which there is nothing to watch. */
const fatal = (look: Look): Reading.Saturated | Reading.Unknown | undefined => {
  const { container, descriptorLimit, descriptors: { connections, used }, memory, processLimit, zombies } = look
  const readings = [used, connections, descriptorLimit, memory, container.used, container.limit, processLimit]
  const saturated = [...readings, zombies.count].find(isSaturated)
  return saturated ?? (used._tag === "Unknown" && used.reason === "Denied" ? used : undefined)
}

/**
 * Begins to look at a process; the scope closes what that takes, one descriptor.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (reader: ProcReader, target: Target.Target): Effect.Effect<Observer, never, Scope.Scope> =>
  Effect.gen(function*() {
    const files = yield* Effect.acquireRelease(
      Effect.sync(() => new OpenFiles(reader)),
      (files) => Effect.sync(() => files.close())
    )
    const clock = yield* Effect.clockWith(Effect.succeed)
    const monotonic = () => Number(clock.monotonicTimeNanosUnsafe()) / 1e6
    const children = new ZombieWatch(reader, monotonic)
    let memory: Reading.Reading = Reading.unknown("Missing", `/proc/${target.pid}/status`)
    const container = containerOf(reader, files, target.pid, () => memory)

    const read = ({ directory, stat }: Target.Present): Effect.Effect<Look> =>
      Effect.gen(function*() {
        const at = yield* Clock.currentTimeMillis
        const descriptors = yield* Descriptors.look(reader, directory, at)
        const limits = limitsOf(reader, directory, at)
        const path = `${directory}/status`
        memory = guarded(path, () => amountReading(residentOf(reader.contents(path)), at, path))
        return {
          at,
          now: monotonic(),
          stat,
          descriptors,
          descriptorLimit: limits.descriptors,
          memory,
          container: container.memory(at),
          zombies: children.look(stat, at),
          processLimit: smaller(limits.processes, container.processLimit(at))
        }
      })

    const checked = (look: Look): Effect.Effect<Look, WatchFailed> => {
      const failure = fatal(look)
      return failure === undefined
        ? Effect.succeed(look)
        : Target.refuse(failure, Target.nameOf(look.stat))
    }

    const once = Effect.gen(function*() {
      // A thread that ended during a look leaves figures that mean nothing; another one may go on.
      for (let i = 0; i < mostAttempts; i++) {
        const present = yield* Target.present(reader, target)
        if (present === undefined) return undefined
        const look = yield* read(present)
        if (yield* Target.isIntact(reader, present)) return yield* checked(look)
      }
      return undefined
    })

    return {
      look: (settled) =>
        Effect.gen(function*() {
          const look = yield* once
          if (look === undefined || !settled || !children.isPending) return look
          yield* Effect.sleep(patience)
          return yield* once
        })
    }
  })
