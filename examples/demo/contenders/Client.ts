/**
 * A client of the demo's server, as one may write it for a line protocol. A connection begins with a question, as with the login of a
 * database. All contenders use this client, so that they differ only in what opens, holds and closes it.
 */
import * as Net from "node:net"

interface Pending {
  readonly id: number
  readonly resolve: () => void
  readonly reject: (error: Error) => void
}

/** The connection has failed, with the code of the system's errors of this kind. */
export class ClientFailed extends Error {
  readonly code: "ECONNRESET" | "EPROTO" | "ETIMEDOUT"
  constructor(code: ClientFailed["code"], message: string) {
    super(message)
    this.code = code
  }
}

/** Connections of this process from the dial to the close. */
const held = { now: 0, peak: 0 }

/** The most connections that this process had at once. */
export const mostHeld = (): number => held.peak

/** One connection. It makes one request at a time. */
export class Client {
  readonly #socket = new Net.Socket()
  #pending: Pending | undefined
  #rest = ""
  #id = 0
  #isHeld = false
  /** Whether it may be used for a further request: after a timeout an answer may still arrive. */
  usable = false
  /** When it was last used, by the monotonic clock. */
  lastUsed = 0

  constructor() {
    this.#socket.setNoDelay(true)
    this.#socket.setEncoding("utf8")
    this.#socket.on("data", (text: string) => this.#onData(text))
    this.#socket.on("error", (error) => this.#end(error))
    this.#socket.on("close", () => this.#end(new ClientFailed("ECONNRESET", "the connection was closed")))
    this.#socket.on("end", () => this.#end(new ClientFailed("ECONNRESET", "the server ended the connection")))
  }

  /** Calls the listener when the connection ends, whichever side ends it. */
  onClosed(listener: () => void): void {
    this.#socket.once("end", listener).once("close", listener)
  }

  /** Dials, and waits until the server has answered. */
  async connect(port: number, host: string, timeout: number): Promise<void> {
    this.#isHeld = true
    held.peak = Math.max(held.peak, ++held.now)
    this.#socket.once("close", () => this.#release())
    await this.#within(timeout, "the dial", () => {
      this.#socket.connect(port, host, () => this.#write("hello"))
    })
    this.usable = true
  }

  /** Makes a request. If it fails, the connection cannot be used again. */
  request(timeout: number): Promise<void> {
    return this.#within(timeout, "the request", () => this.#write("ping"))
  }

  /** Ends our side, and waits until the other one has ended its own. */
  close(): Promise<void> {
    this.usable = false
    return new Promise((resolve) => {
      if (this.#socket.destroyed) return resolve()
      this.#socket.once("close", () => resolve())
      this.#socket.end()
    })
  }

  destroy(): void {
    this.usable = false
    this.#socket.destroy()
    // The descriptor is closed by now; the event comes later.
    this.#release()
  }

  #release(): void {
    if (this.#isHeld) held.now--
    this.#isHeld = false
  }

  #write(method: string): void {
    this.#socket.write(`{"jsonrpc":"2.0","id":${this.#id},"method":"${method}"}\n`)
  }

  #within(timeout: number, what: string, begin: () => void): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#end(new ClientFailed("ETIMEDOUT", `${what} has timed out`)), timeout)
      const settle = <A extends Array<unknown>>(how: (...args: A) => void) => (...args: A) => {
        clearTimeout(timer)
        this.#pending = undefined
        how(...args)
      }
      this.#pending = { id: ++this.#id, resolve: settle(resolve), reject: settle(reject) }
      begin()
    })
  }

  #onData(text: string): void {
    const lines = (this.#rest + text).split("\n")
    this.#rest = lines.pop() ?? ""
    for (const line of lines) {
      if (JSON.parse(line).id !== this.#pending?.id) {
        return this.#end(new ClientFailed("EPROTO", "the answer is to another request"))
      }
      this.lastUsed = performance.now()
      this.#pending?.resolve()
    }
  }

  #end(error: Error): void {
    this.usable = false
    this.#pending?.reject(error)
  }
}
