/**
 * One program for `HttpClient`, with Effect's layer and with ours.
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import * as Http from "effect-sluice/Http"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import { listener, program } from "../support/HttpProgram.ts"
import { make } from "../support/HttpServer.ts"

const expected: unknown = {
  user: { id: 7, name: "Ada" },
  echo: "hello",
  moved: { id: 7, name: "Ada" },
  parts: 500_000,
  missing: { tag: "HttpClientError", reason: "StatusCodeError", method: "GET", code: undefined },
  head: [200, "application/json"],
  slow: "None",
  cut: { tag: "HttpClientError", reason: "DecodeError", method: "GET", code: "UND_ERR_SOCKET" }
}

describe("a program that was written for NodeHttpClient", () => {
  const run = Effect.flatMap(make(listener), ({ url }) => program(url))

  it.live("does the same with its own layer and with ours", () =>
    Effect.gen(function*() {
      const native = yield* Effect.provide(run, NodeHttpClient.layerUndici)
      assert.deepStrictEqual(native, expected)
      const ours = yield* Effect.provide(run, Http.layer().pipe(Layer.provide(ResourceMonitor.layer)))
      assert.deepStrictEqual(ours, expected)
    }))
})
