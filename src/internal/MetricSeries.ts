/**
 * Definitions of metrics, and the series of one thing: made with it, read by Effect's exporters, and removed with it.
 *
 * A series keeps its value in a plain number, which Effect's registry reads when a program exports its metrics. An update of a metric
 * by Effect looks its series up in the registry each time, which is too expensive for each borrow.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Metric from "effect/Metric"

/** A metric. The names of attributes do not include `unit`, which is an attribute of each series for Effect's exporters. */
export interface MetricDefinition {
  readonly id: string
  readonly kind: "counter" | "gauge" | "histogram"
  /** As in UCUM: `s`, `By`, `1`, or a noun in braces. */
  readonly unit: string
  readonly description: string
  readonly attributes: ReadonlyArray<string>
}

/** The boundaries that OpenTelemetry advises for durations of database clients, in seconds. */
export const durationBoundaries: ReadonlyArray<number> = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10]

/** The attributes of a series. */
export type Attributes = Readonly<Record<string, string>>

/** A number that only grows. */
export class CounterSeries {
  #count = 0

  get state(): Metric.CounterState<number> {
    return { count: this.#count, incremental: true }
  }

  add(count: number): void {
    if (count > 0) this.#count += count
  }
}

/** A number. Without a value, there is no series. */
export interface GaugeSeries {
  readonly set: (value: number | undefined) => void
}

/** Counts durations in seconds by the boundaries. */
export class HistogramSeries {
  readonly #counts = new Float64Array(durationBoundaries.length + 1)
  #zeros = 0
  #count = 0
  #sum = 0
  #min = Number.MAX_VALUE
  #max = -Number.MAX_VALUE

  get state(): Metric.HistogramState {
    let sum = this.#zeros
    const buckets = durationBoundaries.map((boundary, index): [number, number] => {
      sum += this.#counts[index] ?? 0
      return [boundary, sum]
    })
    const min = this.#zeros > 0 ? Math.min(this.#min, 0) : this.#min
    const max = this.#zeros > 0 ? Math.max(this.#max, 0) : this.#max
    return { buckets, count: this.#count + this.#zeros, min, max, sum: this.#sum }
  }

  record(value: number): void {
    // Most borrows do not wait.
    if (value === 0) {
      this.#zeros++
      return
    }
    // Most values are in one of the first buckets.
    let index = 0
    while (value > (durationBoundaries[index] ?? Infinity)) index++
    this.#counts[index] = (this.#counts[index] ?? 0) + 1
    this.#count++
    this.#sum += value
    if (value < this.#min) this.#min = value
    if (value > this.#max) this.#max = value
  }
}

/** Series in the registry of a context. They are removed together at their end. */
export class SeriesSet {
  readonly #context: Context.Context<never>
  readonly #common: Attributes
  readonly #registered = new Set<Metric.Registration>()

  constructor(context: Context.Context<never>, common: Attributes = {}) {
    this.#context = context
    this.#common = common
  }

  counter(definition: MetricDefinition, attributes: Attributes = {}): CounterSeries {
    const series = new CounterSeries()
    const options = { ...this.#options(definition, attributes), incremental: true }
    this.#register(Metric.counter(definition.id, options), () => series.state)
    return series
  }

  histogram(definition: MetricDefinition, attributes: Attributes = {}): HistogramSeries {
    const series = new HistogramSeries()
    const options = { ...this.#options(definition, attributes), boundaries: durationBoundaries }
    this.#register(Metric.histogram(definition.id, options), () => series.state)
    return series
  }

  gauge(definition: MetricDefinition, attributes: Attributes = {}): GaugeSeries {
    const metric = Metric.gauge(definition.id, this.#options(definition, attributes))
    let registration: Metric.Registration | undefined
    let present = 0
    return {
      set: (value) => {
        if (value !== undefined) {
          present = value
          registration ??= this.#register(metric, () => ({ value: present }))
        } else if (registration !== undefined) {
          this.#remove(registration)
          registration = undefined
        }
      }
    }
  }

  /** Removes all series. */
  removeAll(): void {
    for (const registration of this.#registered) this.#remove(registration)
  }

  #options({ description, unit }: MetricDefinition, attributes: Attributes) {
    return { description, attributes: { ...this.#common, ...attributes, unit } }
  }

  #register<State>(metric: Metric.Metric<number, State>, get: () => State): Metric.Registration {
    const nothing = () => {}
    const registration = Metric.registerUnsafe(metric, this.#context, { get, update: nothing, modify: nothing })
    this.#registered.add(registration)
    return registration
  }

  #remove(registration: Metric.Registration): void {
    registration.remove()
    this.#registered.delete(registration)
  }
}

/** What several recorders share: series, or the observer of one source. */
interface Shared<A> {
  readonly value: A
  users: number
}

/** Values with a number of users, by key. The last user ends a value. */
export class SharedValues<Key, A> {
  readonly #values = new Map<Key, Shared<A>>()

  get size(): number {
    return this.#values.size
  }

  get(key: Key): A | undefined {
    return this.#values.get(key)?.value
  }

  /** Adds a user of the value of a key, which is made for the first one. */
  join(key: Key, make: () => A): A {
    const shared = this.#values.get(key) ?? { value: make(), users: 0 }
    this.#values.set(key, shared)
    shared.users++
    return shared.value
  }

  /** Ends a user. The result is the value if that was its last user. */
  leave(key: Key): A | undefined {
    const shared = this.#values.get(key)
    if (shared === undefined || --shared.users > 0) return undefined
    this.#values.delete(key)
    return shared.value
  }
}

/**
 * One value for each registry, name and set of attributes of the context, so that several recorders of the same series share them, and
 * nothing is counted twice.
 */
export class SharedSeries<A extends { readonly removeAll: () => void }> {
  readonly #registries = new WeakMap<Metric.MetricRegistry, SharedValues<string, A>>()

  /** Adds a user. `leave` removes it; the last one removes the series. */
  join(
    context: Context.Context<never>,
    name: string,
    make: () => A
  ): { readonly value: A; readonly leave: () => void } {
    const registry = Context.get(context, Metric.MetricRegistry)
    const values = this.#registries.get(registry) ?? new SharedValues<string, A>()
    this.#registries.set(registry, values)
    const key = JSON.stringify([name, Context.get(context, Metric.CurrentMetricAttributes)])
    return { value: values.join(key, make), leave: () => values.leave(key)?.removeAll() }
  }
}
