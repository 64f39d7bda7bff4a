/**
 * NATS' clients, nats and @nats-io/transport-node, against its server and against peers that speak its protocol.
 */
import * as V3 from "@nats-io/transport-node"
import * as V2 from "nats"
import type * as Net from "node:net"
import { call, type Case, dial } from "./Peers.ts"
import * as Peers from "./Peers.ts"

export const need: Peers.Need = { name: "NATS", port: 4222 }

const info = `INFO ${
  JSON.stringify({ server_id: "x", version: "2.10.0", max_payload: 1000, proto: 1, headers: true })
}\r\n`

/** A server that greets, and answers the client's first words so. */
const refusal = (text: string) =>
  Peers.peer((socket) => {
    socket.write(info)
    socket.once("data", () => socket.end(`-ERR '${text}'\r\n`))
  })

/** A server that accepts the login, and does this with what the client says later. */
const then = (f: (socket: Net.Socket) => void) =>
  Peers.peer((socket) => {
    socket.write(info)
    socket.on("data", (data) => {
      const text = data.toString()
      if (text.includes("PING")) socket.write("PONG\r\n")
      else if (!text.startsWith("CONNECT")) f(socket)
    })
  })

interface Connection {
  readonly close: () => Promise<void>
  readonly drain: () => Promise<void>
  readonly publish: (subject: string, data?: Uint8Array) => void
  readonly request: (subject: string, data: Uint8Array, options: { readonly timeout: number }) => Promise<unknown>
}

interface Client {
  readonly connect: (options: object) => Promise<Connection>
}

/** The lines of one of the two clients; they have the same methods and other errors. */
const linesOf = ({ connect }: Client) => {
  const open = async (port: number | Promise<number>, options: object = {}) =>
    connect({ servers: `127.0.0.1:${await port}`, reconnect: false, timeout: 20_000, ...options })
  const connecting = (port: number | Promise<number>, options?: object): Promise<unknown> =>
    Peers.errorOf(open(port, options).then((connection) => connection.close()))
  const using = async (f: (connection: Connection) => Promise<unknown>, port: number | Promise<number> = need.port) => {
    const connection = await open(port)
    return Peers.closing(Peers.errorOf(f(connection)), () => connection.close())
  }
  const ask = (subject: string, timeout = 20_000) => (connection: Connection) =>
    connection.request(subject, new Uint8Array(), { timeout })

  const cases: ReadonlyArray<Case> = [
    dial.Transient("a closed port", () => connecting(Peers.refusing)),
    dial.Transient("silence, timeout", () => connecting(Peers.silent, { timeout: 30 })),
    dial.Transient("an end at once", () => connecting(Peers.ending)),
    dial.Transient(
      "a reset",
      () => connecting(Peers.peer((socket) => void socket.write(info, () => socket.resetAndDestroy())))
    ),
    dial.Transient("another protocol", () => connecting(Peers.garbage)),
    dial.Fatal("a login that is refused", () => connecting(refusal("Authorization Violation"))),
    dial.Fatal("a login that has expired", () => connecting(refusal("User Authentication Expired"))),
    dial.Transient("a login that took too long", () => connecting(refusal("Authentication Timeout"))),
    dial.RemoteSaturated("too many connections", () => connecting(refusal("maximum connections exceeded"))),
    dial.Fatal("options that contradict each other", () => connecting(Peers.silent, { port: 1 })),
    call.Ambiguous("no answer", () => using(ask("x", 30), then(() => {}))),
    call.Ambiguous("an end under a request", () => using(ask("x", 300), then((socket) => socket.end()))),
    call.Ambiguous("a reset under a request", () => using(ask("x", 300), then((socket) => socket.resetAndDestroy()))),
    call.Ambiguous("a connection that was closed", () =>
      using(async (connection) => {
        await connection.close()
        connection.publish("x")
      }, then(() => {}))),
    call.Fatal("a connection that ends its work", () =>
      using(async (connection) => {
        connection.drain().catch(() => {})
        await ask("x")(connection)
      }, then(() => {}))),
    call.Fatal("no subject", () => using(async (connection) => connection.publish(""), then(() => {}))),
    call.Fatal(
      "a message that is too large",
      () => using(async (connection) => connection.publish("x", new Uint8Array(2000)), then(() => {}))
    )
  ]
  const real: ReadonlyArray<Case> = [
    call.Unsent("a subject without a listener", () => using(ask(`sluice.${process.pid}.none`)))
  ]
  return { cases, real, need }
}

export const ofNats = linesOf(V2)
export const ofNatsIo = linesOf(V3)
