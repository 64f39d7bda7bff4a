/**
 * Node itself: signals that time out around its own functions, sockets, and `fetch`.
 */
import * as Dns from "node:dns/promises"
import { once } from "node:events"
import { EventEmitter } from "node:events"
import * as Http from "node:http"
import * as Net from "node:net"
import { PassThrough } from "node:stream"
import { pipeline } from "node:stream/promises"
import { setTimeout as later } from "node:timers/promises"
import * as Tls from "node:tls"
import { call, type Case, dial } from "./Peers.ts"
import * as Peers from "./Peers.ts"

const errorEvent = (emitter: EventEmitter): Promise<unknown> => new Promise((resolve) => emitter.once("error", resolve))

const connecting = async (port: number | Promise<number>, options: object = {}): Promise<unknown> => {
  const socket = Net.connect({ host: "127.0.0.1", port: await port, ...options })
  return Peers.closing(errorEvent(socket), () => socket.destroy())
}

const handshake = async (port: number | Promise<number>): Promise<unknown> => {
  const socket = Tls.connect({ host: "127.0.0.1", port: await port })
  return Peers.closing(errorEvent(socket), () => socket.destroy())
}

const asking = async (port: number | Promise<number>, options: Http.RequestOptions = {}): Promise<unknown> => {
  const request = Http.get({ host: "127.0.0.1", port: await port, agent: false, ...options })
  return Peers.closing(errorEvent(request), () => request.destroy())
}

const fetching = async (port: number | Promise<number>, options: RequestInit = {}): Promise<unknown> =>
  // oxlint-disable-next-line effecttsgo/global-fetch -- Node's own fetch is the point: it wraps the failure.
  Peers.errorOf(fetch(`http://127.0.0.1:${await port}/`, options))

const soon = () => ({ signal: AbortSignal.timeout(30) })
const never = { signal: AbortSignal.abort() }

/** A socket that hears nothing until the signal says that it is enough. */
const hearing = async (signal: AbortSignal): Promise<unknown> => {
  const socket = Net.connect(await Peers.silent, "127.0.0.1")
  return Peers.closing(Peers.errorOf(once(socket, "data", { signal })), () => socket.destroy())
}

export const cases: ReadonlyArray<Case> = [
  dial.Transient("a closed port", () => connecting(Peers.refusing)),
  dial.Transient("a name that is not known", () => connecting(1, { host: "no-such-host.invalid" })),
  dial.Transient("a name that c-ares does not know", () => Peers.errorOf(Dns.resolve4("no-such-host.invalid"))),
  dial.Transient("a Unix socket that is not there", () => connecting(1, { path: "/no/such/socket" })),
  dial.Transient("AbortSignal.timeout in net.connect", () => connecting(Peers.silent, soon())),
  dial.Transient("an end in the TLS handshake", () => handshake(Peers.endingLater)),
  dial.Fatal("TLS of a server without it", () => handshake(Peers.garbage)),
  dial.Fatal("a port that is none", () => Peers.thrownBy(() => Net.connect(70_000))),
  dial.Fatal("a signal that was aborted", () => connecting(Peers.silent, never)),
  call.Ambiguous("AbortSignal.timeout in net.connect", () => connecting(Peers.silent, soon())),
  call.Ambiguous("AbortSignal.timeout in http.get", () => asking(Peers.silent, soon())),
  call.Ambiguous("AbortSignal.timeout in events.once", () => hearing(AbortSignal.timeout(30))),
  call.Ambiguous("AbortSignal.timeout in timers", () => Peers.errorOf(later(5000, undefined, soon()))),
  call.Ambiguous(
    "AbortSignal.timeout in a pipeline",
    () => Peers.errorOf(pipeline(new PassThrough(), new PassThrough(), soon()))
  ),
  call.Ambiguous("AbortSignal.timeout in fetch", () => fetching(Peers.silent, soon())),
  call.Ambiguous(
    "AbortSignal.any of a timeout",
    () => hearing(AbortSignal.any([AbortSignal.timeout(30), new AbortController().signal]))
  ),
  call.Fatal("aborted, in events.once", () => hearing(AbortSignal.abort())),
  call.Fatal("aborted, in http.get", () => asking(Peers.silent, never)),
  call.Fatal("aborted, in fetch", () => fetching(Peers.silent, never)),
  call.Ambiguous("socket hang up", () => asking(Peers.endingLater)),
  call.Ambiguous("a reset under a request", () => asking(Peers.resetting)),
  call.Fatal("an answer that is no HTTP", () => asking(Peers.peer((socket) => void socket.end("what?\r\n\r\n")))),
  call.Unsent("fetch, a closed port", () => fetching(Peers.refusing)),
  call.Ambiguous("fetch, an end", () => fetching(Peers.endingLater)),
  call.Fatal("fetch, a port that no browser asks", () => fetching(1))
]
