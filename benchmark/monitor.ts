/**
 * What the monitor itself costs: none, a whole one far from a limit, and a sampler near to one, each in a process of its own.
 */
import { execFile } from "node:child_process"
import { promisify } from "node:util"
import type { Table } from "./report.ts"

/** What one process found. */
export interface MonitorFigures {
  /** Of one core, as the kernel counts it for the whole process, and as the sampler counts it for itself. */
  readonly share: number
  readonly ownShare: number
  readonly ticks: number
  /** In milliseconds. */
  readonly worstTick: number
  /**
   * Of the heap and beside it, that were not there before: the monitor's data, and its code as far as it was compiled, with
   * everything of Node and of Effect that nobody had run before it. The modules were loaded before.
   */
  readonly bytes: number
  /** Of these, machine code and byte code. */
  readonly codeBytes: number
  /** The same for each further one in the same process. */
  readonly furtherBytes: number
  /** Child processes that were started. */
  readonly processes: number
  /** The look at all descriptors: how long it took, and for how long at most it held up the loop, in ms. */
  readonly deep: { readonly took: number; readonly longest: number } | undefined
}

const run = promisify(execFile)

const child = new URL("monitor-child.ts", import.meta.url).pathname

const few = 50
const many = 10_000

const contestants = [
  ["none", "none", many],
  ["monitor, far from a limit", "far", few],
  ["monitor, far from a limit", "far", many],
  ["its sampler, near a limit", "near", many]
] as const

const percent = (share: number): string => (share * 100).toFixed(4)

/** Each of them samples for this long. */
export const monitor = async (seconds: number): Promise<Table> => {
  const found: Array<readonly [string, number, MonitorFigures]> = []
  for (const [name, mode, descriptors] of contestants) {
    const { stdout } = await run(process.execPath, ["--expose-gc", child, mode, String(descriptors), String(seconds)])
    // The child prints exactly this.
    found.push([name, descriptors, JSON.parse(stdout) as MonitorFigures])
  }
  const idle = found[0]?.[2].share ?? Number.NaN
  const far = found.find(([name, descriptors]) => name === "monitor, far from a limit" && descriptors === many)?.[2]
  const own = far ?? found[0]?.[2]
  const targets = own === undefined ? [] : [
    { what: "% of a core, above that of none", ratio: (own.share - idle) * 100, atMost: 0.1 },
    { what: "KB of memory, the code that is compiled at the first use included", ratio: own.bytes / 1000, atMost: 300 },
    { what: "longest tick in ms", ratio: own.worstTick, atMost: 5 },
    { what: "child processes", ratio: own.processes, atMost: 0 },
    { what: "ms for which a deep look holds up the loop", ratio: own.deep?.longest ?? Number.NaN, atMost: 2 }
  ]
  return {
    title: `The monitor for ${seconds} s`,
    columns: [
      "monitor",
      "open descriptors",
      "% of a core, whole process",
      "% of a core, by its own account",
      "ticks",
      "longest tick (ms)",
      "memory in all / instructions and byte code of that / a further monitor (KB)",
      "child processes",
      "deep look: took / held up the loop for at most (ms)"
    ],
    rows: found.map(([name, descriptors, figures]) => [
      name,
      String(descriptors),
      percent(figures.share),
      percent(figures.ownShare),
      String(figures.ticks),
      figures.worstTick.toFixed(2),
      [figures.bytes, figures.codeBytes, figures.furtherBytes].map((bytes) => (bytes / 1000).toFixed(0)).join(" / "),
      String(figures.processes),
      figures.deep === undefined ? "" : `${figures.deep.took.toFixed(0)} / ${figures.deep.longest.toFixed(1)}`
    ]),
    targets
  }
}
