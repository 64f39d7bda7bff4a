/**
 * Everything that the monitor asks of the operating system, in one record, so that a test can be any platform.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Fs from "node:fs"
import * as Process from "node:process"

/**
 * The system calls of the probes. Each is synchronous and throws what Node throws; the probes turn that into readings.
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
  /** The text of a small file, read from its start without moving the descriptor. */
  readonly text: (descriptor: number) => string
  /** How many entries a directory has. */
  readonly entries: (path: string) => number
  /** Resident memory in bytes. */
  readonly rss: () => number
  /** The soft limit of open descriptors as the runtime reports it, `undefined` where there is no such thing. */
  readonly reportedLimit: () => string | number | undefined
}

// One page holds the whole of /proc/self/limits and /proc/self/statm. The reads are synchronous, so one buffer serves all.
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

const nodeReader: ProcReader = {
  open: (path) => Fs.openSync(path, "r"),
  close: (descriptor) => Fs.closeSync(descriptor),
  size: (descriptor) => Fs.fstatSync(descriptor).size,
  text: (descriptor) => buffer.toString("latin1", 0, Fs.readSync(descriptor, buffer, 0, buffer.length, 0)),
  entries: (path) => Fs.readdirSync(path).length,
  rss: () => Process.memoryUsage.rss(),
  reportedLimit
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
