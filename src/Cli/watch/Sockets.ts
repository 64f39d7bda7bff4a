/**
 * The sockets of a process: their kinds, states and peers.
 *
 * @since 0.1.0
 */
import { countsOf, mostFirst } from "../../internal/Counts.ts"
import type { State, TcpRow } from "./ProcessFiles.ts"

/**
 * The connections that a process has with one peer.
 *
 * @category models
 * @since 0.1.0
 */
export interface Peer {
  /** `to`: the process connected to the peer. `from`: the peer connected to the process. */
  readonly direction: "to" | "from"
  /** The peer, with its port for `to` and without for `from`. */
  readonly address: string
  /** The local port for `from`; `undefined` for `to`. */
  readonly port: number | undefined
  readonly count: number
  readonly states: ReadonlyMap<State, number>
}

/**
 * The sockets of a process.
 *
 * @category models
 * @since 0.1.0
 */
export interface Sockets {
  readonly tcp: ReadonlyMap<State, number>
  readonly udp: number
  readonly unix: number
  /**
   * Sockets that are in no table: those of other kinds and of other network namespaces, and those that are not bound yet or
   * were closed meanwhile.
   */
  readonly other: number
  /** The addresses on which the process listens, without duplicates. */
  readonly listening: ReadonlyArray<string>
  /** Those with the most connections first. */
  readonly peers: ReadonlyArray<Peer>
  /** All TCP sockets that do not listen. */
  readonly connections: number
}

const showAddress = (host: string, port: number): string => host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`

const counted = <A>(all: ReadonlyArray<A>): ReadonlyMap<A, number> => mostFirst(countsOf(all))

type Side = Pick<Peer, "direction" | "address" | "port">

const sideOf = ({ local, remote }: TcpRow, listening: ReadonlySet<number>): Side =>
  listening.has(local.port)
    ? { direction: "from", address: remote.host, port: local.port }
    : { direction: "to", address: showAddress(remote.host, remote.port), port: undefined }

const peersOf = (rows: ReadonlyArray<TcpRow>, listening: ReadonlySet<number>): ReadonlyArray<Peer> => {
  const peers = new Map<string, { readonly side: Side; readonly states: Array<State> }>()
  for (const row of rows) {
    const side = sideOf(row, listening)
    const key = `${side.direction} ${side.address} ${side.port}`
    const peer = peers.get(key)
    if (peer === undefined) peers.set(key, { side, states: [row.state] })
    else peer.states.push(row.state)
  }
  return Array.from(peers.values(), ({ side, states }) => ({ ...side, count: states.length, states: counted(states) }))
    .toSorted((left, right) => right.count - left.count || (left.address < right.address ? -1 : 1))
}

/**
 * Builds the record. `listening` are the ports on which any process of the network namespace listens. A connection at one of
 * these ports was opened by its peer.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (facts: {
  readonly rows: ReadonlyArray<TcpRow>
  readonly listening: ReadonlySet<number>
  readonly udp: number
  readonly unix: number
  readonly total: number
}): Sockets => {
  const { listening, rows, total, udp, unix } = facts
  const isListener = ({ state }: TcpRow): boolean => state === "LISTEN"
  const connections = rows.filter((row) => !isListener(row))
  const places = rows.filter(isListener).map(({ local }) => showAddress(local.host, local.port))
  return {
    tcp: counted(rows.map(({ state }) => state)),
    udp,
    unix,
    other: Math.max(total - rows.length - udp - unix, 0),
    listening: Array.from(new Set(places)).toSorted(),
    peers: peersOf(connections, listening),
    connections: connections.length
  }
}
