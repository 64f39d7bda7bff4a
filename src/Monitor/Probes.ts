/**
 * The readings of this process, taken through descriptors that are opened once, so that they work when none is left.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Container from "./Container.ts"
import type { FastFigures, SlowFigures } from "./Figures.ts"
import { HeldFiles } from "./HeldFiles.ts"
import type { SmallFile } from "./HeldFiles.ts"
import { attempt, guarded, smaller } from "./Probe.ts"
import type { Probe } from "./Probe.ts"
import { ProcReader } from "./ProcReader.ts"
import { amountReading, limitReading, privatePages, residentPages, socketsOf, softLimitOf } from "./ProcText.ts"
import * as Reading from "./Reading.ts"
import type { Gauge } from "./Usage.ts"

export type { Probe } from "./Probe.ts"

/**
 * The probes of one process.
 *
 * @category models
 * @since 0.1.0
 */
export interface Probes {
  /** What they read through. */
  readonly reader: ProcReader
  readonly files: HeldFiles
  /** Open descriptors, without those that the probes hold. */
  readonly descriptors: Probe
  /** The soft limit of open descriptors. */
  readonly descriptorLimit: Probe
  /** Resident memory in bytes. */
  readonly memory: Probe
  /** The memory of the container and its limit. It costs tens of microseconds. */
  readonly container: (now: number) => Gauge
  /** How many descriptors the probes hold now. */
  readonly held: number
  /** The figures that change within a second. */
  readonly fast: (now: number) => FastFigures
  /** The figures that seldom change, or that cost more. */
  readonly slow: (now: number) => SlowFigures
}

const openTable = "/proc/self/fd"
const limits = "/proc/self/limits"
const statm = "/proc/self/statm"
const tasks = "/proc/self/task"
const sockstat = "/proc/self/net/sockstat"

// ---- descriptors ---------------------------------------------------------------------------------------------------

const heldCount = (reader: ProcReader, descriptor: number, files: HeldFiles): Probe => ({
  read: (now) =>
    guarded(openTable, () => {
      const size = reader.size(files.held(descriptor))
      return size > 0
        ? Reading.known(size - files.count, now, openTable)
        : Reading.unknown("Unsupported", openTable)
    }),
  cheap: true
})

// The listing needs a descriptor of its own while it reads, in the place of the spare, and finds it among the entries.
const listed = (reader: ProcReader, path: string, files: HeldFiles, now: number): Reading.Reading =>
  guarded(path, () => {
    const { entries, held } = files.inPlaceOfSpare(() => ({ entries: reader.entries(path), held: files.count }))
    return entries > 0 ? Reading.known(entries - 1 - held, now, path) : Reading.unknown("Unsupported", path)
  })

const listedCount = (reader: ProcReader, files: HeldFiles): Probe => ({
  read: (now) => {
    const first = listed(reader, openTable, files, now)
    return first._tag === "Unknown" ? listed(reader, "/dev/fd", files, now) : first
  },
  cheap: false
})

const countProbe = (reader: ProcReader, files: HeldFiles): Probe => {
  const table = attempt(() => files.open(openTable))
  if (table === undefined) return listedCount(reader, files)
  // Before Linux 6.2 the size of this directory is 0. The size decides, never the version: kernels are patched.
  if ((attempt(() => reader.size(table)) ?? 0) > 0) return heldCount(reader, table, files)
  files.release(table)
  return listedCount(reader, files)
}

const limitProbe = (reader: ProcReader, file: SmallFile): Probe => {
  if (attempt(file.text) !== undefined) {
    const text = () => softLimitOf(file.text(), "Max open files")
    return { read: (now) => guarded(limits, () => limitReading(text(), now, limits)), cheap: true }
  }
  // A report costs milliseconds, so this limit is read once; a later change of the limit is not seen.
  const once = guarded("process.report", () => limitReading(reader.reportedLimit(), 0, "process.report"))
  return { read: (now) => once._tag === "Known" ? { ...once, at: now } : once, cheap: true }
}

