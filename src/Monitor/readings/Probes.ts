/**
 * The probes of this process, which read figures through descriptors that stay open, and the gauges, each of which is a figure
 * with its limit.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { quietly } from "../../internal/SafeRead.ts"
import { scopedValue } from "../../internal/ScopeHooks.ts"
import * as Ledger from "../Ledger.ts"
import { configuredSource, defaultHeadroom, isConfigured, type Resolved } from "../Options.ts"
import * as Reading from "../Reading.ts"
import { type FastFigures, type Gauge, level, type SlowFigures, type Usage } from "../Usage.ts"
import * as Container from "./Container.ts"
import { countProbe, limitProbe } from "./Descriptors.ts"
import {
  amountReading,
  guarded,
  limitReading,
  OpenFiles,
  privatePages,
  ProcReader,
  residentPages,
  smaller,
  socketsOf,
  softLimitOf
} from "./Procfs.ts"
import type { Probe, SmallFile } from "./Procfs.ts"

export type { Probe } from "./Procfs.ts"

/**
 * The probes of one process.
 *
 * @category models
 * @since 0.1.0
 */
export interface Probes {
  /** The reader and the open files of the probes. */
  readonly reader: ProcReader
  readonly files: OpenFiles
  /** Open descriptors, without those that the probes hold. */
  readonly descriptors: Probe
  /** The soft limit of open descriptors. */
  readonly descriptorLimit: Probe
  /** Resident memory in bytes. */
  readonly memory: Probe
  /** The memory of the container and its limit. A reading takes tens of microseconds. */
  readonly container: (now: number) => Gauge
  /** How many descriptors the probes hold now. */
  readonly held: number
  /** The figures that change within a second. */
  readonly fast: (now: number) => FastFigures
  /** The figures that seldom change, or that are expensive to read. */
  readonly slow: (now: number) => SlowFigures
}

const limits = "/proc/self/limits"
const statm = "/proc/self/statm"
const tasks = "/proc/self/task"
const sockstat = "/proc/self/net/sockstat"

// ---- memory --------------------------------------------------------------------------------------------------------

/**
 * The page size, from the resident memory in pages and in bytes. The two are read one after the other and may differ a little,
 * so their quotient is rounded to a power of two. If the quotient is far from a power of two, the result is `undefined`.
 */
const pageSize = (pages: number | undefined, bytes: number): number | undefined => {
  if (pages === undefined) return undefined
  const nearest = 2 ** Math.round(Math.log2(bytes / pages))
  return nearest >= 4096 && Math.abs(bytes / pages / nearest - 1) < 0.2 ? nearest : undefined
}

const reportedMemory = (reader: ProcReader): Probe => ({
  read: (now) => guarded("process.memoryUsage", () => amountReading(reader.rss(), now, "process.memoryUsage", 1)),
  cheap: true
})

interface MemoryProbes {
  readonly resident: Probe
  /** The resident memory without file contents, which the kernel drops on demand, if these can be counted separately. */
  readonly private: (now: number) => Reading.Reading
}

const memoryProbes = (reader: ProcReader, files: OpenFiles): MemoryProbes => {
  const reported = reportedMemory(reader)
  const descriptor = quietly(() => files.open(statm))
  if (descriptor === undefined) return { resident: reported, private: reported.read }
  const text = () => reader.text(files.held(descriptor))
  const page = quietly(() => pageSize(residentPages(text()), reader.rss()))
  if (page === undefined) return { resident: reported, private: reported.read }
  const reading = (pagesOf: (text: string) => number | undefined) => (now: number) =>
    guarded(statm, () => {
      const pages = pagesOf(text())
      return pages === undefined
        ? Reading.unknown("Unsupported", statm)
        : Reading.known(pages * page, now, statm)
    })
  return { resident: { read: reading(residentPages), cheap: true }, private: reading(privatePages) }
}

const heapFigures = (reader: ProcReader, now: number): Pick<SlowFigures, "heap" | "heapLimit"> => {
  const source = "v8.getHeapStatistics"
  return {
    heap: guarded(source, () => amountReading(reader.heap().used, now, source, 1)),
    heapLimit: guarded(source, () => limitReading(reader.heap().limit, now, source, 1))
  }
}

