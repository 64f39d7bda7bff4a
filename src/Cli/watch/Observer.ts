/**
 * Takes looks at another process: all figures, read at about the same time.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { monotonicMillis } from "../../internal/MonotonicTime.ts"
import { quietly } from "../../internal/SafeRead.ts"
import { scopedValue } from "../../internal/ScopeHooks.ts"
import * as Reading from "../../Monitor/Reading.ts"
import * as Zombies from "../../Monitor/readings/Children.ts"
import { listedEntries, scannedEntries, statIn } from "../../Monitor/readings/Children.ts"
import * as Container from "../../Monitor/readings/Container.ts"
import { amountReading, guarded, limitReading, OpenFiles, smaller, softLimitOf } from "../../Monitor/readings/Procfs.ts"
import type { ProcessStat, ProcReader } from "../../Monitor/readings/Procfs.ts"
import type { Gauge } from "../../Monitor/Usage.ts"
import * as Descriptors from "./Descriptors.ts"
import { residentOf, statusOf } from "./ProcessFiles.ts"
import * as Target from "./Target.ts"
import type { WatchFailed } from "./WatchError.ts"

/**
 * One look.
 *
 * @category models
 * @since 0.1.0
 */
export interface Look {
  /** Wall-clock time in milliseconds since 1970. */
  readonly at: number
  /** Milliseconds on a clock that does not go back. */
  readonly now: number
  /** It includes the name of the program and the number of threads. */
  readonly stat: ProcessStat
  readonly descriptors: Descriptors.Descriptors
  /** The soft limit of descriptors of the process. */
  readonly descriptorLimit: Reading.Reading
  /** Resident memory in bytes. */
  readonly memory: Reading.Reading
  /** The memory of its container, including that of other processes in it. */
  readonly container: Gauge
  /** Zombies: children that had ended by one look, and whose exit status the process has not read by the next one. */
  readonly zombies: { readonly count: Reading.Reading; readonly all: ReadonlyArray<Zombies.Zombie> }
  /** The limit of processes and threads of its user or its container. */
  readonly processLimit: Reading.Reading
}

/**
 * Takes looks at one process.
 *
 * @category models
 * @since 0.1.0
 */
export interface Observer {
  /**
   * Takes a look; `undefined` when the process has ended. With `settled` it waits, for at most a second, until it is known of
   * each child that has ended whether it is a zombie.
   */
  readonly look: (settled: boolean) => Effect.Effect<Look | undefined, WatchFailed>
}

/** How long a process may take to read the exit status of a child, in milliseconds. Its event loop cannot be observed. */
const patience = 1000

/** If this many looks in a row fail because a thread ended meanwhile, the process counts as ended. */
const mostAttempts = 5

// Reading one process takes about 20 microseconds.
const mostScanned = 10_000

const uptime = (reader: ProcReader): number =>
  Number(quietly(() => reader.contents("/proc/uptime"))?.split(" ")[0]) * 1000 || 0

/** The pid in the process's own namespace: 1 for the first process of a container. */
const innerPid = (reader: ProcReader, pid: number): number => {
  const status = quietly(() => reader.contents(`/proc/${pid}/status`)) ?? ""
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
  /** The current zombies, each with the time at which it had this age. */
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
      // It is unknown which children it has started itself.
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

/**
 * The container of the process. If its control groups are not visible here, its limits are unknown: the visible ones belong to
 * other processes.
 */
const containerOf = (reader: ProcReader, files: OpenFiles, pid: number, resident: () => Reading.Reading) => {
  const membership = `/proc/${pid}/cgroup`
  const isOutside = /:\/\.\.(\/|$)/m.test(quietly(textOf(reader, membership)) ?? "")
  if (isOutside) return { memory: (): Gauge => ({ used: outside, limit: outside }), processLimit: () => outside }
  return Container.make(reader, files, { isHeld: false, resident, membership })
}

const isSaturated = (reading: Reading.Reading): reading is Reading.Saturated => reading._tag === "Saturated"

/** A failure that ends the watch: this process has no descriptor left, or may not read the other one. */
const fatal = (look: Look): Reading.Saturated | Reading.Unknown | undefined => {
  const { container, descriptorLimit, descriptors: { connections, used }, memory, processLimit, zombies } = look
  const readings = [used, connections, descriptorLimit, memory, container.used, container.limit, processLimit]
  const saturated = [...readings, zombies.count].find(isSaturated)
  return saturated ?? (used._tag === "Unknown" && used.reason === "Denied" ? used : undefined)
}

/**
 * Makes an observer of a process. It holds one descriptor, which the scope closes.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (reader: ProcReader, target: Target.Target): Effect.Effect<Observer, never, Scope.Scope> =>
  Effect.gen(function*() {
    const files = yield* scopedValue(() => new OpenFiles(reader), (files) => files.close())
    const clock = yield* Effect.clockWith(Effect.succeed)
    const monotonic = () => monotonicMillis(clock)
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
      // If a thread ended during the look, its figures are invalid, but the process may have another thread.
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
