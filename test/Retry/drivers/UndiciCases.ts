/**
 * undici's own methods, which Node's `fetch` is made of.
 */
import * as Http from "node:http"
import * as Undici from "undici"
import { call, type Case, dial } from "./Peers.ts"
import * as Peers from "./Peers.ts"

type RequestOptions = Partial<Undici.Dispatcher.RequestOptions>

/** A request by a client of its own, whose body is read to its end. */
const asking = async (
  port: number | Promise<number>,
  options: RequestOptions = {},
  client: Undici.Client.Options = {},
  intercept: (client: Undici.Client) => Undici.Dispatcher = (client) => client
): Promise<unknown> => {
  const made = new Undici.Client(`http://127.0.0.1:${await port}`, client)
  const asked = async () => {
    const { body } = await intercept(made).request({ path: "/", method: "GET", ...options })
    return body.text()
  }
  return Peers.closing(Peers.errorOf(asked()), () => made.destroy())
}

/** The text of an answer, after which nothing follows. */
const answering = (text: string, end = false) =>
  Peers.peer((socket) => {
    socket.once("data", () => {
      socket.write(text)
      if (end) socket.end()
    })
  })

const status = (code: number, headers: Http.OutgoingHttpHeaders = {}) => () => {
  const port = Peers.listening(Http.createServer((_, response) => void response.writeHead(code, headers).end()))
  return asking(port, {}, {}, (client) => client.compose(Undici.interceptors.responseError()))
}

const half = answering("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")
const cut = answering("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf", true)

const afterwards = (how: (client: Undici.Client) => Promise<unknown>) => async () => {
  const client = new Undici.Client(`http://127.0.0.1:${await Peers.silent}`)
  const ended = how(client)
  return Peers.closing(Peers.errorOf(client.request({ path: "/", method: "GET" })), () => ended)
}

const interrupted = async () => {
  const client = new Undici.Client(`http://127.0.0.1:${await Peers.silent}`)
  const asked = Peers.errorOf(client.request({ path: "/", method: "GET" }))
  await Peers.sleep(20)
  await client.destroy()
  return asked
}

/** The text for a client that writes more than it has announced. */
const mismatch = () => asking(Peers.silent, { method: "POST", body: "longer", headers: { "content-length": "1" } })

export const cases: ReadonlyArray<Case> = [
  dial.Transient("a closed port", () => asking(Peers.refusing)),
  dial.Transient("silence in the TLS handshake, ConnectTimeoutError", async () => {
    const client = new Undici.Client(`https://127.0.0.1:${await Peers.silent}`, { connectTimeout: 50 })
    return Peers.closing(Peers.errorOf(client.request({ path: "/", method: "GET" })), () => client.destroy())
  }),
  dial.Fatal("TLS of a server without it", async () => {
    const client = new Undici.Client(`https://127.0.0.1:${await Peers.garbage}`)
    return Peers.closing(Peers.errorOf(client.request({ path: "/", method: "GET" })), () => client.destroy())
  }),
  dial.Fatal("no URL", () => Peers.thrownBy(() => new Undici.Client("nowhere"))),
  call.Ambiguous("SocketError, the other side closed", () => asking(Peers.endingLater)),
  call.Ambiguous("a reset", () => asking(Peers.resetting)),
  call.Ambiguous("HeadersTimeoutError", () => asking(Peers.silent, { headersTimeout: 50 })),
  call.Ambiguous("BodyTimeoutError", () => asking(half, { bodyTimeout: 50 })),
  call.Ambiguous("half of an answer", () => asking(cut)),
  call.Ambiguous("AbortSignal.timeout", () => asking(Peers.silent, { signal: AbortSignal.timeout(30) })),
  call.Fatal("aborted", () => asking(Peers.silent, { signal: AbortSignal.abort() })),
  call.Fatal("HTTPParserError", () => asking(answering("what?\r\n"))),
  call.Fatal(
    "HeadersOverflowError",
    () => asking(answering(`HTTP/1.1 200 OK\r\nx: ${"x".repeat(2000)}\r\n\r\n`), {}, { maxHeaderSize: 1000 })
  ),
  call.Fatal("ResponseExceededMaxSizeError", () => asking(half, {}, { maxResponseSize: 1 })),
  call.Fatal("RequestContentLengthMismatchError", mismatch),
  call.Fatal("InvalidArgumentError", () => asking(Peers.silent, { method: "" as never })),
  call.Fatal("ClientDestroyedError", afterwards((client) => client.destroy())),
  call.Fatal("ClientClosedError", afterwards((client) => client.close())),
  call.Fatal("destroyed under a request", interrupted),
  call.RemoteSaturated("ResponseError, 429", status(429, { "retry-after": "1" })),
  call.RemoteSaturated("ResponseError, 503 with Retry-After", status(503, { "retry-after": "1" })),
  call.Ambiguous("ResponseError, 503", status(503)),
  call.Ambiguous("ResponseError, 502", status(502)),
  call.Fatal("ResponseError, 404", status(404)),
  call.Transient("ResponseError, 425", status(425))
]
