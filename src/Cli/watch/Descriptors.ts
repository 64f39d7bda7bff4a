/**
 * The open descriptors of another process by kind, and the sockets among them.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import { addTo, mostFirst } from "../../internal/Counts.ts"
import * as Reading from "../../Monitor/Reading.ts"
import { kindOf } from "../../Monitor/readings/Descriptors.ts"
import { guarded } from "../../Monitor/readings/Procfs.ts"
import type { Failure, ProcReader } from "../../Monitor/readings/Procfs.ts"
import { countIn, listeningPortsOf, socketOf, tcpRowsOf } from "./ProcessFiles.ts"
import type { TcpRow } from "./ProcessFiles.ts"
import * as Sockets from "./Sockets.ts"

/**
 * The descriptors of a process.
 *
 * @category models
 * @since 0.1.0
 */
export interface Descriptors {
  readonly used: Reading.Reading
  /** How many there are of each kind, the most frequent first; `unreadable` for links that this user may not read. */
  readonly kinds: ReadonlyMap<string, number>
  /** `undefined` if they cannot be read. */
  readonly sockets: Sockets.Sockets | undefined
  /** TCP connections, or why they cannot be counted. */
  readonly connections: Reading.Reading
}

interface Links {
  readonly kinds: Map<string, number>
  readonly sockets: Set<number>
  count: number
  /** Why a link could not be read. This excludes links that no longer exist, which are not counted. */
  failure: Failure | undefined
}

const take = (links: Links, target: string | Failure): void => {
  if (typeof target === "string") {
    const socket = socketOf(target)
    if (socket !== undefined) links.sockets.add(socket)
    links.count += 1
    return addTo(links.kinds, kindOf(target))
  }
  if (target._tag === "Unknown" && target.reason === "Missing") return
  links.count += 1
  links.failure ??= target
  addTo(links.kinds, "unreadable")
}

const linksIn = (reader: ProcReader, directory: string): Effect.Effect<Links, Failure> =>
  Effect.scoped(Effect.gen(function*() {
    const links: Links = { kinds: new Map(), sockets: new Set(), count: 0, failure: undefined }
    const next = yield* reader.list(directory)
    while (true) {
      const names = yield* next
      if (names.length === 0) return links
      const targets = yield* reader.targetsLater(names.map((name) => `${directory}/${name}`))
      targets.forEach((target) => take(links, target))
    }
  }))

// A kernel without IPv6 has no tables for it.
const tableOf = (reader: ProcReader, path: string): string => {
  try {
    return reader.contents(path)
  } catch (cause) {
    if (Reading.fromFailure(cause, path)._tag === "Saturated") throw cause
    return ""
  }
}

/** The TCP sockets that were found, by number, and the ports on which any process listens. */
interface Found {
  readonly rows: Map<number, TcpRow>
  readonly listening: Set<number>
}

const findTcp = (reader: ProcReader, net: string, inodes: ReadonlySet<number>, { listening, rows }: Found): void => {
  for (const table of [reader.contents(`${net}/tcp`), tableOf(reader, `${net}/tcp6`)]) {
    for (const row of tcpRowsOf(table, inodes)) rows.set(row.inode, row)
    for (const port of listeningPortsOf(table)) listening.add(port)
  }
}

const socketsOf = (reader: ProcReader, net: string, inodes: ReadonlySet<number>): Sockets.Sockets => {
  const total = inodes.size
  const found: Found = { rows: new Map(), listening: new Set() }
  const { listening, rows } = found
  if (total > 0) findTcp(reader, net, inodes, found)
  const count = (kind: "udp" | "unix", ...names: ReadonlyArray<string>): number =>
    rows.size === total
      ? 0
      : names.reduce((sum, name) => sum + countIn(tableOf(reader, `${net}/${name}`), kind, inodes), 0)
  const [udp, unix] = [count("udp", "udp", "udp6"), count("unix", "unix")]
  // A table that changes while it is read may lack a line; the second reading finds it.
  if (rows.size + udp + unix < total) findTcp(reader, net, inodes, found)
  return Sockets.make({ rows: Array.from(rows.values()), listening, udp, unix, total })
}

const together = (reader: ProcReader, directory: string, links: Links, at: number): Descriptors => {
  const source = `${directory}/net/tcp`
  const { count, failure, kinds } = links
  let sockets: Sockets.Sockets | undefined
  const connections = guarded(source, () => {
    // If a link could not be read, it may be a socket.
    if (failure !== undefined) return failure
    sockets = socketsOf(reader, `${directory}/net`, links.sockets)
    return Reading.known(sockets.connections, at, source)
  })
  return { used: Reading.known(count, at, `${directory}/fd`), kinds: mostFirst(kinds), sockets, connections }
}

const none = (failure: Failure): Descriptors => ({
  used: failure,
  kinds: new Map(),
  sockets: undefined,
  connections: failure
})

/**
 * Reads every descriptor of the process with this directory of `/proc`. The links are read a few at a time and off the
 * event loop; the tables of sockets, which cover the whole network namespace, are read at once.
 *
 * @category constructors
 * @since 0.1.0
 */
export const look = (reader: ProcReader, directory: string, at: number): Effect.Effect<Descriptors> =>
  linksIn(reader, `${directory}/fd`).pipe(
    Effect.map((links) => together(reader, directory, links, at)),
    Effect.catch((failure) => Effect.succeed(none(failure)))
  )
