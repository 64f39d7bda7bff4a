/**
 * Access to the operating system: the system calls of the probes, parsers of the kernel's small files, and the files that a
 * monitor keeps open so that a reading needs no new descriptor.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as NodeFs from "node:fs"
import { quietly } from "../../internal/SafeRead.ts"
import * as Reading from "../Reading.ts"

/**
 * The system calls of the probes, in one record that a test can replace. Calls that return an Effect do not block the event
 * loop. The others are synchronous and throw Node's errors, which the probes turn into readings.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export interface ProcReader {
  /** Opens a path for reading and returns the descriptor. */
  readonly open: (path: string) => number
  readonly close: (descriptor: number) => void
  /** `st_size` of an open descriptor. */
  readonly size: (descriptor: number) => number
  /** `st_nlink` of an open descriptor. */
  readonly links: (descriptor: number) => number
  /** The text of a small file from its start, at most 4096 bytes. The position of the descriptor does not change. */
  readonly text: (descriptor: number) => string
  /** The whole text of a file. Uses a descriptor during the call. */
  readonly contents: (path: string) => string
  /** The names in a directory. Uses a descriptor during the call. */
  readonly names: (path: string) => ReadonlyArray<string>
  /** How many entries a directory has. Uses a descriptor during the call. */
  readonly entries: (path: string) => number
  /** The target of a symbolic link. */
  readonly target: (path: string) => string
  /** Resident memory in bytes. */
  readonly rss: () => number
  /** V8's heap in bytes. */
  readonly heap: () => { readonly used: number; readonly limit: number }
  /** How long the event loop has been busy and idle since it started, in milliseconds. */
  readonly loop: () => { readonly active: number; readonly idle: number }
  /** How long the process has run, in seconds. */
  readonly uptime: () => number
  /** The soft limit of open descriptors as the runtime reports it; `undefined` if the runtime reports none. */
  readonly reportedLimit: () => string | number | undefined
  readonly environment: (variable: string) => string | undefined
  /** The platform as Node names it, such as `linux`. It is used only for features that a platform does not have at all. */
  readonly platform: string
  readonly pid: number
  /**
   * Opens a directory off the event loop. The inner Effect reads the next few names, and none after the last. One descriptor
   * stays open until the scope closes.
   */
  readonly list: (path: string) => Effect.Effect<Effect.Effect<ReadonlyArray<string>, Failure>, Failure, Scope.Scope>
  /** The targets of symbolic links, read off the event loop. */
  readonly targetsLater: (paths: ReadonlyArray<string>) => Effect.Effect<ReadonlyArray<string | Failure>>
  /** The kinds of open descriptors, read off the event loop. */
  readonly kindsLater: (descriptors: ReadonlyArray<number>) => Effect.Effect<ReadonlyArray<Kind | Failure>>
}

/**
 * Why a call failed.
 *
 * @category models
 * @since 0.1.0
 */
export type Failure = Reading.Saturated | Reading.Unknown

/**
 * The kind of an open descriptor.
 *
 * @category models
 * @since 0.1.0
 */
export type Kind = "socket" | "pipe" | "file" | "directory" | "device"

// An import of `node:fs` would load its streams and promises too, and one of `node:process` the standard streams and the reports.
const Fs = /*#__PURE__*/ process.getBuiltinModule("node:fs")

// Each file that is read into it is smaller than this. The reads are synchronous, so one buffer is enough.
const buffer = Buffer.alloc(4096)

interface Report {
  excludeNetwork: boolean
  readonly getReport: () => {
    readonly userLimits?: { readonly open_files?: { readonly soft?: string | number } }
  }
}

const reportedLimit = (): string | number | undefined => {
  // Node's types lack `excludeNetwork` and call the report a bare object; both are documented. A runtime without reports throws
  // here, and the probe turns that into `Unknown`.
  const report = process.report as unknown as Report
  // Otherwise the report looks up the host names of all sockets, which may take seconds.
  const before = report.excludeNetwork
  report.excludeNetwork = true
  try {
    return report.getReport().userLimits?.open_files?.soft
  } finally {
    report.excludeNetwork = before
  }
}

