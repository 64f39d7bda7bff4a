/**
 * What docs/how-to/otlp.md and docs/how-to/devtools.md promise: the metrics leave the program through Effect's own exporters,
 * under the names and with the units of OpenTelemetry.
 */
import { NodeSocketServer } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Fiber, Layer, Metric, Queue } from "effect"
import { Operations, ResourceMonitor } from "effect-sluice"
import { DevTools, DevToolsServer } from "effect/devtools"
import type { Request } from "effect/devtools/DevToolsSchema"
import { FetchHttpClient } from "effect/http"
import { Otlp } from "effect/observability"
import { SocketServer } from "effect/socket/SocketServer"
import { once } from "node:events"
import * as Http from "node:http"
import { json } from "node:stream/consumers"
import { prometheusText } from "../../src/Operations/internal/http/PrometheusText.ts"
import * as Incident from "../support/Incident.ts"

interface Exported {
  readonly name: string
  readonly unit: string
  readonly description?: string
  readonly sum?: { readonly isMonotonic: boolean }
  readonly gauge?: object
  readonly histogram?: object
}

interface Resource {
  readonly attributes: ReadonlyArray<{ readonly key: string; readonly value: object }>
}

interface Body {
  readonly resourceMetrics: ReadonlyArray<{
    readonly resource: Resource
    readonly scopeMetrics: ReadonlyArray<{ readonly metrics: ReadonlyArray<Exported> }>
  }>
}

interface Spans {
  readonly resourceSpans: ReadonlyArray<{
    readonly scopeSpans: ReadonlyArray<{ readonly spans: ReadonlyArray<{ readonly name: string }> }>
  }>
}

/** A collector: it keeps each metric and the names of all spans that it has received. */
const collector = Effect.acquireRelease(
  Effect.promise(async () => {
    const received = {
      resource: undefined as Resource | undefined,
      metrics: new Map<string, Exported>(),
      spans: new Set<string>()
    }
    const server = Http.createServer((request, response) => {
      void json(request).then((body) => {
        if (request.url === "/v1/metrics") {
          for (const { resource, scopeMetrics } of (body as Body).resourceMetrics) {
            received.resource = resource
            for (const { metrics } of scopeMetrics) for (const one of metrics) received.metrics.set(one.name, one)
          }
        }
        if (request.url === "/v1/traces") {
          for (const { scopeSpans } of (body as Spans).resourceSpans) {
            for (const { spans } of scopeSpans) for (const { name } of spans) received.spans.add(name)
          }
        }
        response.end("{}")
      })
    }).listen(0, "127.0.0.1")
    await once(server, "listening")
    const address = server.address()
    const port = typeof address === "object" && address !== null ? address.port : 0
    return { received, server, url: `http://127.0.0.1:${port}` }
  }),
  ({ server }) =>
    Effect.promise(async () => {
      server.closeAllConnections()
      server.close()
      await once(server, "close")
    })
)

/** The operations of a program whose telemetry goes through this layer. */
const operationsWith = <R>(telemetry: Layer.Layer<R>) =>
  Operations.layerOptions({ interval: "100 millis", logs: false }).pipe(
    Layer.provideMerge(ResourceMonitor.layerTest),
    Layer.provideMerge(telemetry)
  )

/** The incident in a program that exports, until its layers have ended. The result is the page for Prometheus at that time. */
const runWith = <R>(telemetry: Layer.Layer<R>) =>
  Effect.gen(function*() {
    const monitor = yield* ResourceMonitor.TestMonitor
    yield* monitor.set(Incident.readings)
    const round = yield* Incident.make
    // Pools have spans only below one of the program.
    yield* Effect.withSpan(round, "round")
    yield* Effect.sleep("200 millis")
    return prometheusText(yield* Metric.snapshot)
  }).pipe(Effect.scoped, Effect.provide(operationsWith(telemetry)))

