/** Metrics as Prometheus reads them, under the names of an OpenTelemetry collector. */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Metric } from "effect"
import { prometheusText } from "../../../../src/Operations/internal/http/PrometheusText.ts"

const written = <A, E>(program: Effect.Effect<A, E>) =>
  Effect.andThen(program, Effect.map(Metric.snapshot, prometheusText)).pipe(
    Effect.provideService(Metric.MetricRegistry, new Map())
  )

describe("the name of a metric", () => {
  const gauge = (id: string, unit?: string) =>
    Metric.update(Metric.gauge(id, unit === undefined ? {} : { attributes: { unit } }), 1)
  const counter = (id: string, unit: string, incremental = true) =>
    Metric.update(Metric.counter(id, { incremental, attributes: { unit } }), 1)
  const histogram = (id: string, unit: string) =>
    Metric.update(Metric.histogram(id, { boundaries: [1], attributes: { unit } }), 1)

  const cases: ReadonlyArray<readonly [name: string, metric: Effect.Effect<void>]> = [
    ["db_client_connection_count", gauge("db.client.connection.count", "{connection}")],
    ["db_client_connection_timeouts_total", counter("db.client.connection.timeouts", "{timeout}")],
    ["db_client_connection_wait_time_seconds", histogram("db.client.connection.wait_time", "s")],
    ["process_memory_usage_bytes", gauge("process.memory.usage", "By")],
    ["nodejs_eventloop_utilization_ratio", gauge("nodejs.eventloop.utilization", "1")],
    ["cpu_ratio", gauge("cpu.ratio", "1")],
    // Effect's exporter sends the unit 1 for a metric without one.
    ["queue_length_ratio", gauge("queue_length")],
    ["things_total", counter("things_total", "1")],
    ["process_cpu_time_seconds_total", counter("process.cpu.time", "s")],
    // A sum that may fall is a gauge, and no ratio.
    ["open_things", counter("open.things", "1", false)],
    ["bytes_read_total", counter("bytes.read", "By")],
    ["network_io_bytes_per_second", gauge("network.io", "By/s")],
    ["requests_per_second", gauge("requests", "{request}/s")],
    ["disk_usage_percent", gauge("disk.usage", "%")],
    ["duration_milliseconds", gauge("duration", "milliseconds")],
    ["speed_furlongs", gauge("speed", "furlongs")],
    ["_5xx_answers", gauge("5xx..answers", "{answer}")],
    ["weird_name", gauge("weird name\n", "{x}")]
  ]

  it.effect.each(cases)("is %s", ([name, metric]) =>
    Effect.gen(function*() {
      assert.match(yield* written(metric), new RegExp(`^# TYPE ${name} `))
    }))

  it.effect("is that of a timer with its unit", () =>
    Effect.gen(function*() {
      const timer = Metric.timer("handled")
      assert.include(yield* written(Metric.update(timer, Duration.millis(5))), "handled_milliseconds_count 1\n")
    }))
})

describe("the page for Prometheus", () => {
  it.effect("has each kind of metric", () =>
    Effect.gen(function*() {
      const page = yield* written(Effect.gen(function*() {
        const boundaries = [0.1, 1]
        const wait = Metric.histogram("wait", {
          boundaries,
          description: "Waits",
          attributes: { unit: "s", pool: "db" }
        })
        for (const value of [0.05, 0.5, 5]) yield* Metric.update(wait, value)
        yield* Metric.update(Metric.counter("opened", { incremental: true, description: "Opened" }), 2)
        yield* Metric.update(Metric.gauge("used", { attributes: { unit: "{connection}", b: "2", a: "1" } }), 3)
        yield* Metric.update(Metric.frequency("errors"), "ECONNRESET")
        yield* Metric.update(Metric.gauge("far", { bigint: true, attributes: { unit: "{x}" } }), 2n ** 60n)
      }))
      assert.strictEqual(
        page,
        [
          "# HELP wait_seconds Waits",
          "# TYPE wait_seconds histogram",
          "wait_seconds_bucket{pool=\"db\",le=\"0.1\"} 1",
          "wait_seconds_bucket{pool=\"db\",le=\"1\"} 2",
          "wait_seconds_bucket{pool=\"db\",le=\"+Inf\"} 3",
          "wait_seconds_sum{pool=\"db\"} 5.55",
          "wait_seconds_count{pool=\"db\"} 3",
          "# HELP opened_total Opened",
          "# TYPE opened_total counter",
          "opened_total 2",
          "# TYPE used gauge",
          "used{a=\"1\",b=\"2\"} 3",
          "# TYPE errors_total counter",
          "errors_total{key=\"ECONNRESET\"} 1",
          "# TYPE far gauge",
          "far 1152921504606846976",
          ""
        ].join("\n")
      )
    }))

  it.effect("has the header of a family once, and no series twice", () =>
    Effect.gen(function*() {
      const page = yield* written(Effect.gen(function*() {
        for (const pool of ["a", "b"]) {
          for (const description of ["First", "Second"]) {
            yield* Metric.update(Metric.gauge("x.y", { description, attributes: { pool, unit: "{x}" } }), 1)
          }
        }
        yield* Metric.update(Metric.gauge("x_y", { attributes: { pool: "a", unit: "{x}" } }), 2)
        yield* Metric.update(Metric.histogram("x.y", { boundaries: [1], attributes: { unit: "{x}" } }), 3)
        yield* Metric.update(Metric.gauge("z", { attributes: { "a.b": "1", a_b: "2", unit: "{x}" } }), 3)
      }))
      assert.strictEqual(
        page,
        "# HELP x_y First\n# TYPE x_y gauge\nx_y{pool=\"a\"} 1\nx_y{pool=\"b\"} 1\n# TYPE z gauge\nz{a_b=\"1;2\"} 3\n"
      )
    }))

  it.effect("has no line, label or secret of a hostile name", () =>
    Effect.gen(function*() {
      const hostile = [
        "a\"} 1\nforged 2\n# HELP x",
        "back\\slash",
        "\u001b[31mred\u001b[0m",
        "<img src=x onerror=alert(1)>",
        "postgres://ada:hunter2@db/x",
        `${"x".repeat(10_000)} password=hunter2`
      ]
      const page = yield* written(Effect.gen(function*() {
        for (const text of hostile) {
          const attributes = { unit: "{x}", "pool": text, [text]: "y" }
          yield* Metric.update(Metric.gauge(`hostile`, { description: text, attributes }), 1)
        }
      }))
      assert.notInclude(page, "hunter2")
      assert.notMatch(page, /[^\n\x20-\x7e]/)
      for (const line of page.trim().split("\n")) {
        assert.match(line, /^(# HELP hostile .*|# TYPE hostile gauge|hostile\{(\w+="(\\.|[^"\\])*",?)+\} 1)$/)
        assert.isBelow(line.length, 12_000)
      }
    }))

  it("is empty without metrics", () => {
    assert.strictEqual(prometheusText([]), "")
  })
})