// ---- what else the kernel counts -----------------------------------------------------------------------------------

const socketsIn = (file: SmallFile, now: number): Reading.Reading =>
  guarded(file.path, () => amountReading(socketsOf(file.text()), now, file.path))

const socketsReader = (files: OpenFiles, isHeld: boolean) => {
  const file = files.file(sockstat, isHeld)
  const file6 = files.file(`${sockstat}6`, isHeld)
  return (now: number): Reading.Reading => {
    const sockets = socketsIn(file, now)
    const sockets6 = socketsIn(file6, now)
    // A system without IPv6 has no second file.
    if (sockets._tag !== "Known" || sockets6._tag === "Unknown" && sockets6.reason === "Missing") return sockets
    return sockets6._tag === "Known" ? { ...sockets, value: sockets.value + sockets6.value } : sockets6
  }
}

/** Each thread is a directory in `tasks`, and the link count of a directory is 2 plus its subdirectories. */
const threadsReader = (reader: ProcReader, files: OpenFiles, isHeld: boolean) => {
  const descriptor = isHeld ? quietly(() => files.open(tasks)) : undefined
  const counts = descriptor !== undefined && (quietly(() => reader.links(descriptor)) ?? 0) > 2
  if (descriptor !== undefined && !counts) files.release(descriptor)
  const count = counts
    ? () => reader.links(files.held(descriptor)) - 2
    : () => files.names(tasks).length
  return (now: number): Reading.Reading => guarded(tasks, () => amountReading(count(), now, tasks, 1))
}

const processesIn = (file: SmallFile, now: number): Reading.Reading =>
  guarded(limits, () => limitReading(softLimitOf(file.text(), "Max processes"), now, limits, 1))

/**
 * The most descriptors that the probes hold if the limit is low.
 *
 * @category constants
 * @since 0.1.0
 */
export const fewestHeld = 4

/**
 * The most descriptors that the probes hold otherwise. The first reading of the slow figures opens most of them.
 *
 * @category constants
 * @since 0.1.0
 */
export const mostHeld = 14

// Below this limit, the monitor keeps only the files open that the gate and the fast ticks read.
const roomyLimit = 512

const isRoomy = (limit: Reading.Reading): boolean => limit._tag !== "Known" || limit.value >= roomyLimit

const slowReader = (
  reader: ProcReader,
  files: OpenFiles,
  { container, descriptorLimit, isHeld, limitsFile }: {
    readonly container: Container.Container
    readonly descriptorLimit: Probe
    readonly isHeld: boolean
    readonly limitsFile: SmallFile
  }
) => {
  // Their files are opened with the first reading.
  let own: Readonly<Record<"sockets" | "threads", (now: number) => Reading.Reading>> | undefined
  return (now: number): SlowFigures => {
    files.regainSpare()
    const { sockets, threads } = own ??= {
      sockets: socketsReader(files, isHeld),
      threads: threadsReader(reader, files, isHeld)
    }
    const { limit, used } = container.memory(now)
    return {
      descriptorLimit: descriptorLimit.read(now),
      sockets: sockets(now),
      ...heapFigures(reader, now),
      containerMemory: used,
      containerMemoryLimit: limit,
      memoryPressure: container.pressure("memory", now),
      cpuPressure: container.pressure("cpu", now),
      ioPressure: container.pressure("io", now),
      threads: threads(now),
      processLimit: smaller(processesIn(limitsFile, now), container.processLimit(now))
    }
  }
}

const build = (reader: ProcReader, files: OpenFiles): Probes => {
  const limitsFile = files.file(limits, true)
  const descriptors = countProbe(reader, files)
  const descriptorLimit = limitProbe(reader, limitsFile)
  const memory = memoryProbes(reader, files)
  const isHeld = isRoomy(descriptorLimit.read(0))
  const container = Container.make(reader, files, { isHeld, resident: memory.private })
  return {
    reader,
    files,
    descriptors,
    descriptorLimit,
    memory: memory.resident,
    container: container.memory,
    get held() {
      return files.count
    },
    fast: (now) => ({ descriptors: descriptors.read(now), memory: memory.resident.read(now) }),
    slow: slowReader(reader, files, { container, descriptorLimit, isHeld, limitsFile })
  }
}

