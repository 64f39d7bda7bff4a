/**
 * What the table of driver errors provokes them with: peers that misbehave, and a case as one line.
 */
import type * as Failure from "effect-sluice/Failure"
import * as Net from "node:net"

/** One line of the table. */
export interface Case {
  /** Whether the error comes from opening a connection or from using one. */
  readonly when: "dial" | "call"
  readonly situation: string
  readonly expected: Failure.FailureClass
  /** `false` where it is certain that nothing was sent. */
  readonly sent: boolean | undefined
  readonly provoke: () => Promise<unknown>
}

const lines =
  (when: Case["when"], expected: Case["expected"], sent: Case["sent"]) =>
  (situation: string, provoke: Case["provoke"]): Case => ({ when, situation, expected, sent, provoke })

/** Lines about opening a connection, by the class that is expected. */
export const dial = {
  Transient: lines("dial", "Transient", false),
  RemoteSaturated: lines("dial", "RemoteSaturated", false),
  LocalExhausted: lines("dial", "LocalExhausted", undefined),
  Fatal: lines("dial", "Fatal", false)
}

/** Lines about using a connection, by the class that is expected. */
export const call = {
  /** `Transient`, and certain that nothing was sent. */
  Unsent: lines("call", "Transient", false),
  Transient: lines("call", "Transient", undefined),
  RemoteSaturated: lines("call", "RemoteSaturated", undefined),
  Ambiguous: lines("call", "Ambiguous", undefined),
  Fatal: lines("call", "Fatal", undefined),
  Redirect: lines("call", "Redirect", undefined)
}

/** The error that a promise is rejected with. */
export const errorOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => {
      throw new Error("nothing failed")
    },
    (error: unknown) => error
  )

/** The error that something throws at once. */
export const thrownBy = (f: () => unknown): Promise<unknown> => errorOf(new Promise((resolve) => resolve(f())))

/** Closes what an error came from, whatever becomes of that. */
export const closing = async <A>(result: Promise<A>, close: () => unknown): Promise<A> => {
  try {
    return await result
  } finally {
    await Promise.resolve().then(close).catch(() => {})
  }
}

/** A line whose error does not come must not hold up the others. */
export const ended = (promise: Promise<unknown>): Promise<unknown> =>
  new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error("no error came within 30 seconds")), 30_000)
    promise.then(resolve, reject).finally(() => clearTimeout(timer))
  })

export const sleep = (millis: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, millis))

const open = new Set<Net.Server>()
const sockets = new Set<Net.Socket>()

/** Listens on a free port of 127.0.0.1 until the end of the file. */
export const listening = (server: Net.Server): Promise<number> =>
  new Promise((resolve) => {
    open.add(server)
    server.on("connection", (socket) => {
      sockets.add(socket)
      socket.on("error", () => {}).on("close", () => sockets.delete(socket))
    })
    server.listen(0, "127.0.0.1", () => {
      const address = server.address()
      resolve(typeof address === "object" && address !== null ? address.port : 0)
    })
  })

export const peer = (onConnection: (socket: Net.Socket) => void): Promise<number> =>
  listening(Net.createServer(onConnection))

/** Closes all peers and what is connected to them. */
export const closePeers = async (): Promise<void> => {
  for (const socket of sockets) socket.destroy()
  await Promise.all([...open].map((server) => new Promise((resolve) => server.close(resolve))))
}

/** Accepts and says nothing. */
export const silent = peer(() => {})
/** Accepts and ends the connection at once. */
export const ending = peer((socket) => void socket.end())
/** Ends the connection when it is first spoken to. */
export const endingLater = peer((socket) => void socket.once("data", () => socket.end()))
/** Resets the connection when it is first spoken to. */
export const resetting = peer((socket) => void socket.once("data", () => socket.resetAndDestroy()))
/** Speaks another protocol than it is spoken to in. */
export const garbage = peer((socket) => void socket.end("HTTP/1.1 400 Bad Request\r\n\r\n"))

/** A port at which nothing listens, and which no server is given that asks for any. */
export const refusing = 2

/** A connection between a client and a real server that can be cut, reset, frozen, or spoken into. */
export interface Link {
  readonly port: number
  readonly client: () => Net.Socket
  readonly freeze: () => void
}

export const linkTo = async (upstream: number): Promise<Link> => {
  const clients: Array<Net.Socket> = []
  const port = await peer((socket) => {
    clients.push(socket)
    const server = Net.connect(upstream, "127.0.0.1")
    sockets.add(server)
    server.on("error", () => {}).on("close", () => sockets.delete(server))
    socket.pipe(server)
    server.pipe(socket)
    socket.on("close", () => server.destroy())
  })
  const client = (): Net.Socket => {
    const last = clients.at(-1)
    if (last === undefined) throw new Error("no client has connected")
    return last
  }
  return { port, client, freeze: () => void client().unpipe().pause() }
}

/** Whether something listens there. A test that needs it fails without it in CI, and is skipped elsewhere. */
export const isThere = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = Net.connect(port, "127.0.0.1", () => {
      socket.destroy()
      resolve(true)
    })
    socket.on("error", () => resolve(false))
  })

/** A server that has to be running for some of the lines. */
export interface Need {
  readonly name: string
  readonly port: number
}
