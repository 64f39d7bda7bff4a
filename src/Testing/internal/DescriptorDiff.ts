/**
 * Finds the descriptors that a process has opened since a first listing, without those that the runtime keeps open.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as DiagnosticsChannel from "node:diagnostics_channel"
import * as Fs from "node:fs"
import * as Http from "node:http"
import * as Https from "node:https"
import type * as Net from "node:net"
import { countsOf } from "../../internal/Counts.ts"
import { InvalidOption } from "../../internal/InvalidOption.ts"
import { quietly } from "../../internal/SafeRead.ts"
import { startTimer } from "../../internal/Timer.ts"
import { LeftOpen } from "../../Monitor/Leak.ts"

/**
 * The target of each open descriptor, as in `/proc/self/fd`: `socket:[inode]`, `pipe:[inode]`, `anon_inode:name`, or a path.
 */
export type Listing = ReadonlyArray<string>

/** The ports of one TCP connection, seen from one of its sides. */
export interface Ends {
  readonly localPort: number
  readonly remotePort: number
}

/** A similar text for systems without such links, such as macOS. */
const fromStat = (descriptor: number): string | undefined => {
  const stat = quietly(() => Fs.fstatSync(descriptor))
  if (stat === undefined) return undefined
  if (stat.isSocket()) return `socket:[${stat.ino}]`
  if (stat.isFIFO()) return `pipe:[${stat.ino}]`
  return `file ${stat.dev}:${stat.ino}`
}

const listIn = (directory: string): Listing | undefined =>
  quietly(() => Fs.readdirSync(directory))
    ?.map((name) => quietly(() => Fs.readlinkSync(`${directory}/${name}`)) ?? fromStat(Number(name)))
    // The descriptor of the listing itself, which is closed by now.
    .filter((target) => target !== undefined && !/^\/(?:proc\/\d+|dev)\/fd$/.test(target))
    .filter((target) => target !== undefined)

const list = (): Listing | undefined => listIn("/proc/self/fd") ?? listIn("/dev/fd")

/**
 * The ports of TCP sockets by inode, from the text of `/proc/net/tcp` or `tcp6`.
 *
 * Each line contains `address:PORT address:PORT` in hexadecimal and, as the tenth word, the inode.
 */
export const portsByInode = (text: string): ReadonlyMap<string, Ends> =>
  new Map(
    text.split("\n").slice(1).flatMap((line): Array<[string, Ends]> => {
      const [, local, remote, , , , , , , inode] = line.trim().split(/\s+/)
      const [localPort, remotePort] = [local, remote].map((end) => Number.parseInt(end?.split(":")[1] ?? "", 16))
      return inode === undefined || localPort === undefined || remotePort === undefined
        ? []
        : [[inode, { localPort, remotePort }]]
    })
  )

const inodeOf = (target: string): string | undefined => /^socket:\[(\d+)\]$/.exec(target)?.[1]

/** The sockets of the process at the time of a comparison. */
export interface ProcessSockets {
  readonly ports: ReadonlyMap<string, Ends>
  /** Connections that the runtime keeps alive for later requests. */
  readonly kept: ReadonlyArray<Ends>
}

const isKept = ({ kept, ports }: ProcessSockets, target: string): boolean => {
  const inode = inodeOf(target)
  const ends = inode === undefined ? undefined : ports.get(inode)
  if (ends === undefined) return false
  return kept.some(({ localPort, remotePort }) =>
    (ends.localPort === localPort && ends.remotePort === remotePort) ||
    // The other side of the connection, if the server is in this process too.
    (ends.localPort === remotePort && ends.remotePort === localPort)
  )
}

/**
 * The descriptors of the second listing that are not in the first, without those that the runtime opens on first use and
 * never closes: those of its event loops (`anon_inode:...`, and pipes with both ends in this process), and the `/dev/null`
 * of the first child process.
 */
export const added = (before: Listing, after: Listing, sockets: ProcessSockets): ReadonlyArray<string> => {
  const had = countsOf(before)
  const has = countsOf(after)
  return [...has].flatMap(([target, count]) => {
    const isOwnPipe = target.startsWith("pipe:") && count > 1
    if (target.startsWith("anon_inode:") || isOwnPipe || isKept(sockets, target)) return []
    const allowed = (had.get(target) ?? 0) + (target === "/dev/null" ? 1 : 0)
    return Array.from({ length: Math.max(count - allowed, 0) }, () => target)
  })
}

const readPorts = (): ReadonlyMap<string, Ends> =>
  new Map(
    ["/proc/net/tcp", "/proc/net/tcp6"].flatMap((path) => [
      ...portsByInode(quietly(() => Fs.readFileSync(path, "utf8")) ?? "")
    ])
  )