// Node reads this many names at once, and converts them to strings in one step, which blocks the event loop.
const namesAtOnce = 32

type Done<A> = (error: unknown, value: A) => void

const later = <A>(source: string, start: (done: Done<A>) => void): Effect.Effect<A, Failure> =>
  Effect.callback((resume) =>
    start((error, value) =>
      resume(error === null ? Effect.succeed(value) : Effect.fail(Reading.fromFailure(error, source)))
    )
  )

const readNames = (directory: NodeFs.Dir, done: Done<ReadonlyArray<string>>): void => {
  const names: Array<string> = []
  const read = (error: unknown, entry: NodeFs.Dirent | null): void => {
    if (entry !== null && names.push(entry.name) < namesAtOnce) return directory.read(read)
    done(error, names)
  }
  directory.read(read)
}

const list: ProcReader["list"] = (path) =>
  Effect.acquireRelease(
    later<NodeFs.Dir>(path, (done) => Fs.opendir(path, { bufferSize: namesAtOnce }, done)),
    (directory) => Effect.promise(() => directory.close())
  ).pipe(Effect.map((directory) => later(path, (done) => readNames(directory, done))))

/** Starts all calls at once, and returns the results after the last one. One fiber waits, not one for each call. */
const together = <A, B>(all: ReadonlyArray<A>, ask: (one: A, done: Done<B>) => void) =>
  Effect.callback<ReadonlyArray<B | Failure>>((resume) => {
    const answers: Array<B | Failure> = []
    let missing = all.length
    if (missing === 0) return resume(Effect.succeed(answers))
    all.forEach((one, i) =>
      ask(one, (error, value) => {
        answers[i] = error === null ? value : Reading.fromFailure(error, String(one))
        if (--missing === 0) resume(Effect.succeed(answers))
      })
    )
  })

const kindOf = (stats: NodeFs.Stats): Kind => {
  if (stats.isSocket()) return "socket"
  if (stats.isFIFO()) return "pipe"
  if (stats.isDirectory()) return "directory"
  return stats.isFile() ? "file" : "device"
}

const heap = () => {
  const { heap_size_limit: limit, used_heap_size: used } = process.getBuiltinModule("node:v8").getHeapStatistics()
  return { used, limit }
}

const nodeReader: ProcReader = {
  open: (path) => Fs.openSync(path, "r"),
  close: (descriptor) => Fs.closeSync(descriptor),
  size: (descriptor) => Fs.fstatSync(descriptor).size,
  links: (descriptor) => Fs.fstatSync(descriptor).nlink,
  text: (descriptor) => buffer.toString("latin1", 0, Fs.readSync(descriptor, buffer, 0, buffer.length, 0)),
  contents: (path) => Fs.readFileSync(path, "utf8"),
  names: (path) => Fs.readdirSync(path),
  entries: (path) => Fs.readdirSync(path).length,
  target: (path) => Fs.readlinkSync(path),
  rss: () => process.memoryUsage.rss(),
  heap,
  loop: () => performance.eventLoopUtilization(),
  uptime: () => process.uptime(),
  reportedLimit,
  // Platforms publish their limits in the environment. These are not options of the program, and the core does not import
  // `Config`.
  // oxlint-disable-next-line effecttsgo/process-env
  environment: (variable) => process.env[variable],
  platform: process.platform,
  pid: process.pid,
  list,
  targetsLater: (paths) => together<string, string>(paths, (path, done) => Fs.readlink(path, done)),
  kindsLater: (descriptors) =>
    together<number, Kind>(
      descriptors,
      (descriptor, done) =>
        Fs.fstat(descriptor, (error, stats) => error === null ? done(null, kindOf(stats)) : done(error, "file"))
    )
}

/**
 * Has libuv open the descriptor that it opens with the first stream of a process and then keeps. It must be there before descriptors are
 * counted, or one more than the limit would be used. A standard stream that is a file is no stream of libuv.
 */
const openStandardStream = (): void => {
  const { Socket } = process.getBuiltinModule("node:net")
  for (const name of ["stdout", "stderr", "stdin"] as const) {
    if (process[name] instanceof Socket) return
  }
}

