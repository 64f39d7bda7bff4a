/**
 * The readings of this process, taken through descriptors that are opened once, so that they work when none is left.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { FastFigures, SlowFigures } from "./Figures.ts"
import { ProcReader } from "./ProcReader.ts"
import * as Reading from "./Reading.ts"

/**
 * One figure and how it is read.
 *
 * @category models
 * @since 0.1.0
 */
export interface Probe {
  /** Reads the figure. It never throws. `now` is the wall-clock time in milliseconds for the reading. */
  readonly read: (now: number) => Reading.Reading
  /** Whether a reading takes microseconds whatever the load, so that every decision may take a new one. */
  readonly cheap: boolean
}

/**
 * The probes of one process.
 *
 * @category models
 * @since 0.1.0
 */
export interface Probes {
  /** Open descriptors, without those that the probes hold. */
  readonly descriptors: Probe
  /** The soft limit of open descriptors. */
  readonly descriptorLimit: Probe
  /** Resident memory in bytes. */
  readonly memory: Probe
  /** How many descriptors the probes hold. */
  readonly held: number
  /** The figures that change within a second. */
  readonly fast: (now: number) => FastFigures
  /** The figures that seldom change, or that cost more. */
  readonly slow: (now: number) => SlowFigures
}

const guarded = (source: string, read: () => Reading.Reading): Reading.Reading => {
  try {
    return read()
  } catch (cause) {
    return Reading.fromFailure(cause, source)
  }
}

const attempt = <A>(read: () => A): A | undefined => {
  try {
    return read()
  } catch {
    return undefined
  }
}

const openTable = "/proc/self/fd"
const limits = "/proc/self/limits"
const statm = "/proc/self/statm"

interface Held {
  readonly openTable: number | undefined
  readonly limits: number | undefined
  readonly statm: number | undefined
}

const descriptorsOf = (held: Held): Array<number> =>
  [held.openTable, held.limits, held.statm].filter((descriptor) => descriptor !== undefined)

const hold = (reader: ProcReader): Held => {
  const table = attempt(() => reader.open(openTable))
  // Before Linux 6.2 the size of this directory is 0. The size decides, never the version: kernels are patched.
  const counts = table !== undefined && (attempt(() => reader.size(table)) ?? 0) > 0
  if (table !== undefined && !counts) attempt(() => reader.close(table))
  return {
    openTable: counts ? table : undefined,
    limits: attempt(() => reader.open(limits)),
    statm: attempt(() => reader.open(statm))
  }
}

const heldCount = (reader: ProcReader, descriptor: number, held: number): Probe => ({
  read: (now) =>
    guarded(openTable, () => {
      const size = reader.size(descriptor)
      return size > 0
        ? Reading.known(size - held, now, openTable)
        : Reading.unknown("Unsupported", openTable)
    }),
  cheap: true
})

// The listing needs a descriptor of its own while it reads, and finds it among the entries.
const listed = (reader: ProcReader, path: string, held: number, now: number): Reading.Reading =>
  guarded(path, () => {
    const entries = reader.entries(path)
    return entries > 0 ? Reading.known(entries - 1 - held, now, path) : Reading.unknown("Unsupported", path)
  })

const listedCount = (reader: ProcReader, held: number): Probe => ({
  read: (now) => {
    const first = listed(reader, openTable, held, now)
    return first._tag === "Unknown" ? listed(reader, "/dev/fd", held, now) : first
  },
  cheap: false
})

const limitReading = (text: string | number | undefined, now: number, source: string): Reading.Reading => {
  if (text === "unlimited") return Reading.unlimited(source)
  const value = text === undefined || text === "" ? Number.NaN : Number(text)
  return Number.isFinite(value) && value >= 0
    ? Reading.known(value, now, source)
    : Reading.unknown("Unsupported", source)
}

const softLimit = /^Max open files\s+(\S+)/m

const heldLimit = (reader: ProcReader, descriptor: number): Probe => ({
  read: (now) => guarded(limits, () => limitReading(softLimit.exec(reader.text(descriptor))?.[1], now, limits)),
  cheap: true
})

// A report costs milliseconds, so this limit is read once; a later change of the limit is not seen.
const reportedLimit = (reader: ProcReader): Probe => {
  const once = guarded("process.report", () => limitReading(reader.reportedLimit(), 0, "process.report"))
  return { read: (now) => once._tag === "Known" ? { ...once, at: now } : once, cheap: true }
}

const residentPages = (text: string): number => Number(text.split(" ")[1])

/**
 * The page size, from the same figure in pages and in bytes. Page sizes are powers of two, and the two reads are moments
 * apart, so the quotient is rounded to the nearest one; a quotient that is near none says that the figures differ.
 */
const pageSize = (pages: number, bytes: number): number | undefined => {
  const nearest = 2 ** Math.round(Math.log2(bytes / pages))
  return nearest >= 4096 && Math.abs(bytes / pages / nearest - 1) < 0.2 ? nearest : undefined
}

const reportedMemory = (reader: ProcReader): Probe => ({
  read: (now) =>
    guarded("process.memoryUsage", () => {
      const bytes = reader.rss()
      return bytes > 0
        ? Reading.known(bytes, now, "process.memoryUsage")
        : Reading.unknown("Unsupported", "process.memoryUsage")
    }),
  cheap: true
})

const heldMemory = (reader: ProcReader, descriptor: number): Probe => {
  const page = attempt(() => pageSize(residentPages(reader.text(descriptor)), reader.rss()))
  if (page === undefined) return reportedMemory(reader)
  return {
    read: (now) =>
      guarded(statm, () => {
        const pages = residentPages(reader.text(descriptor))
        return pages > 0 ? Reading.known(pages * page, now, statm) : Reading.unknown("Unsupported", statm)
      }),
    cheap: true
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
 *
 * It cannot fail: what cannot be read is `Unknown`, and what meets `EMFILE` is `Saturated`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make: Effect.Effect<Probes, never, Scope.Scope> = Effect.gen(function*() {
  const reader = yield* ProcReader
  const held = yield* Effect.acquireRelease(
    Effect.sync(() => hold(reader)),
    (held) => Effect.sync(() => descriptorsOf(held).forEach((descriptor) => attempt(() => reader.close(descriptor))))
  )
  const count = descriptorsOf(held).length
  const descriptors = held.openTable === undefined
    ? listedCount(reader, count)
    : heldCount(reader, held.openTable, count)
  const descriptorLimit = held.limits === undefined ? reportedLimit(reader) : heldLimit(reader, held.limits)
  const memory = held.statm === undefined ? reportedMemory(reader) : heldMemory(reader, held.statm)
  const missing = Reading.unknown("Unsupported", "none")
  return {
    descriptors,
    descriptorLimit,
    memory,
    held: count,
    fast: (now) => ({ descriptors: descriptors.read(now), memory: memory.read(now), loopUtilization: missing }),
    slow: (now) => ({
      descriptorLimit: descriptorLimit.read(now),
      sockets: missing,
      heap: missing,
      heapLimit: missing,
      containerMemory: missing,
      containerMemoryLimit: missing,
      memoryPressure: missing,
      cpuPressure: missing,
      ioPressure: missing,
      threads: missing,
      processLimit: missing
    })
  }
})
