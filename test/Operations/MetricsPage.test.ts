/**
 * docs/reference/operations/metrics.md lists the metrics as they are defined and recorded.
 */
import { assert, describe, it } from "@effect/vitest"
import { Context, Deferred, Effect, Fiber, Layer, Metric } from "effect"
import * as Breaker from "effect-sluice/Breaker"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Operations from "effect-sluice/Operations"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import * as RetryBudget from "effect-sluice/RetryBudget"
import * as RetryPolicy from "effect-sluice/RetryPolicy"
import * as RetryTelemetry from "effect-sluice/RetryTelemetry"
import { TestClock } from "effect/testing"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { type MetricDefinition, SeriesSet } from "../../src/internal/MetricSeries.ts"
import { prometheusText } from "../../src/Operations/internal/http/PrometheusText.ts"
import { breakerMetrics, monitorMetrics, runtimeMetrics } from "../../src/Operations/internal/MonitorMetrics.ts"
import { poolMetrics, poolName } from "../../src/Pool/PoolMetrics.ts"
import { fork, hold, settle } from "../support/Pools.ts"
import * as Scripted from "../support/ScriptedConnector.ts"
import { withOwnMetrics } from "./support.ts"

const page = Fs.readFileSync(Path.resolve(import.meta.dirname, "../../docs/reference/operations/metrics.md"), "utf8")

interface Row {
  readonly prometheus: string
  readonly kind: string
  readonly unit: string
  readonly labels: ReadonlyArray<string>
  readonly meaning: string
}

const plain = (cell = ""): string => cell.trim().replaceAll("`", "")