/**
 * Opens the files of the probes, until the scope closes.
 *
 * **Details**
 *
 * - Descriptors: `st_size` of an open `/proc/self/fd` (Linux 6.2 and later), else a listing of it or of `/dev/fd` less the descriptor of
 *   the listing, else `Unknown`.
 * - Their limit: `/proc/self/limits`, kept open, else the limit that `process.report` gives at start, else `Unknown`.
 * - Memory: `/proc/self/statm`, kept open, else `process.memoryUsage.rss()`. The page size is calculated from both at start.
 * - Each of the slow figures keeps a file open, up to 14 descriptors in all. If the limit of descriptors is below 512, 4 descriptors are
 *   open in all: the files of the slow figures are opened one at a time, and the spare descriptor is closed for that.
 *
 * It cannot fail. A figure that cannot be read is `Unknown`, and one whose read fails with `EMFILE` is `Saturated`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make: Effect.Effect<Probes, never, Scope.Scope> = /*#__PURE__*/ Effect.gen(function*() {
  const reader = yield* ProcReader
  const files = yield* scopedValue(() => new OpenFiles(reader), (files) => files.close())
  return build(reader, files)
})

/**
 * The gauge of descriptors.
 *
 * @category models
 * @since 0.1.0
 */
export interface DescriptorGauge extends Gauge {
  /**
   * The monitor's own descriptors, which are not in `used` but count against the limit. It is 0 if the limit is configured,
   * because that limit is for the rest of the process.
   */
  readonly own: number
  /** Descriptors that stay free and are already subtracted from the limit. */
  readonly reserve: number
}

/**
 * The gauges of a monitor. `now` is the wall-clock time in milliseconds. With `anew`, no value is taken from a cache.
 *
 * @category models
 * @since 0.1.0
 */
export interface Gauges {
  readonly descriptors: (now: number, anew: boolean) => DescriptorGauge
  /** Caches a count of descriptors that the sampler has just read, so that an expensive count is not taken twice. */
  readonly learn: (count: Reading.Reading) => void
  readonly memory: (now: number) => Gauge
  readonly connectionLimit: () => Reading.Reading
}

/**
 * The inputs of a monitor: gauges, its own ledger and its options.
 *
 * @category models
 * @since 0.1.0
 */
export interface Readings {
  readonly gauges: Gauges
  readonly ledger: Ledger.Ledger
  readonly options: Resolved
}

/**
 * How many of the monitor's own descriptors count against the limit. The reserve, which is already subtracted from the limit,
 * covers the first of them.
 */
export const heldBeyondReserve = ({ own, reserve }: DescriptorGauge): number => Math.max(own - reserve, 0)

/**
 * The usage now. The reading of the descriptors is given, because it was taken just before.
 *
 * @category combinators
 * @since 0.1.0
 */
export const usageOf = ({ gauges, ledger, options }: Readings, descriptors: DescriptorGauge, now: number): Usage => {
  const reserved = Ledger.reserved(ledger)
  const usage = {
    descriptors: { used: descriptors.used, limit: descriptors.limit },
    reserved,
    memory: gauges.memory(now),
    connections: { used: Reading.known(Ledger.open(ledger), now, "ledger"), limit: gauges.connectionLimit() }
  }
  return { ...usage, level: level({ ...usage, reserved: reserved + heldBeyondReserve(descriptors) }, options) }
}

// For how long an expensive reading is reused, in milliseconds. A change of the process's limit is noticed after this time.
const freshMillis = 1000

/**
 * The smaller of the configured limit and the process's own. If the soft limit cannot be read, the configured one applies.
 *
 * @category combinators
 * @since 0.1.0
 */
export const smallerLimit = (
  configured: number,
  own: Reading.Reading,
  now: number,
  source: string = configuredSource()
): Reading.Reading => {
  if (own._tag === "Known" && own.value <= configured) return own
  return configured === Infinity ? own : Reading.known(configured, now, source)
}

const limitOf = (configured: number, now: number, source: string): Reading.Reading =>
  configured === Infinity ? Reading.unlimited(source) : Reading.known(configured, now, source)