/** The rules of OpenTelemetry for names in Prometheus, as far as these metrics need them. */
const inPrometheus = ({ gauge, name, sum, unit }: Exported): string => {
  const units: Record<string, string> = { s: "_seconds", By: "_bytes" }
  const ratio = gauge !== undefined && unit === "1" ? "_ratio" : ""
  return name.replaceAll(".", "_") + (units[unit] ?? "") + (sum?.isMonotonic === true ? "_total" : "") + ratio
}

describe("the metrics", () => {
  it.live("arrive by OTLP with their names and units, and as /metrics names them", () =>
    Effect.gen(function*() {
      const { received, url } = yield* collector
      const page = yield* runWith(
        Otlp.layerJson({
          baseUrl: url,
          resource: { serviceName: "orders", attributes: { "service.instance.id": "orders-1" } },
          metricsExportInterval: "100 millis",
          tracerExportInterval: "100 millis"
        }).pipe(Layer.provide(FetchHttpClient.layer))
      ).pipe(Effect.provideService(Metric.MetricRegistry, new Map()))

      const attributes = new Map(received.resource?.attributes.map(({ key, value }) => [key, value]))
      assert.deepStrictEqual(attributes.get("service.name"), { stringValue: "orders" })
      assert.deepStrictEqual(attributes.get("service.instance.id"), { stringValue: "orders-1" })
      const metrics = [...received.metrics.values()]
      const units = Object.fromEntries(metrics.map(({ name, unit }) => [name, unit]))
      assert.deepInclude(units, {
        "db.client.connection.count": "{connection}",
        "db.client.connection.timeouts": "{timeout}",
        "db.client.connection.wait_time": "s",
        "process.memory.usage": "By",
        "nodejs.eventloop.utilization": "1",
        "sluice.pool.leases": "{lease}",
        "sluice.monitor.level": "{level}"
      })
      for (const { description, name, unit } of metrics) {
        assert.notStrictEqual(unit, "", name)
        assert.notStrictEqual(description ?? "", "", name)
      }
      const families = Array.from(page.matchAll(/^# TYPE (\S+)/gm), ([, name = ""]) => name)
      assert.sameMembers([...new Set(metrics.map(inPrometheus))], families)
      assert.includeMembers([...received.spans], ["ConnectionPool.acquire", "ConnectionPool.connect"])
    }).pipe(Effect.scoped))

  it.live("and the spans arrive at Effect's DevTools", () =>
    Effect.gen(function*() {
      const received: Array<Request.WithoutPing> = []
      const server = yield* Layer.build(NodeSocketServer.layerWebSocket({ port: 0, host: "127.0.0.1" }))
      const serving = yield* DevToolsServer.run(({ queue, send }) =>
        Effect.andThen(
          Effect.forkChild(Effect.forever(Effect.delay(send({ _tag: "MetricsRequest" }), "100 millis"))),
          Effect.forever(Effect.map(Queue.take(queue), (request) => received.push(request)))
        )
      ).pipe(Effect.provide(server), Effect.forkScoped)
      const { address } = Context.get(server, SocketServer)
      const port = "port" in address ? address.port : 0
      yield* runWith(DevTools.layer(`ws://127.0.0.1:${port}`)).pipe(
        Effect.provideService(Metric.MetricRegistry, new Map())
      )
      const metrics = new Set(
        received.flatMap((one) => one._tag === "MetricsSnapshot" ? one.metrics.map(({ id }) => id) : [])
      )
      const spans = new Set(received.flatMap((one) => one._tag === "Span" ? [one.name] : []))
      assert.includeMembers([...metrics], [
        "db.client.connection.count",
        "sluice.pool.endpoints",
        "sluice.monitor.level"
      ])
      assert.includeMembers([...spans], ["ConnectionPool.acquire", "ConnectionPool.connect"])
      yield* Fiber.interrupt(serving)
    }).pipe(Effect.scoped))
})