/**
 * The reader that a monitor uses: Node's, unless it is replaced.
 *
 * **When to use**
 *
 * Use to test the behaviour on other platforms: provide another reader to `ResourceMonitor.layer`.
 *
 * @category references
 * @since 0.1.0
 * @stability stable
 */
export const ProcReader: Context.Reference<ProcReader> = /*#__PURE__*/ Context.Reference<ProcReader>(
  "effect-sluice/Monitor/ProcReader",
  {
    defaultValue: () => {
      openStandardStream()
      return nodeReader
    }
  }
)

/**
 * One figure and how it is read.
 *
 * @category models
 * @since 0.1.0
 */
export interface Probe {
  /** Reads the figure. It never throws. `now` is the wall-clock time in milliseconds for the reading. */
  readonly read: (now: number) => Reading.Reading
  /** Whether a reading always takes only microseconds, so that every decision may take a new one. */
  readonly cheap: boolean
}

/**
 * Reads a figure. If that throws, the result is the reading for the error.
 *
 * @category combinators
 * @since 0.1.0
 */
export const guarded = (source: string, read: () => Reading.Reading): Reading.Reading => {
  try {
    return read()
  } catch (cause) {
    return Reading.fromFailure(cause, source)
  }
}

/**
 * The smaller of two limits. A `Known` limit is preferred to any other. If none is `Known`, the result is `Unlimited` only if
 * both are.
 *
 * @category combinators
 * @since 0.1.0
 */
export const smaller = (left: Reading.Reading, right: Reading.Reading): Reading.Reading => {
  if (left._tag === "Known") return right._tag === "Known" && right.value < left.value ? right : left
  return right._tag === "Known" || left._tag === "Unlimited" ? right : left
}

/**
 * Numbers from here on mean that there is no limit. The kernel then writes its largest number, which depends on the width of
 * the field and the size of a page (2^63 minus a page, 2^63 - 1, 2^64 - 1). No machine has 2^60 bytes or descriptors.
 */
const beyondAnyLimit = 2 ** 60

const words: ReadonlySet<string> = new Set(["max", "unlimited", "infinity"])

/** A figure in the form in which the system returns it. */
type Written = string | number | undefined

const digits = /^\d+$/

/** A whole number written in digits only; `undefined` for any other text. */
const wholeOf = (text: Written): number | undefined => {
  if (typeof text === "number") return Number.isFinite(text) && text >= 0 ? text : undefined
  return text !== undefined && digits.test(text) ? Number(text) : undefined
}

/**
 * The reading of a limit: `max`, `unlimited` and numbers too large for a limit are `Unlimited`. Text that is not a whole number,
 * and numbers below `least`, are `Unknown`.
 *
 * @category parsing
 * @since 0.1.0
 */
export const limitReading = (text: Written, now: number, source: string, least: number = 0): Reading.Reading => {
  const word = typeof text === "string" ? text.trim() : text
  if (typeof word === "string" && words.has(word)) return Reading.unlimited(source)
  const value = wholeOf(word)
  if (value === undefined || value < least) return Reading.unknown("Unsupported", source)
  return value >= beyondAnyLimit ? Reading.unlimited(source) : Reading.known(value, now, source)
}

/**
 * The reading of a count or an amount. Text that is not a whole number, numbers below `least` and impossibly large numbers are
 * `Unknown`.
 *
 * @category parsing
 * @since 0.1.0
 */
export const amountReading = (text: Written, now: number, source: string, least: number = 0): Reading.Reading => {
  const value = wholeOf(typeof text === "string" ? text.trim() : text)
  return value === undefined || value < least || value >= beyondAnyLimit
    ? Reading.unknown("Unsupported", source)
    : Reading.known(value, now, source)
}

/** The rest of the line that begins with this text; `undefined` without such a line. */
const lineAfter = (text: string, beginning: string): string | undefined => {
  const before = text.startsWith(beginning) ? 0 : text.indexOf(`\n${beginning}`) + 1
  if (before === 0 && !text.startsWith(beginning)) return undefined
  const [from, end] = [before + beginning.length, text.indexOf("\n", before)]
  return text.slice(from, end < 0 ? undefined : end)
}

/**
 * The soft limit in a line of `/proc/self/limits`, as text.
 *
 * @category parsing
 * @since 0.1.0
 */