interface DescriptorLimit {
  readonly limit: Reading.Reading
  readonly reserve: number
}

/** The limit of descriptors in force: the configured one, or else the soft limit less the headroom. */
const descriptorLimit = (
  { headroom, maxDescriptors, origins }: Resolved,
  soft: Reading.Reading,
  now: number
): DescriptorLimit => {
  if (maxDescriptors !== undefined) {
    return { limit: smallerLimit(maxDescriptors, soft, now, configuredSource(origins.maxDescriptors)), reserve: 0 }
  }
  if (soft._tag !== "Known") return { limit: soft, reserve: 0 }
  // At least 1 is left, because no share of a limit of 0 can be calculated.
  const reserve = Math.max(Math.min(headroom ?? defaultHeadroom(soft.value), soft.value - 1), 0)
  return { limit: { ...soft, value: soft.value - reserve }, reserve }
}

/** Reuses a value for some milliseconds, on the clock of `now`. */
export const cachedFor = <A>(millis: number, read: (now: number) => A) => {
  let last: { readonly at: number; readonly value: A } | undefined
  return (now: number): A => {
    if (last === undefined || Math.abs(now - last.at) >= millis) last = { at: now, value: read(now) }
    return last.value
  }
}

/**
 * Of two gauges, the one with the larger share of its limit. The second is chosen only if its share is known.
 *
 * @category combinators
 * @since 0.1.0
 */
export const nearer = (first: Gauge, second: Gauge): Gauge => {
  const share = Reading.ratio(second.used, second.limit)
  return share !== undefined && share > (Reading.ratio(first.used, first.limit) ?? 0) ? second : first
}

interface Listing {
  readonly reading: Reading.Known
  readonly settled: number
  readonly opened: number
  readonly closed: number
}

/**
 * Estimates the count from the last listing, because a listing takes milliseconds and is made at most once a second. Each
 * reservation that has ended since then adds a descriptor, and each connection that has closed subtracts one. So the estimate
 * is never too low.
 */
const estimate = (listing: Listing, ledger: Ledger.Ledger): Reading.Known => {
  const gained = Math.max(ledger.settled - listing.settled, ledger.opened - listing.opened)
  const value = listing.reading.value + gained - (ledger.closed - listing.closed)
  return { ...listing.reading, value: Math.max(value, Ledger.open(ledger)), exact: gained === 0 }
}

const cachedCount = (probe: Probe, ledger: Ledger.Ledger) => {
  let last: Listing | undefined
  const learn = (reading: Reading.Reading): void => {
    last = reading._tag === "Known"
      ? { reading, settled: ledger.settled, opened: ledger.opened, closed: ledger.closed }
      : undefined
  }
  const read = (now: number, anew: boolean): Reading.Reading => {
    if (last !== undefined && !anew && Math.abs(now - last.reading.at) < freshMillis) return estimate(last, ledger)
    const reading = probe.read(now)
    learn(reading)
    return reading
  }
  return { read, learn }
}

const uncachedCount = ({ read }: Probe): ReturnType<typeof cachedCount> => ({ read, learn: () => {} })

/**
 * The gauges of this process.
 *
 * @category constructors
 * @since 0.1.0
 */
export const gauges = (probes: Probes, ledger: Ledger.Ledger, options: Resolved): Gauges => {
  const count = probes.descriptors.cheap ? uncachedCount(probes.descriptors) : cachedCount(probes.descriptors, ledger)
  const limitInForce = cachedFor(freshMillis, (now) => descriptorLimit(options, probes.descriptorLimit.read(now), now))
  const memorySource = configuredSource(options.origins.maxMemory)
  const connectionSource = configuredSource(options.origins.maxConnections)
  const container = cachedFor(freshMillis, probes.container)
  return {
    descriptors: (now, anew) => {
      const { limit, reserve } = limitInForce(now)
      const own = isConfigured(limit.source) ? 0 : probes.held
      return { used: count.read(now, anew), limit, own, reserve }
    },
    learn: count.learn,
    memory: (now) =>
      nearer({ used: probes.memory.read(now), limit: limitOf(options.maxMemory, now, memorySource) }, container(now)),
    connectionLimit: () => limitOf(options.maxConnections, 0, connectionSource)
  }
}
