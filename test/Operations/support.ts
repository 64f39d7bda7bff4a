/**
 * What tests of Operations have in common.
 */
import { Effect, Metric } from "effect"

/** A series as a test sees it. A histogram is the number of its values. */
export interface Series {
  readonly id: string
  readonly attributes: Readonly<Record<string, string>>
  readonly value: number
}

const valueOf = (metric: Metric.Metric.Snapshot): number => {
  switch (metric.type) {
    case "Gauge":
      return Number(metric.state.value)
    case "Counter":
      return Number(metric.state.count)
    case "Histogram":
      return metric.state.count
    default:
      return NaN
  }
}

/** All series of the registry in the context. */
export const allSeries: Effect.Effect<ReadonlyArray<Series>> = Effect.map(
  Metric.snapshot,
  (all) => all.map((metric) => ({ id: metric.id, attributes: metric.attributes ?? {}, value: valueOf(metric) }))
)

const has = (wanted: Readonly<Record<string, string>>) => ({ attributes }: Series): boolean =>
  Object.entries(wanted).every(([name, value]) => attributes[name] === value)

/** The series of a metric with these attributes. */
export const seriesOf = (id: string, attributes: Readonly<Record<string, string>> = {}) =>
  Effect.map(allSeries, (all) => all.filter((series) => series.id === id && has(attributes)(series)))

/** The values of these series. */
export const valuesOf = (id: string, attributes: Readonly<Record<string, string>> = {}) =>
  Effect.map(seriesOf(id, attributes), (all) => all.map(({ value }) => value))

/** The series of a pool. */
export const ofPool = (pool: string) =>
  Effect.map(allSeries, (all) => all.filter(has({ "db.client.connection.pool.name": pool })))

/** Runs an effect with a registry of metrics of its own. */
export const withOwnMetrics = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.provideService(effect, Metric.MetricRegistry, new Map())
