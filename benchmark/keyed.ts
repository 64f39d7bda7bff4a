/**
 * What many endpoints cost: each way to keep connections by key in a process of its own.
 */
import { execFile } from "node:child_process"
import { promisify } from "node:util"
import { ways } from "./peers/keyed.ts"
import type { Table, Target } from "./report.ts"

/** What one process found. Times are milliseconds, but look-ups nanoseconds, at 1, 1000 and all endpoints. */
export interface KeyedFigures {
  readonly lookUp: readonly [number, number, number]
  /** With one idle connection in it. */
  readonly bytesPerEndpoint: number
  /** Of each further idle connection of an endpoint. */
  readonly bytesPerConnection: number
  readonly openAll: number
  readonly closeAll: number
  readonly idleCpu: number
  readonly idleGap: number
}

const run = promisify(execFile)

const child = new URL("keyed-child.ts", import.meta.url).pathname

const figuresOf = async (way: string, endpoints: number, idleSeconds: number): Promise<KeyedFigures> => {
  const { stdout } = await run(process.execPath, [
    "--expose-gc",
    "--max-old-space-size=8192",
    child,
    way,
    String(endpoints),
    String(idleSeconds)
  ])
  // The child prints exactly this.
  return JSON.parse(stdout) as KeyedFigures
}

const ours = "effect-sluice"

const targetsOf = (figures: ReadonlyMap<string, KeyedFigures>): ReadonlyArray<Target> => {
  const pairs = [
    ["CPU while all endpoints idle", "bare Map", 2, (each: KeyedFigures) => each.idleCpu],
    ["longest gap while all endpoints idle", "bare Map", 2, (each: KeyedFigures) => each.idleGap],
    ["bytes per endpoint", "RcMap of Pool.make", 0.5, (each: KeyedFigures) => each.bytesPerEndpoint],
    ["bytes per further connection", "RcMap of Pool.make", 0.5, (each: KeyedFigures) => each.bytesPerConnection],
    ["look-up among all endpoints", "RcMap of Pool.make", 1, (each: KeyedFigures) => each.lookUp[2]],
    ["closing all endpoints", "RcMap of Pool.make", 1, (each: KeyedFigures) => each.closeAll]
  ] as const
  const own = figures.get(ours)
  return pairs.flatMap(([what, name, atMost, of]) => {
    const other = figures.get(name)
    if (own === undefined || other === undefined) return []
    return [{ what: `${what}, ours to ${name}`, ratio: of(own) / of(other), atMost }]
  })
}

const rowOf = ([name, figures]: readonly [string, KeyedFigures]): ReadonlyArray<string> => [
  name,
  figures.lookUp.map((nanos) => nanos.toFixed(0)).join(" / "),
  figures.bytesPerEndpoint.toFixed(0),
  figures.bytesPerConnection.toFixed(0),
  figures.openAll.toFixed(0),
  figures.closeAll.toFixed(0),
  figures.idleCpu.toFixed(0),
  figures.idleGap.toFixed(1)
]

/** One idle connection for each endpoint. */
export const keyed = async (endpoints: number, idleSeconds: number): Promise<Table> => {
  const figures = new Map<string, KeyedFigures>()
  for (const way of Object.keys(ways)) figures.set(way, await figuresOf(way, endpoints, idleSeconds))
  return {
    title: `${endpoints} endpoints with one idle connection each`,
    columns: [
      "kept in",
      `look-up and use at 1 / 1000 / ${endpoints} (ns)`,
      "bytes per endpoint",
      "bytes per further connection",
      "open all (ms)",
      "close all (ms)",
      `CPU in ${idleSeconds} s idle (ms)`,
      "longest gap (ms)"
    ],
    rows: [...figures].map(rowOf),
    targets: targetsOf(figures)
  }
}