export const softLimitOf = (text: string, name: "Max open files" | "Max processes"): string | undefined =>
  lineAfter(text, name)?.trim().split(/\s+/, 1)[0]

/**
 * The value of a key in a file with lines `key value`, such as `memory.stat`.
 *
 * @category parsing
 * @since 0.1.0
 */
export const valueOf = (text: string, key: string): number | undefined => wholeOf(lineAfter(text, `${key} `)?.trim())

const isPageCount = (pages: number | undefined): pages is number =>
  pages !== undefined && pages > 0 && pages < beyondAnyLimit

/**
 * The resident pages in `/proc/self/statm`.
 *
 * @category parsing
 * @since 0.1.0
 */
export const residentPages = (text: string): number | undefined => {
  const pages = wholeOf(text.split(" ", 2)[1])
  return isPageCount(pages) ? pages : undefined
}

/**
 * The resident pages in `/proc/self/statm` that the kernel cannot drop. These are all but those with file contents, such as the
 * program's own file.
 *
 * @category parsing
 * @since 0.1.0
 */
export const privatePages = (text: string): number | undefined => {
  const [, resident, shared] = text.split(" ", 3).map(wholeOf)
  const pages = resident === undefined || shared === undefined ? undefined : resident - shared
  return isPageCount(resident) && isPageCount(pages) ? pages : undefined
}

/**
 * The TCP sockets that a `sockstat` or `sockstat6` file counts as in use.
 *
 * @category parsing
 * @since 0.1.0
 */
export const socketsOf = (text: string): number | undefined => wholeOf(/^TCP6?: inuse (\S+)/m.exec(text)?.[1])

/**
 * The pressure of the last 10 seconds as a share, 0 to 1, from a file of pressure stall information.
 *
 * @category parsing
 * @since 0.1.0
 */
export const pressureReading = (text: string, now: number, source: string): Reading.Reading => {
  const percent = /^some avg10=(\d{1,3}(?:\.\d+)?)\s/m.exec(text)?.[1]
  const share = Number(percent) / 100
  return percent !== undefined && share <= 1
    ? Reading.known(share, now, source)
    : Reading.unknown("Unsupported", source)
}

/**
 * The process ids of a `children` file.
 *
 * @category parsing
 * @since 0.1.0
 */
export const childrenOf = (text: string): ReadonlyArray<number> =>
  text.split(/\s+/).flatMap((word) => {
    const pid = wholeOf(word)
    return pid !== undefined && pid > 0 && pid < beyondAnyLimit ? [pid] : []
  })

/**
 * The fields of a `/proc/PID/stat` file that the monitor uses.
 *
 * @category models
 * @since 0.1.0
 */
export interface ProcessStat {
  readonly pid: number
  /** The name of the program, at most 15 characters. */
  readonly command: string
  /** One letter: `R` running, `S` sleeping, `Z` zombie. */
  readonly state: string
  readonly parent: number
  readonly threads: number
  /** When the process began, in hundredths of a second since the system's start. Pid and start identify one process. */
  readonly start: number
}

/**
 * Parses a `/proc/PID/stat` file. The program's name is in brackets and may itself contain spaces and brackets, so it ends at
 * the last one.
 *
 * @category parsing
 * @since 0.1.0
 */
export const statOf = (text: string): ProcessStat | undefined => {
  const open = text.indexOf(" (")
  const close = text.lastIndexOf(") ")
  if (open < 0 || close < open) return undefined
  const fields = text.slice(close + 2).trim().split(" ")
  const [pid, parent, threads, start] = [text.slice(0, open), fields[1], fields[17], fields[19]].map(wholeOf)
  const state = fields[0]
  if (pid === undefined || parent === undefined || threads === undefined || start === undefined) return undefined
  if (state === undefined || !/^[A-Za-z]$/.test(state)) return undefined
  return { pid, command: text.slice(open + 2, close), state, parent, threads, start }
}

/**
 * A small file that can be read again and again.
 *
 * @category models
 * @since 0.1.0
 */
export interface SmallFile {
  readonly path: string
  /** Its text now. Throws the system's error. */
  readonly text: () => string
}