// ---- memory --------------------------------------------------------------------------------------------------------

/**
 * The page size, from the same figure in pages and in bytes. Page sizes are powers of two, and the two reads are moments
 * apart, so the quotient is rounded to the nearest one; a quotient that is near none says that the figures differ.
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
  /** Without the contents of files, which the kernel drops on demand; with them where they cannot be told apart. */
  readonly private: (now: number) => Reading.Reading
}

const memoryProbes = (reader: ProcReader, files: HeldFiles): MemoryProbes => {
  const reported = reportedMemory(reader)
  const descriptor = attempt(() => files.open(statm))
  if (descriptor === undefined) return { resident: reported, private: reported.read }
  const text = () => reader.text(files.held(descriptor))
  const page = attempt(() => pageSize(residentPages(text()), reader.rss()))
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

const socketsReader = (files: HeldFiles, isHeld: boolean) => {
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

/** Each thread is a directory, and a directory has two links besides those from the directories in it. */
const threadsReader = (reader: ProcReader, files: HeldFiles, isHeld: boolean) => {
  const descriptor = isHeld ? attempt(() => files.open(tasks)) : undefined
  const counts = descriptor !== undefined && (attempt(() => reader.links(descriptor)) ?? 0) > 2
  if (descriptor !== undefined && !counts) files.release(descriptor)
  const count = counts
    ? () => reader.links(files.held(descriptor)) - 2
    : () => files.names(tasks).length
  return (now: number): Reading.Reading => guarded(tasks, () => amountReading(count(), now, tasks, 1))
}

const processesIn = (file: SmallFile, now: number): Reading.Reading =>
  guarded(limits, () => limitReading(softLimitOf(file.text(), "Max processes"), now, limits, 1))

/**
 * What the probes hold at most where there are few descriptors to share.
 *
 * @category constants
 * @since 0.1.0
 */
export const fewestHeld = 4

// With fewer descriptors than this to share, the monitor takes only what the gate and the fast tick read.
const roomyLimit = 512

const isRoomy = (limit: Reading.Reading): boolean => limit._tag !== "Known" || limit.value >= roomyLimit

const slowReader = (
  reader: ProcReader,
  files: HeldFiles,
  { container, descriptorLimit, isHeld, limitsFile }: {
    readonly container: Container.Container
    readonly descriptorLimit: Probe
    readonly isHeld: boolean
    readonly limitsFile: SmallFile
  }
) => {
  const sockets = socketsReader(files, isHeld)
  const threads = threadsReader(reader, files, isHeld)
  return (now: number): SlowFigures => {
    files.regainSpare()
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

const build = (reader: ProcReader, files: HeldFiles): Probes => {
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
 * Opens what the probes hold; the scope closes it.
 *
 * **Details**
 *
 * - Descriptors: `st_size` of a held `/proc/self/fd` (Linux 6.2 and later), else a listing of it or of `/dev/fd` without
 *   the descriptor that the listing itself needs, else `Unknown`.
 * - Their limit: a held `/proc/self/limits`, else the limit that `process.report` gives at start, else `Unknown`.
 * - Memory: a held `/proc/self/statm` with the page size that `process.memoryUsage.rss()` implies at start, else
 *   `process.memoryUsage.rss()`.
 * - Each of the slow figures has a held file of its own, up to 14 descriptors in all. Where the limit of descriptors is
 *   below 512 those files are opened one at a time, in the place of one spare, and 4 descriptors are held in all.
 *
 * It cannot fail: what cannot be read is `Unknown`, and what meets `EMFILE` is `Saturated`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make: Effect.Effect<Probes, never, Scope.Scope> = Effect.gen(function*() {
  const reader = yield* ProcReader
  const files = yield* Effect.acquireRelease(
    Effect.sync(() => new HeldFiles(reader)),
    (files) => Effect.sync(() => files.close())
  )
  return build(reader, files)
})
