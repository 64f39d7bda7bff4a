/**
 * The metrics of the monitor, of its gate, of the runtime and of breakers.
 *
 * @since 0.1.0
 */
import type { MetricDefinition } from "../../internal/MetricSeries.ts"

/** The attributes of these metrics. */
export const attribute = {
  resource: "sluice.resource",
  verdict: "sluice.verdict",
  breaker: "sluice.breaker",
  state: "sluice.breaker.state",
  heapSpace: "v8js.heap.space.name"
} as const

const metric = (
  kind: MetricDefinition["kind"],
  id: string,
  unit: string,
  description: string,
  ...attributes: ReadonlyArray<string>
): MetricDefinition => ({ id, kind, unit, description, attributes })

/** The metrics of the monitor and of its gate. */
export const monitorMetrics = {
  used: metric(
    "gauge",
    "sluice.monitor.used",
    "{resource}",
    "What the process uses: descriptors, connections of this library, bytes of memory",
    attribute.resource
  ),
  limit: metric(
    "gauge",
    "sluice.monitor.limit",
    "{resource}",
    "The limit of what the process uses; no series without a limit",
    attribute.resource
  ),
  reserved: metric("gauge", "sluice.monitor.reserved", "{file_descriptor}", "Descriptors reserved for openings"),
  level: metric("gauge", "sluice.monitor.level", "{level}", "0 Normal, 1 Warning, 2 Critical, 3 Exhausted"),
  lag: metric("gauge", "sluice.monitor.eventloop.lag", "s", "How late the timer of the monitor was the last time"),
  stalls: metric(
    "counter",
    "sluice.monitor.eventloop.stalls",
    "{stall}",
    "Times of more than a second in which the event loop did not turn"
  ),
  pressure: metric(
    "gauge",
    "sluice.monitor.pressure",
    "1",
    "Share of the last 10 seconds in which a task waited for this",
    attribute.resource
  ),
  zombies: metric("gauge", "sluice.monitor.zombies", "{process}", "Children that have ended and were not waited for"),
  cost: metric("gauge", "sluice.monitor.cost", "1", "Share of a processor that the readings of the monitor take"),
  leaks: metric("counter", "sluice.monitor.leaks", "{leak}", "Leaks that were reported", attribute.verdict),
  refusals: metric(
    "counter",
    "sluice.gate.refusals",
    "{request}",
    "Openings that were refused for lack of this",
    attribute.resource
  ),
  wait: metric("histogram", "sluice.gate.wait", "s", "Time that an admitted opening waited for room"),
  waiting: metric("gauge", "sluice.gate.waiting", "{request}", "Openings that wait for room")
} as const

/** The metrics of the runtime, under the names of OpenTelemetry. An SDK may record them too. */
export const runtimeMetrics = {
  descriptors: metric("gauge", "process.unix.file_descriptor.count", "{file_descriptor}", "Open file descriptors"),
  memory: metric("gauge", "process.memory.usage", "By", "Resident memory"),
  threads: metric("gauge", "process.thread.count", "{thread}", "Threads of the process"),
  utilization: metric("gauge", "nodejs.eventloop.utilization", "1", "Share of the time in which the loop was busy"),
  heap: metric("gauge", "v8js.memory.heap.used", "By", "Bytes in use in a space of the heap", attribute.heapSpace)
} as const

/** The metrics of the breakers that pools have in their retry policies. */
export const breakerMetrics = {
  open: metric(
    "gauge",
    "sluice.breaker.open",
    "{circuit}",
    "Circuits of a breaker that are open or half open",
    attribute.breaker
  ),
  transitions: metric(
    "counter",
    "sluice.breaker.transitions",
    "{transition}",
    "Changes of the circuits of a breaker",
    attribute.breaker,
    attribute.state
  )
} as const