const rethrow = (cause: unknown): never => {
  throw cause
}

/** Whether an error says that no descriptor is left. */
export const isSaturation = (cause: unknown): boolean => Reading.fromFailure(cause, "")._tag === "Saturated"

const sparePath = "/dev/null"

const isClosed = (): Error => new Error("the monitor is closed")

/**
 * The descriptors that one monitor holds.
 *
 * **Details**
 *
 * One of them is a spare. The monitor closes it while it opens another file for a moment, and then opens it again. So readings
 * work even at the descriptor limit, and never take a descriptor that the program could use. If another thread takes the free
 * descriptor in between, there is no spare until a descriptor is free again.
 */
export class OpenFiles {
  readonly #reader: ProcReader
  readonly #held = new Set<number>()
  #spare: number | undefined
  #released = 0
  #isOver = false

  constructor(reader: ProcReader) {
    this.#reader = reader
    this.regainSpare()
  }

  /** How many descriptors are open now, including those for which the spare was closed. */
  get count(): number {
    return this.#held.size + this.#released
  }

  /** Whether the monitor holds this descriptor. */
  holds(descriptor: number): boolean {
    return this.#held.has(descriptor)
  }

  /**
   * Returns the descriptor if it is still held. Otherwise it throws, because its number may belong to another file of the
   * program by now.
   */
  held(descriptor: number): number {
    if (!this.#held.has(descriptor)) throw isClosed()
    return descriptor
  }

  /** Opens a path and keeps it open. Throws the system's error. */
  open(path: string): number {
    this.#refuseAfterClose()
    const descriptor = this.#reader.open(path)
    this.#held.add(descriptor)
    return descriptor
  }

  release(descriptor: number): void {
    if (this.#held.delete(descriptor)) quietly(() => this.#reader.close(descriptor))
  }

  /** Closes everything for good. */
  close(): void {
    this.#isOver = true
    this.#held.forEach((descriptor) => this.release(descriptor))
  }

  /**
   * A file that is read several times. With `isHeld` it stays open; otherwise it is opened for each reading, while the spare is
   * closed. If it cannot be opened, and the descriptor limit is not the reason, each reading throws the same error.
   */
  file(path: string, isHeld: boolean): SmallFile {
    const byPath = { path, text: () => this.contents(path) }
    try {
      if (isHeld) {
        const descriptor = this.open(path)
        return { path, text: () => this.#reader.text(this.held(descriptor)) }
      }
      byPath.text()
      return byPath
    } catch (cause) {
      return isSaturation(cause) ? byPath : { path, text: () => rethrow(cause) }
    }
  }

  /** The whole text of a file. Throws the system's error. */
  contents(path: string): string {
    return this.inPlaceOfSpare(() => this.#reader.contents(path))
  }

  /** The names in a directory. Throws the system's error. */
  names(path: string): ReadonlyArray<string> {
    return this.inPlaceOfSpare(() => this.#reader.names(path))
  }

  /**
   * Runs an action that needs one descriptor for a moment. The spare is closed meanwhile, so that the action takes no
   * descriptor that the program could use.
   */
  inPlaceOfSpare<A>(act: () => A): A {
    this.#refuseAfterClose()
    this.regainSpare()
    this.#closeSpare()
    try {
      return act()
    } finally {
      this.regainSpare()
    }
  }

  /** Closes the spare, so that another file may use its descriptor for longer. Call the result when that file is closed. */
  releaseSpare(): () => void {
    this.regainSpare()
    if (!this.#closeSpare()) return () => {}
    this.#released += 1
    return () => {
      this.#released -= 1
      this.regainSpare()
    }
  }

  /** Opens the spare again if it is missing and a descriptor is free. */
  regainSpare(): void {
    if (this.#spare === undefined && this.#released === 0 && !this.#isOver) {
      this.#spare = quietly(() => this.open(sparePath))
    }
  }

  // A file that is opened after that would stay open.
  #refuseAfterClose(): void {
    if (this.#isOver) throw isClosed()
  }

  #closeSpare(): boolean {
    const spare = this.#spare
    if (spare === undefined) return false
    this.#spare = undefined
    this.release(spare)
    return true
  }
}
