/** Hostile names, keys and texts, as a browser, Prometheus and a kubelet get them. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Layer, Metric, Redacted } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Connector from "effect-sluice/Connector"
import * as OperationsHttp from "effect-sluice/OperationsHttp"
import { fork } from "../support/Pools.ts"
import { hostile, markup, secrets } from "./Hostile.ts"
import { collect, operated } from "./Program.ts"
import { request } from "./Requests.ts"

const name = `</script><b>"pool"\\`

const connector = Connector.make({
  open: (key: string) =>
    key.startsWith("held")
      ? Effect.succeed({ key })
      : Effect.fail(Object.assign(new Error(`${key} failed`), { code: key, cause: new Error(key) }))
})

/** A pool in which hostile texts are keys, errors, spans and places. */
const troubled = Effect.gen(function*() {
  const latch = yield* Deferred.make<void>()
  const pool = yield* ConnectionPool.make({
    name,
    connector,
    maxPerEndpoint: 50,
    maxTotal: 50,
    acquireTimeout: "500 millis",
    leakThreshold: "100 millis"
  })
  const borrows = yield* Effect.forEach(hostile, (text) =>
    fork(Effect.exit(Effect.all([
      ConnectionPool.use(pool, `held ${text}`, () => Deferred.await(latch), { site: { text, release: () => {} } }).pipe(
        Effect.withSpan(text, { attributes: { password: "hunter2", [text]: text } })
      ),
      ConnectionPool.use(pool, text, () => Effect.void)
    ], { concurrency: "unbounded", mode: "result" }))))
  return { latch, borrows }
})

describe("hostile texts over HTTP", () => {
  it.live("are in no page, JSON, metrics, probe or answer with their secrets or as anything but text", () => {
    const { layer, lines } = collect()
    const token = Redacted.make("correct-horse-battery-staple")
    return Effect.gen(function*() {
      const { url } = yield* OperationsHttp.Server
      const { borrows, latch } = yield* troubled
      for (const text of hostile) yield* Metric.update(Metric.gauge("hostile", { attributes: { text } }), 1)
      yield* Effect.sleep("1500 millis")
      const get = (path: string) => request(url + path)
      const post = (path: string) =>
        request(url + path, { method: "POST", headers: { authorization: `Bearer ${Redacted.value(token)}` } })
      const page = yield* get("")
      const json = yield* get("pools.json")
      const metrics = yield* get("metrics")
      const ready = yield* get("readyz")
      const controls = yield* Effect.forEach(
        hostile.filter(({ length }) => length < 1000),
        (text) =>
          Effect.all([
            post(`pools/${encodeURIComponent(text)}/evict`),
            post(`pools/${encodeURIComponent(name)}/evict?endpoint=${encodeURIComponent(text)}`),
            request(`${url}pools/${encodeURIComponent(text)}/evict`, { method: "POST" })
          ])
      )
      assert.deepStrictEqual(new Set(controls.flat().map(({ status }) => status)), new Set([404, 401]))
      // The labels of the JSON are those that a control endpoint takes.
      const { pools } = JSON.parse(json.body)
      const endpoints: ReadonlyArray<{ label: string }> = pools[0].endpoints
      for (const { label } of endpoints) {
        const path = `pools/${encodeURIComponent(name)}/evict?endpoint=${encodeURIComponent(label)}`
        assert.strictEqual((yield* post(path)).status, 200, label)
      }
      yield* Deferred.succeed(latch, undefined)
      assert.isTrue((yield* Fiber.joinAll(borrows)).every(Exit.isSuccess))

      assert.strictEqual(ready.status, 503)
      assert.strictEqual(pools.length, 1)
      assert.isAbove(pools[0].holders.length, 5)
      assert.isAbove(pools[0].failures.length, 5)
      const answers = [page, json, metrics, ready, ...controls.flat()]
      for (const { body, headers } of answers) {
        for (const secret of secrets) assert.notInclude(body, secret)
        assert.notMatch(body, /[^\n\P{Cc}]|[\p{Cf}\p{Zl}]/u)
        assert.notMatch(body, /\\u001b|\\u2028|\\u202e/)
        assert.strictEqual(headers["x-content-type-options"], "nosniff")
      }
      // No answer but the page is HTML, and the page has no text of the program.
      for (const { headers } of answers.slice(1)) assert.notMatch(String(headers["content-type"]), /html/)
      assert.notInclude(page.body, "<img src=x")
      assert.isBelow(json.body.length, 100_000)
      for (const line of metrics.body.trim().split("\n")) {
        assert.match(line, /^(# (HELP|TYPE) \w+ [^\n]*|\w+(\{(\w+="(\\.|[^"\\])*",?)+\})? (-?[\d.e+-]+|NaN|\+Inf))$/)
      }
      assert.include(metrics.body, "sluice_pool_endpoint_up{")
      const logs = JSON.stringify(lines)
      for (const secret of [...secrets, Redacted.value(token)]) assert.notInclude(logs, secret)
      assert.isAbove(lines.filter(({ text }) => text.startsWith("refused POST")).length, 5)
      assert.isTrue(lines.every(({ text }) => !/[\p{Cc}\p{Cf}\p{Zl}]/u.test(text)))
      assert.isTrue(lines.every(({ text }) => !text.includes(markup)))
    }).pipe(
      Effect.scoped,
      Effect.provide(
        OperationsHttp.layerServer({ port: 0, required: [name], token }).pipe(
          Layer.provideMerge(operated({ interval: "100 millis" })),
          Layer.provideMerge(layer)
        )
      ),
      Effect.provideService(Metric.MetricRegistry, new Map())
    )
  })
})
