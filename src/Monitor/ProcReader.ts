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
   * Opens a directory off the event loop and yields what pulls the next name in it, `undefined` after the last. It holds
   * one descriptor until the scope closes.
   */
  readonly list: (path: string) => Effect.Effect<Effect.Effect<string | undefined, Failure>, Failure, Scope.Scope>
  /** What a symbolic link points to, off the event loop. */
  readonly targetLater: (path: string) => Effect.Effect<string, Failure>
  /** What an open descriptor is, off the event loop. */
  readonly kindLater: (
    descriptor: number
  ) => Effect.Effect<"socket" | "pipe" | "file" | "directory" | "device", Failure>
}

type Failure = Saturated | Unknown

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

type Later<A> = Effect.Effect<A, Failure>

const later = <A>(source: string, start: (done: (error: unknown, value: A) => void) => void): Later<A> =>
  Effect.callback((resume) =>
    start((error, value) => resume(error === null ? Effect.succeed(value) : Effect.fail(fromFailure(error, source))))
  )

const list: ProcReader["list"] = (path) =>
  Effect.acquireRelease(
    later<Fs.Dir>(path, (done) => Fs.opendir(path, { bufferSize: namesAtOnce }, done)),
    (directory) => Effect.promise(() => directory.close())
  ).pipe(Effect.map((directory) =>
    later<Fs.Dirent | null>(path, (done) => directory.read(done)).pipe(Effect.map((entry) => entry?.name))
  ))

const kindOf = (stats: Fs.Stats) => {
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
  targetLater: (path) => later(path, (done) => Fs.readlink(path, done)),
  kindLater: (descriptor) => later<Fs.Stats>("fstat", (done) => Fs.fstat(descriptor, done)).pipe(Effect.map(kindOf))
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
