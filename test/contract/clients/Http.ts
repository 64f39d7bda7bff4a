import { Context, Effect, Layer, Stream } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Http from "effect-sluice/Http"
import * as Duration from "effect/Duration"
import * as HttpClient from "effect/http/HttpClient"
import * as NodeHttp from "node:http"
import type * as Net from "node:net"
import { type Adapter, failing, meanwhile } from "../Adapter.ts"
import { listening } from "../servers/Sockets.ts"

const ids = new WeakMap<Net.Socket, number>()

/** Answers `/MILLIS` after that time with the number of the socket, and `/stream` without an end. */
const server = listening(
  () =>
    NodeHttp.createServer((request, response) => {
      const path = String(request.url).slice(1)
      if (path === "stream") {
        const timer = setInterval(() => response.write("part\n"), 5)
        return void response.on("close", () => clearInterval(timer))
      }
      setTimeout(() => response.end(String(ids.get(request.socket))), Number(path))
    }),
  (socket, id) => void ids.set(socket, id)
)

export const adapter: Adapter = {
  name: "Http",
  needs: [],
  commands: [],
  server,
  ownServer: server,
  open: ({ acquireTimeout, cap, connectTimeout, drainTimeout, port }) =>
    Effect.gen(function*() {
      const services = yield* Layer.build(
        Layer.fresh(Http.layer({ maxPerOrigin: cap, maxTotal: cap, acquireTimeout, connectTimeout, drainTimeout }))
      )
      const client = Context.get(services, HttpClient.HttpClient)
      const pool = Context.get(services, Http.Pool)
      const origin = `http://127.0.0.1:${port}`
      const get = (path: string | number) =>
        Effect.map(failing(Effect.flatMap(client.get(`${origin}/${path}`), ({ text }) => text)), Number)
      return {
        request: get(0),
        slow: (duration) => get(Duration.toMillis(duration)),
        stats: ConnectionPool.stats(pool),
        drain: (deadline) => ConnectionPool.drain(pool, deadline),
        lease: failing(ConnectionPool.get(pool, origin)),
        middles: {
          "a request": (body) => meanwhile(get(300), body),
          "a stream": (body) =>
            failing(Effect.flatMap(client.get(`${origin}/stream`), ({ stream }) =>
              Stream.runForEach(Stream.take(stream, 2), () =>
                body)))
        }
      }
    })
}