/** The rows of the page, by the name of the metric. */
const rows: ReadonlyMap<string, Row> = new Map(
  page.split("\n").filter((line) => /^\| `[a-z0-9]+\./.test(line)).map((line) => {
    const [, id, prometheus = "", kind = "", unit = "", labels = "", meaning = ""] = line.split("|").map(plain)
    return [id ?? "", { prometheus, kind, unit, labels: labels.split(", ").filter((label) => label !== ""), meaning }]
  })
)

/** Those that a program asks for, policy by policy. */
const ofRetries = [...rows].filter(([id]) => id.startsWith("sluice.retry."))

const ofOperations = new Map([...rows].filter(([id]) => !id.startsWith("sluice.retry.")))

/** A metric that is updated where it is defined, with Effect's `Metric.counter`. */
const cleanupFailures: MetricDefinition = (() => {
  const source = Fs.readFileSync(Path.resolve(import.meta.dirname, "../../src/Monitor/levels/Cleanup.ts"), "utf8")
  const pattern = /Metric\.counter\("([\w.]+)", \{\s*description: "([^"]+)",\s*attributes: \{ unit: "([^"]+)" \}/
  const [, id = "", description = "", unit = ""] = pattern.exec(source) ?? []
  return { id, description, unit, kind: "counter", attributes: [] }
})()

const definitions: ReadonlyArray<MetricDefinition> = [
  ...Object.values(poolMetrics),
  ...Object.values(breakerMetrics),
  ...Object.values(monitorMetrics),
  ...Object.values(runtimeMetrics),
  cleanupFailures
]

/** The name of a metric on `/metrics`. */
const prometheusNameOf = (definition: MetricDefinition): string | undefined => {
  const context = Context.make(Metric.MetricRegistry, new Map())
  const set = new SeriesSet(context)
  if (definition.kind === "gauge") set.gauge(definition).set(1)
  else if (definition.kind === "counter") set.counter(definition)
  else set.histogram(definition)
  return /^# TYPE (\S+)/m.exec(prometheusText(Metric.snapshotUnsafe(context)))?.[1]
}

describe("the page of the metrics", () => {
  it("lists those that are defined, and no others", () => {
    assert.sameMembers([...ofOperations.keys()], definitions.map(({ id }) => id))
  })

  for (const definition of definitions) {
    it(`describes ${definition.id} as it is defined`, () => {
      assert.deepStrictEqual(rows.get(definition.id), {
        prometheus: prometheusNameOf(definition) ?? "",
        kind: definition.kind,
        unit: definition.unit,
        labels: definition.attributes.filter((name) => name !== poolName),
        meaning: definition.description
      })
    })
  }
})

/** The metrics that a program records after a borrow, a leak, an outage and a refusal, with the labels of all their series. */
const recorded = Effect.gen(function*() {
  let isDown = false
  const scripted = Scripted.make({
    open: () => isDown ? Effect.fail(new Scripted.ScriptedFailure("ECONNREFUSED")) : Effect.void
  })
  const pool = yield* ConnectionPool.make({
    name: "page",
    connector: scripted.connector,
    retry: RetryPolicy.make({ ...RetryPolicy.tcpConnection, breaker: Breaker.make() })
  })
  const latch = yield* Deferred.make<void>()
  const holder = yield* fork(hold(pool, "a", latch))
  isDown = true
  const failing = yield* fork(Effect.exit(ConnectionPool.use(pool, "b", () => Effect.void)))
  yield* settle
  // The monitor has figures of the event loop after two readings.
  for (let reading = 0; reading < 3; reading++) yield* Effect.andThen(TestClock.adjust("5 seconds"), settle)
  const labels = new Map<string, Set<string>>()
  for (const { attributes, id } of yield* Metric.snapshot) {
    const known = labels.get(id) ?? new Set()
    labels.set(id, known)
    for (const name of Object.keys(attributes ?? {})) if (name !== "unit" && name !== poolName) known.add(name)
  }
  yield* Deferred.succeed(latch, undefined)
  yield* Fiber.join(holder)
  yield* Fiber.interrupt(failing)
  return labels
})

describe("the metrics that a program records", () => {
  it.effect("are those of the page, with its labels", () =>
    Effect.gen(function*() {
      const labels = yield* recorded
      for (const [id, names] of labels) {
        for (const name of names) assert.include(rows.get(id)?.labels ?? [], name, id)
      }
      // A kernel without pressure stall information has no such figures.
      const unreadable = Fs.existsSync("/proc/pressure/cpu") ? [] : [monitorMetrics.pressure.id]
      const optional = [...unreadable, cleanupFailures.id]
      const missing = [...ofOperations.keys()].filter((id) => !labels.has(id) && !optional.includes(id))
      assert.deepStrictEqual(missing, [])
    }).pipe(
      Effect.scoped,
      Effect.provide(Layer.provideMerge(Operations.layerOptions({ logs: false }), Layer.fresh(ResourceMonitor.layer))),
      withOwnMetrics
    ))
})

const kinds: Record<string, string> = { Counter: "counter", Gauge: "gauge", Histogram: "histogram" }

describe("the metrics of retries", () => {
  it.effect("are those of the page, as they are recorded", () =>
    Effect.gen(function*() {
      const policy = RetryPolicy.make({ maxAttempts: 2, initialDelay: 1, maxDelay: 1 })
      const recorded = yield* RetryTelemetry.record(policy, { name: "page" })
      yield* RetryTelemetry.recordBudget(RetryBudget.make(), { name: "page" })
      const failing = yield* fork(Effect.exit(RetryPolicy.retry(Effect.fail({ code: "ECONNREFUSED" }), recorded)))
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(failing)
      const registry = yield* Effect.service(Metric.MetricRegistry)
      const snapshot = yield* Metric.snapshot
      const names = prometheusText(Metric.snapshotUnsafe(Context.make(Metric.MetricRegistry, registry)))
      const found = new Map(snapshot.map(({ attributes, description, id, type }) => {
        const { unit = "", ...labels } = { ...attributes }
        const [prometheus = ""] = new RegExp(`(?<=^# TYPE )${id.replaceAll(".", "_")}\\w*`, "m").exec(names) ?? []
        return [id, { prometheus, kind: kinds[type], unit, labels: Object.keys(labels), meaning: description }]
      }))
      assert.deepStrictEqual(
        Object.fromEntries(ofRetries.map(([id, row]) => [id, { ...row, labels: row.labels.toSorted() }])),
        Object.fromEntries([...found].map(([id, row]) => [id, { ...row, labels: row.labels.toSorted() }]))
      )
    }).pipe(Effect.scoped, Effect.provide(ResourceMonitor.layerUnlimited), withOwnMetrics))
})
