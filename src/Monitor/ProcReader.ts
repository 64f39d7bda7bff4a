/**
 * Everything that the monitor asks of the operating system, in one record, so that a test can be any platform.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Fs from "node:fs"
import { performance } from "node:perf_hooks"
import * as Process from "node:process"
import * as V8 from "node:v8"
import { fromFailure } from "./Reading.ts"
import type { Saturated, Unknown } from "./Reading.ts"

/**
 * The system calls of the probes. Those that return an Effect work off the event loop; all others are synchronous. The
 * latter throw what Node throws, and the probes turn that into readings.
 *
 * @category models
 * @since 0.1.0
 */
export interface ProcReader {
  /** Opens a path for reading and returns the descriptor. */
  readonly open: (path: string) => number
  readonly close: (descriptor: number) => void
  /** `st_size` of an open descriptor. */
  readonly size: (descriptor: number) => number
  /** `st_nlink` of an open descriptor. */
  readonly links: (descriptor: number) => number
  /** The text of a small file, read from its start without moving the descriptor. At most 4096 bytes of it. */
  readonly text: (descriptor: number) => string
  /** The whole text of a file. It needs a descriptor for as long as it takes. */
  readonly contents: (path: string) => string
  /** The names in a directory. It needs a descriptor for as long as it takes. */
  readonly names: (path: string) => ReadonlyArray<string>
  /** How many entries a directory has. It needs a descriptor for as long as it takes. */
  readonly entries: (path: string) => number
  /** What a symbolic link points to. */
  readonly target: (path: string) => string
  /** Resident memory in bytes. */
  readonly rss: () => number
  /** V8's heap in bytes. */
  readonly heap: () => { readonly used: number; readonly limit: number }
  /** How long the event loop has been busy and idle since it started, in milliseconds. */
  readonly loop: () => { readonly active: number; readonly idle: number }
  /** How long the process has run, in seconds. */
  readonly uptime: () => number
  /** The soft limit of open descriptors as the runtime reports it, `undefined` where there is no such thing. */
  readonly reportedLimit: () => string | number | undefined
  readonly environment: (variable: string) => string | undefined
  /** The platform as Node names it, such as `linux`. It decides nothing but what does not exist on a platform. */
  readonly platform: string
  readonly pid: number
  /**
   * Opens a directory off the event loop and yields what pulls the next few names in it, none after the last. It holds one
   * descriptor until the scope closes.
   */
  readonly list: (path: string) => Effect.Effect<Effect.Effect<ReadonlyArray<string>, Failure>, Failure, Scope.Scope>
  /** What symbolic links point to, off the event loop. */
  readonly targetsLater: (paths: ReadonlyArray<string>) => Effect.Effect<ReadonlyArray<string | Failure>>
  /** What open descriptors are, off the event loop. */
  readonly kindsLater: (descriptors: ReadonlyArray<number>) => Effect.Effect<ReadonlyArray<Kind | Failure>>
}

/**
 * Why a call could not say what it was asked.
 *
 * @category models
 * @since 0.1.0
 */
export type Failure = Saturated | Unknown

/**
 * What an open descriptor is.
 *
 * @category models
 * @since 0.1.0
 */
export type Kind = "socket" | "pipe" | "file" | "directory" | "device"

// One page holds the whole of each file that is read so. The reads are synchronous, so one buffer serves all.
const buffer = Buffer.alloc(4096)

interface Report {
  excludeNetwork: boolean
  readonly getReport: () => {
    readonly userLimits?: { readonly open_files?: { readonly soft?: string | number } }
  }
}

const reportedLimit = (): string | number | undefined => {
  // Node's types lack `excludeNetwork` and call the report a bare object; both are documented. Where the runtime has no
  // reports at all this throws, and the probe takes that as `Unknown`.
  const report = Process.report as unknown as Report
  // The report resolves the names of all sockets unless told otherwise, which may take seconds.
  const before = report.excludeNetwork
  report.excludeNetwork = true
  try {
    return report.getReport().userLimits?.open_files?.soft
  } finally {
    report.excludeNetwork = before
  }
}

// The runtime asks the kernel for this many names at once, and turns them into strings in one go on the event loop.
const namesAtOnce = 32

type Done<A> = (error: unknown, value: A) => void

const later = <A>(source: string, start: (done: Done<A>) => void): Effect.Effect<A, Failure> =>
  Effect.callback((resume) =>
    start((error, value) => resume(error === null ? Effect.succeed(value) : Effect.fail(fromFailure(error, source))))
  )

const readNames = (directory: Fs.Dir, done: Done<ReadonlyArray<string>>): void => {
  const names: Array<string> = []
  const read = (error: unknown, entry: Fs.Dirent | null): void => {
    if (entry !== null && names.push(entry.name) < namesAtOnce) return directory.read(read)
    done(error, names)
  }
  directory.read(read)
}

const list: ProcReader["list"] = (path) =>
  Effect.acquireRelease(
    later<Fs.Dir>(path, (done) => Fs.opendir(path, { bufferSize: namesAtOnce }, done)),
    (directory) => Effect.promise(() => directory.close())
  ).pipe(Effect.map((directory) => later(path, (done) => readNames(directory, done))))

/** Asks about all of them at once, and yields the answers when the last one has come. One fiber waits, not many. */
const together = <A, B>(all: ReadonlyArray<A>, ask: (one: A, done: Done<B>) => void) =>
  Effect.callback<ReadonlyArray<B | Failure>>((resume) => {
    const answers: Array<B | Failure> = []
    let missing = all.length
    if (missing === 0) return resume(Effect.succeed(answers))
    all.forEach((one, i) =>
      ask(one, (error, value) => {
        answers[i] = error === null ? value : fromFailure(error, String(one))
        if (--missing === 0) resume(Effect.succeed(answers))
      })
    )
  })

const kindOf = (stats: Fs.Stats): Kind => {
  if (stats.isSocket()) return "socket"
  if (stats.isFIFO()) return "pipe"
  if (stats.isDirectory()) return "directory"
  return stats.isFile() ? "file" : "device"
}

const heap = () => {
  const { heap_size_limit: limit, used_heap_size: used } = V8.getHeapStatistics()
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
  rss: () => Process.memoryUsage.rss(),
  heap,
  loop: () => performance.eventLoopUtilization(),
  uptime: () => Process.uptime(),
  reportedLimit,
  // A platform states its own limits here. It is no setting of the program, and `Config` has no place in the core.
  // oxlint-disable-next-line effecttsgo/process-env
  environment: (variable) => Process.env[variable],
  platform: Process.platform,
  pid: Process.pid,
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
 * The reader that a monitor uses: Node's, unless it is replaced.
 *
 * **When to use**
 *
 * Use in tests of behaviour on other platforms: provide another reader to `ResourceMonitor.layer`.
 *
 * @category references
 * @since 0.1.0
 */
export const ProcReader: Context.Reference<ProcReader> = Context.Reference<ProcReader>(
  "effect-sluice/Monitor/ProcReader",
  { defaultValue: () => nodeReader }
)
