/**
 * Parses the kernel's files about another process. All functions are pure.
 *
 * @since 0.1.0
 */
import * as Net from "node:net"

/**
 * The states of a TCP socket in the order of the kernel's numbers for them, which begin at 1.
 *
 * @category constants
 * @since 0.1.0
 */
export const states = [
  "ESTABLISHED",
  "SYN_SENT",
  "SYN_RECV",
  "FIN_WAIT1",
  "FIN_WAIT2",
  "TIME_WAIT",
  "CLOSE",
  "CLOSE_WAIT",
  "LAST_ACK",
  "LISTEN",
  "CLOSING",
  "NEW_SYN_RECV"
] as const

/**
 * The state of a TCP socket.
 *
 * @category models
 * @since 0.1.0
 */
export type State = typeof states[number]

/**
 * One end of a connection.
 *
 * @category models
 * @since 0.1.0
 */
export interface Address {
  readonly host: string
  readonly port: number
}

/**
 * One TCP socket.
 *
 * @category models
 * @since 0.1.0
 */
export interface TcpRow {
  readonly local: Address
  readonly remote: Address
  readonly state: State
  /** The number in the link of a descriptor of this socket; 0 if no process has the socket open any more. */
  readonly inode: number
}

/** Whether the lowest byte of a number comes first in memory. The kernel prints addresses in the byte order of the machine. */
const isLittleEndian = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1

const wordsIn = /[0-9A-F]{8}/g

const isMapped = (bytes: Uint8Array): boolean =>
  bytes.length === 16 && bytes[10] === 255 && bytes[11] === 255 && bytes.subarray(0, 10).every((byte) => byte === 0)

const hostOf = (hex: string): string => {
  const bytes = Buffer.concat((hex.match(wordsIn) ?? []).map((word) => {
    const number = Buffer.from(word, "hex")
    return isLittleEndian ? number.reverse() : number
  }))
  // An IPv4 peer of an IPv6 socket has a mapped address, which is shown as IPv4.
  const short = isMapped(bytes) ? bytes.subarray(12) : bytes
  if (short.length === 4) return short.join(".")
  const address = (hex: string) => hex.replace(/(.{4})(?!$)/g, "$1:")
  return new Net.SocketAddress({ family: "ipv6", address: address(short.toString("hex")) }).address
}

const addressPattern = /^([0-9A-F]{8}|[0-9A-F]{32}):([0-9A-F]{4})$/

/**
 * Parses an address from the hexadecimal digits in a table of sockets.
 *
 * @category parsing
 * @since 0.1.0
 */
export const addressOf = (text: string): Address | undefined => {
  const [, host, port] = addressPattern.exec(text) ?? []
  return host === undefined || port === undefined
    ? undefined
    : { host: hostOf(host), port: Number.parseInt(port, 16) }
}

const stateOf = (hex: string): State | undefined => states[Number.parseInt(hex, 16) - 1]

const fieldsOf = (line: string): ReadonlyArray<string> => line.trim().split(/\s+/)

/** The lines of a table without its head. */
const linesOf = (text: string): ReadonlyArray<string> => text.split("\n").slice(1)

/**
 * The lines of `/proc/N/net/tcp` or `tcp6` for these sockets. A malformed line is skipped. If the table changes while it is
 * read, a socket may occur twice or be missing.
 *
 * @category parsing
 * @since 0.1.0
 */
export const tcpRowsOf = (text: string, inodes: ReadonlySet<number>): ReadonlyArray<TcpRow> =>
  linesOf(text).flatMap((line) => {
    const fields = fieldsOf(line)
    const inode = Number(fields[9])
    if (!inodes.has(inode)) return []
    const [local, remote] = [addressOf(fields[1] ?? ""), addressOf(fields[2] ?? "")]
    const state = stateOf(fields[3] ?? "")
    return local === undefined || remote === undefined || state === undefined ? [] : [{ local, remote, state, inode }]
  })

/**
 * The ports on which any process listens, from `/proc/N/net/tcp` or `tcp6`.
 *
 * @category parsing
 * @since 0.1.0
 */
export const listeningPortsOf = (text: string): ReadonlyArray<number> =>
  linesOf(text).flatMap((line) => {
    const port = /^\s*\d+: [0-9A-F]+:([0-9A-F]{4}) [0-9A-F]+:0000 0A /.exec(line)?.[1]
    return port === undefined ? [] : [Number.parseInt(port, 16)]
  })

/** The column with the number of the socket, in each table. */
const inodeColumns = { udp: 9, unix: 6 } as const

/**
 * How many of these sockets are in a table of another kind. If the table changes while it is read, a socket may occur twice, so
 * each is counted once.
 *
 * @category parsing
 * @since 0.1.0
 */
export const countIn = (text: string, kind: "udp" | "unix", inodes: ReadonlySet<number>): number =>
  new Set(linesOf(text).map((line) => Number(fieldsOf(line)[inodeColumns[kind]])).filter((inode) => inodes.has(inode)))
    .size

/**
 * The number of the socket that a descriptor's link points to, `undefined` for other descriptors.
 *
 * @category parsing
 * @since 0.1.0
 */
export const socketOf = (target: string): number | undefined => {
  const digits = /^socket:\[(\d+)\]$/.exec(target)?.[1]
  return digits === undefined ? undefined : Number(digits)
}

/**
 * The value of a field of `/proc/N/status`.
 *
 * @category parsing
 * @since 0.1.0
 */
export const statusOf = (text: string, name: "Tgid" | "NSpid" | "VmRSS"): string | undefined =>
  text.split("\n").find((line) => line.startsWith(`${name}:`))?.slice(name.length + 1).trim()

/**
 * The resident memory in bytes that `/proc/N/status` gives in KiB.
 *
 * @category parsing
 * @since 0.1.0
 */
export const residentOf = (text: string): number | undefined => {
  const kibibytes = /^(\d+) kB$/.exec(statusOf(text, "VmRSS") ?? "")?.[1]
  return kibibytes === undefined ? undefined : Number(kibibytes) * 1024
}

/** The kernel's `PF_EXITING`. */
const endingFlag = 4

/**
 * Whether a thread is ending, from its `stat` file. An ending thread has no memory and no descriptors.
 *
 * @category parsing
 * @since 0.1.0
 */
export const isEnding = (stat: string): boolean => {
  const flags = Number(stat.slice(stat.lastIndexOf(") ") + 2).split(" ")[6])
  return (flags & endingFlag) !== 0
}

/**
 * The name of the program in `/proc/N/cmdline`, without its folder and its arguments; empty if there is none.
 *
 * @category parsing
 * @since 0.1.0
 */
export const programOf = (text: string): string => {
  const first = text.split("\0")[0] ?? ""
  // A process that has set its own title may have any text here.
  return first.includes(" ") ? first : first.slice(first.lastIndexOf("/") + 1)
}
