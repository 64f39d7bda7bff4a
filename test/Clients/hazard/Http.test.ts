/**
 * `Http.layer` under load: answers that end their connections, and a server that restarts.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Http from "effect-sluice/Http"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import * as HttpClient from "effect/http/HttpClient"
import type * as NodeHttp from "node:http"
import { listen, make, stop } from "../../support/HttpServer.ts"
import { eventually } from "../../support/TcpServer.ts"

const layer = (options: Http.Options = {}) => Http.layer(options).pipe(Layer.provide(ResourceMonitor.layer))

const getText = (url: string) => Effect.flatMap(HttpClient.get(url), (response) => response.text)

const stats = Effect.flatMap(Http.Pool, ConnectionPool.stats)

describe("Http.layer under load", () => {
  it.live("fails none of 1000 requests whose answers have `connection: close`", () =>
    Effect.gen(function*() {
      const { account, url } = yield* make((_, response) => response.setHeader("connection", "close").end("bye"))
      const texts = yield* Effect.forEach(Array.from({ length: 1000 }), () => getText(url), { concurrency: 10 })
      assert.isTrue(texts.every((text) => text === "bye"))
      assert.strictEqual(account.requests, 1000)
      assert.strictEqual(account.opened, 1000)
      assert.isAtMost(account.peak, 4)
    }).pipe(Effect.provide(layer({ maxPerOrigin: 4 }))), 120_000)

  it.live(
    "loses at most a few of 1000 requests to a server that ends every connection soon after its answer",
    () =>
      Effect.gen(function*() {
        const { account, url } = yield* make((_, response) => {
          response.end("ok")
          // The end arrives while the connection is idle, while it is leased again, or between the two.
          response.on("finish", () => void setTimeout(() => response.socket?.end(), account.requests % 4))
        })
        const exits = yield* Effect.forEach(Array.from({ length: 1000 }), () => Effect.exit(getText(url)), {
          concurrency: 8
        })
        const failed = exits.filter(Exit.isFailure).length
        // A request that is on its way when the server ends the connection is lost: nobody but its caller may repeat it.
        assert.isAtMost(failed, 50)
        assert.isAtMost(account.peak, 4)
        assert.include(yield* stats, { waiting: 0, active: 0 })
      }).pipe(Effect.provide(layer({ maxPerOrigin: 4 }))),
    120_000
  )

  it.live("is in full service within two seconds of the restart of its server", () =>
    Effect.gen(function*() {
      const listener: NodeHttp.RequestListener = (_, response) => void setTimeout(() => response.end("ok"), 2)
      const first = yield* listen(listener)
      const { port, url } = first
      let isOver = false
      const done: Array<{ readonly at: number; readonly isOk: boolean }> = []
      const client = Effect.gen(function*() {
        while (!isOver) {
          const exit = yield* Effect.exit(getText(url))
          done.push({ at: performance.now(), isOk: Exit.isSuccess(exit) })
          if (Exit.isFailure(exit)) yield* Effect.sleep(5)
        }
      })
      const clients = yield* Effect.forkChild(Effect.all(Array.from({ length: 30 }, () => client), {
        concurrency: "unbounded"
      }))
      yield* eventually(() => done.length > 300)
      const stopped = performance.now()
      yield* stop(first)
      yield* Effect.sleep(500)
      const second = yield* make(listener, { port })
      const restarted = performance.now()
      yield* eventually(() => second.sockets.size === 10 && performance.now() - restarted > 500, 2000)
      const atFull = performance.now()
      yield* Effect.sleep(300)
      isOver = true
      yield* Fiber.await(clients)
      assert.isBelow(atFull - restarted, 2000)
      // What was on its way at each connection is lost. No request has failed since the server was back in full.
      const lost = done.filter(({ at, isOk }) => !isOk && at >= stopped)
      assert.isAtMost(lost.length, 10)
      assert.isTrue(done.every(({ at, isOk }) => isOk || at < atFull))
      assert.isAbove(done.filter(({ at }) => at > atFull).length, 30)
      assert.isAtMost(second.account.peak, 10)
      assert.include(yield* stats, { total: 10, waiting: 0, active: 0 })
    }).pipe(Effect.provide(layer({ maxPerOrigin: 10 }))), 60_000)
})
