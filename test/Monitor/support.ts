/**
 * A scripted operating system: every platform of the monitor, and its failures, without that platform.
 */
import { Effect, Layer } from "effect"
import * as Reading from "../../src/Monitor/Reading.ts"
import { ProcReader } from "../../src/Monitor/readings/Procfs.ts"

export const errno = (code: string): Error & { readonly code: string } => Object.assign(new Error(code), { code })

const paths: ReadonlyArray<string> = ["/proc/self/fd", "/proc/self/limits", "/proc/self/statm"]

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
  /** Every other file that there is. At first none. */
  files: Record<string, string>
  /** Names in each directory, where they matter. */
  names: Record<string, ReadonlyArray<string> | string>
  /** What each symbolic link points to. */
  targets: Record<string, string>
  /** `st_nlink` of /proc/self/task. */
  links: number
  heap: { used: number; limit: number } | string
  loop: { active: number; idle: number }
  uptime: number
  environment: Record<string, string>
  platform: string
  pid: number
  /** What each descriptor is, where it can be asked. */
  kinds: Record<number, "socket" | "pipe" | "file" | "directory" | "device">
  /** How many descriptors can still be opened. */
  room: number
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
  closedPaths: {},
  files: {},
  names: {},
  targets: {},
  links: 9,
  heap: { used: 4_000_000, limit: 2_000_000_000 },
  loop: { active: 0, idle: 0 },
  uptime: 100,
  environment: {},
  platform: "linux",
  pid: 4242,
  kinds: {},
  room: Infinity
}

const orThrow = <A>(value: A | string): Exclude<A, string> => {
  if (typeof value === "string") throw errno(value)
  // What is not a string is the answer.
  return value as Exclude<A, string>
}

const isCode = (text: string): boolean => /^E[A-Z]+$/.test(text)

const textOf = (script: Script, path: string): string => {
  const code = script.closedPaths[path]
  if (code !== undefined) throw errno(code)
  const text = path === "/proc/self/limits"
    ? script.limits
    : path === "/proc/self/statm"
    ? script.statm
    : script.files[path] ?? "ENOENT"
  if (isCode(text)) throw errno(text)
  return text
}

const isThere = (script: Script, path: string): boolean =>
  path === "/proc/self/task" ? script.names[path] !== undefined : paths.includes(path) || path in script.files

export const system = (overrides: Partial<Script> = {}) => {
  const script: Script = { ...linux, ...overrides }
  const calls = { size: 0, entries: 0, opened: 0, closed: 0, rss: 0, text: 0, contents: 0, reported: 0, most: 0 }
  const open = new Map<number, string>()
  /** Opens for a moment, or for longer. */
  const need = (path: string, descriptor: number): void => {
    if (open.size >= script.room) throw errno("EMFILE")
    open.set(descriptor, path)
    calls.most = Math.max(calls.most, open.size)
  }
  const briefly = <A>(path: string, act: () => A): A => {
    need(path, -1)
    try {
      return act()
    } finally {
      open.delete(-1)
    }
  }
  const namesIn = (path: string): ReadonlyArray<string> => orThrow(script.names[path] ?? "ENOENT")
  const answer = <A>(source: string, act: () => A) =>
    Effect.suspend(() => {
      try {
        return Effect.succeed(act())
      } catch (cause) {
        return Effect.fail(Reading.fromFailure(cause, source))
      }
    })
  const reader: ProcReader = {
    open: (path) => {
      const code = script.closedPaths[path] ?? (isThere(script, path) ? undefined : "ENOENT")
      if (code !== undefined) throw errno(code)
      // The lowest number that is free, as the system gives it.
      let descriptor = 100
      while (open.has(descriptor)) descriptor++
      need(path, descriptor)
      calls.opened++
      return descriptor
    },
    close: (descriptor) => {
      calls.closed++
      if (!open.delete(descriptor)) throw errno("EBADF")
    },
    size: () => {
      calls.size++
      return orThrow(script.size)
    },
    links: () => script.links,
    text: (descriptor) => {
      calls.text++
      return textOf(script, open.get(descriptor) ?? "closed")
    },
    contents: (path) => {
      calls.contents++
      return briefly(path, () => textOf(script, path))
    },
    names: (path) => briefly(path, () => namesIn(path)),
    entries: (path) => {
      calls.entries++
      return briefly(path, () => orThrow(script.entries[path] ?? "ENOENT"))
    },
    target: (path) => script.targets[path] ?? orThrow("ENOENT"),
    rss: () => {
      calls.rss++
      return orThrow(script.rss)
    },
    heap: () => orThrow(script.heap),
    loop: () => script.loop,
    uptime: () => script.uptime,
    reportedLimit: () => {
      calls.reported++
      return script.reported
    },
    environment: (variable) => script.environment[variable],
    get platform() {
      return script.platform
    },
    get pid() {
      return script.pid
    },
    list: (path) =>
      Effect.acquireRelease(
        answer(path, () => {
          const names = Array.from(namesIn(path))
          need(path, -2)
          return names
        }),
        () => Effect.sync(() => void open.delete(-2))
      ).pipe(Effect.map((names) => Effect.sync(() => names.splice(0, 32)))),
    targetsLater: (paths) =>
      Effect.sync(() => paths.map((path) => script.targets[path] ?? Reading.fromFailure(errno("EINVAL"), path))),
    kindsLater: (descriptors) =>
      Effect.sync(() =>
        descriptors.map((descriptor) => script.kinds[descriptor] ?? Reading.fromFailure(errno("EBADF"), "fstat"))
      )
  }
  return { script, calls, reader, open, layer: Layer.succeed(ProcReader, reader) }
}

/** A system where /proc cannot be opened at all. */
export const withoutProc = (code: string): Record<string, string> =>
  Object.fromEntries(paths.map((path) => [path, code]))
