/**
 * A scripted operating system: every platform of the monitor, and its failures, without that platform.
 */
import { Layer } from "effect"
import { ProcReader } from "../../src/Monitor/ProcReader.ts"

export const errno = (code: string): Error & { readonly code: string } => Object.assign(new Error(code), { code })

const paths = ["/proc/self/fd", "/proc/self/limits", "/proc/self/statm"] as const

/** What the scripted system answers. A code such as `EMFILE` is thrown. */
export interface Script {
  /** `st_size` of /proc/self/fd. */
  size: number | string
  /** Entries of each directory that can be listed. */
  entries: Record<string, number | string>
  limits: string
  statm: string
  rss: number | string
  reported: string | number | undefined
  /** Paths that cannot be opened, with the code. */
  closedPaths: Record<string, string>
}

export const limitsText = (soft: string): string =>
  "Limit                     Soft Limit           Hard Limit           Units     \n" +
  "Max processes             unlimited            unlimited            processes \n" +
  `Max open files            ${soft.padEnd(20)} 524288               files     \n`

const linux: Script = {
  size: 30,
  entries: {},
  limits: limitsText("1024"),
  statm: "90000 5000 3000 1 0 200 0",
  rss: 5000 * 4096,
  reported: 1024,
  closedPaths: {}
}

const orThrow = <A>(value: A | string): Exclude<A, string> => {
  if (typeof value === "string") throw errno(value)
  // What is not a string is the answer.
  return value as Exclude<A, string>
}

export const system = (overrides: Partial<Script> = {}) => {
  const script: Script = { ...linux, ...overrides }
  const calls = { size: 0, entries: 0, opened: 0, closed: 0, rss: 0, text: 0, reported: 0 }
  const reader: ProcReader = {
    open: (path) => {
      const code = script.closedPaths[path]
      if (code !== undefined) throw errno(code)
      calls.opened++
      return 100 + paths.findIndex((known) => known === path)
    },
    close: () => void calls.closed++,
    size: () => {
      calls.size++
      return orThrow(script.size)
    },
    text: (descriptor) => {
      calls.text++
      const text = descriptor === 101 ? script.limits : script.statm
      if (/^E[A-Z]+$/.test(text)) throw errno(text)
      return text
    },
    entries: (path) => {
      calls.entries++
      return orThrow(script.entries[path] ?? "ENOENT")
    },
    rss: () => {
      calls.rss++
      return orThrow(script.rss)
    },
    reportedLimit: () => {
      calls.reported++
      return script.reported
    }
  }
  return { script, calls, reader, layer: Layer.succeed(ProcReader, reader) }
}

/** A system where /proc cannot be opened at all. */
export const withoutProc = (code: string): Record<string, string> =>
  Object.fromEntries(paths.map((path) => [path, code]))