const endsOf = ({ localPort, remotePort }: Net.Socket): ReadonlyArray<Ends> =>
  localPort === undefined || remotePort === undefined ? [] : [{ localPort, remotePort }]

/** Idle sockets of the default agents of `http` and `https`. */
const keptByAgents = (): ReadonlyArray<Ends> =>
  [Http.globalAgent, Https.globalAgent].flatMap((agent) =>
    Object.values(agent.freeSockets).flatMap((sockets) => sockets ?? []).flatMap(endsOf)
  )

/** The first line of a stack that is not in Node's code or in this file. */
const callerIn = (stack: string | undefined): string | undefined =>
  stack?.split("\n").slice(1)
    .find((line) => !/\(?node:/.test(line) && !line.includes(import.meta.url) && !line.includes(import.meta.filename))
    ?.trim().replace(/^at /, "")

interface Client {
  readonly socket: WeakRef<Net.Socket>
  readonly site: string | undefined
}

/** Records client sockets and their call sites, and which of them belong to `fetch`, while it listens. */
class Clients {
  readonly #all: Array<Client> = []
  readonly #kept: Array<WeakRef<Net.Socket>> = []
  // Node publishes both messages in these shapes; messages of a channel have no types.
  readonly #onSocket = (message: unknown): void => {
    const { socket } = message as { readonly socket: Net.Socket }
    this.#all.push({ socket: new WeakRef(socket), site: callerIn(new Error().stack) })
  }
  readonly #onFetch = (message: unknown): void => {
    const { socket } = message as { readonly socket: Net.Socket }
    this.#kept.push(new WeakRef(socket))
  }

  listen(): void {
    DiagnosticsChannel.subscribe("net.client.socket", this.#onSocket)
    DiagnosticsChannel.subscribe("undici:client:connected", this.#onFetch)
  }

  stop(): void {
    DiagnosticsChannel.unsubscribe("net.client.socket", this.#onSocket)
    DiagnosticsChannel.unsubscribe("undici:client:connected", this.#onFetch)
  }

  kept(): ReadonlyArray<Ends> {
    return this.#kept.flatMap((socket) => socket.deref() ?? []).flatMap(endsOf)
  }

  siteOf(ends: Ends | undefined): string | undefined {
    if (ends === undefined) return undefined
    return this.#all.find(({ socket }) => {
      const known = socket.deref()
      return known?.localPort === ends.localPort && known.remotePort === ends.remotePort
    })?.site
  }
}

const labelOf = (target: string, ends: Ends | undefined): string =>
  ends === undefined
    ? target
    : ends.remotePort === 0
    ? `socket that listens on port ${ends.localPort}`
    : `socket from port ${ends.localPort} to port ${ends.remotePort}`

/** How often to check whether the remaining descriptors are closed, in milliseconds. */
const pause = 10

/** A listing of the descriptors, to be compared with a later one. */
export interface Comparison {
  /** Waits until everything that was opened since is closed, at most `within` milliseconds, and returns what is still open. */
  readonly settle: (within: number) => Effect.Effect<ReadonlyArray<LeftOpen>>
}

const realPause: Effect.Effect<void> = Effect.callback((resume) => {
  const timer = startTimer(() => resume(Effect.void), pause)
  return Effect.sync(() => clearTimeout(timer))
})

/** Lists the descriptors now, and listens for client sockets until the comparison. */
export const compare = (read: () => Listing | undefined = list): Comparison => {
  const before = read()
  if (before === undefined) {
    const rule = "be left out if neither /proc/self/fd nor /dev/fd can be listed"
    throw new InvalidOption({ module: "LeakCheck", option: "descriptors", value: true, rule })
  }
  const clients = new Clients()
  clients.listen()
  const look = (): ReadonlyArray<LeftOpen> => {
    const after = read() ?? []
    // Reading the kernel's table of sockets takes milliseconds, and most tests leave nothing open.
    if (added(before, after, { ports: new Map(), kept: [] }).length === 0) return []
    const sockets = { ports: readPorts(), kept: [...clients.kept(), ...keptByAgents()] }
    return added(before, after, sockets).map((target) => {
      const ends = sockets.ports.get(inodeOf(target) ?? "")
      const site = clients.siteOf(ends)
      return new LeftOpen({
        kind: "Descriptor",
        label: labelOf(target, ends),
        site,
        span: undefined,
        age: Duration.zero
      })
    })
  }
  const settle = (rounds: number): Effect.Effect<ReadonlyArray<LeftOpen>> =>
    Effect.suspend(() => {
      const left = look()
      return left.length === 0 || rounds <= 0 ? Effect.succeed(left) : Effect.andThen(realPause, settle(rounds - 1))
    })
  return {
    settle: (within) => Effect.ensuring(settle(Math.ceil(within / pause)), Effect.sync(() => clients.stop()))
  }
}
