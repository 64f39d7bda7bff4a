import { assert, describe, it } from "@effect/vitest"
import { once } from "node:events"
import * as Http from "node:http"
import * as Http2 from "node:http2"
import * as Net from "node:net"
import { setImmediate as immediate, setTimeout as pause } from "node:timers/promises"
import { KeepAlive } from "../../../src/Serverless/internal/KeepAlive.ts"

/** Blocks the thread, as a process that is stopped for this time. */
const block = (millis: number) => void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, millis)

describe("KeepAlive", () => {
  it("closes no connection whose request has come while the event loop was blocked", async () => {
    const keepAlive = new KeepAlive()
    keepAlive.start()
    const server = Http.createServer((_, response) => void response.end("hello")).listen(0, "127.0.0.1")
    await once(server, "listening")
    const client = Net.connect((server.address() as Net.AddressInfo).port, "127.0.0.1").setEncoding("utf8")
    client.on("error", () => {})
    const [[accepted]] = await Promise.all([once(server, "connection"), once(client, "connect")])
    const ended = once(client, "close")
    let answer = ""
    client.on("data", (data) => void (answer += String(data)))
    // A server of Node 26 closes a connection that has sent nothing itself.
    client.write("GET / HTTP/1.1\r\n")
    while (accepted.bytesRead === 0) await pause(1)
    server.close()
    keepAlive.end()
    // The connection is looked at after 300 ms, and then after 600 ms.
    await pause(350)
    // Timers that are due then come before the sockets.
    await immediate()
    client.write("Host: a\r\n\r\n")
    block(600)
    await ended
    keepAlive.stop()
    assert.match(answer, /^HTTP\/1.1 200 OK/)
    assert.include(answer, "connection: close")
  })

  it("answers all requests that were sent together, and then closes their connection", async () => {
    const keepAlive = new KeepAlive()
    keepAlive.start()
    const responses: Array<Http.ServerResponse> = []
    const server = Http.createServer((_, response) => void responses.push(response)).listen(0, "127.0.0.1")
    await once(server, "listening")
    const client = Net.connect((server.address() as Net.AddressInfo).port, "127.0.0.1").setEncoding("utf8")
    const ended = once(client, "close")
    let answer = ""
    client.on("data", (data) => void (answer += String(data)))
    client.write("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
    while (responses.length < 2) await once(server, "request")
    server.close()
    keepAlive.end()
    for (const [index, response] of responses.entries()) response.end(`answer ${index + 1}`)
    await ended
    keepAlive.stop()
    assert.deepStrictEqual(answer.match(/answer \d|connection: [\w-]+/gi), [
      "Connection: keep-alive",
      "answer 1",
      "connection: close",
      "answer 2"
    ])
  })

  it("cuts the connections of HTTP/2 without TLS, whose server waits for their requests", async () => {
    const keepAlive = new KeepAlive()
    keepAlive.start()
    const server = Http2.createServer().listen(0, "127.0.0.1")
    const ended = once(server, "close")
    await once(server, "listening")
    const client = Http2.connect(`http://127.0.0.1:${(server.address() as Net.AddressInfo).port}`)
    client.on("error", () => {})
    client.request().on("error", () => {}).end()
    await once(server, "request")
    server.close()
    keepAlive.end()
    assert.isTrue(keepAlive.cut())
    await ended
    keepAlive.stop()
    client.destroy()
  })
})
