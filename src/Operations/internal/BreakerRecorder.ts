/**
 * Records the breakers of pools in Effect's metrics.
 *
 * @since 0.1.0
 */
import type * as Context from "effect/Context"
import {
  type CounterSeries,
  type GaugeSeries,
  SeriesSet,
  SharedSeries,
  SharedValues
} from "../../internal/MetricSeries.ts"
import type { PoolRecorder } from "../../Pool/PoolRecorder.ts"
import type { RegisteredPool } from "../../Pool/PoolRegistry.ts"
import { type Breaker, type Change, TypeId } from "../../Retry/Breaker.ts"
import { stateNames } from "../../Retry/RetryTelemetry.ts"
import { attribute, breakerMetrics } from "./MonitorMetrics.ts"

const states: ReadonlyArray<Change["to"]> = ["Closed", "Open", "HalfOpen"]

const openIn = (breaker: Breaker): number =>
  Array.from(breaker[TypeId].all.values()).filter(({ phase }) => phase !== "Closed").length

/** The series under one name. */
class BreakerSeries {
  readonly #set: SeriesSet
  readonly #open: GaugeSeries
  readonly #transitions: ReadonlyMap<string, CounterSeries>
  readonly #breakers = new SharedValues<Breaker, () => void>()

  constructor(name: string, context: Context.Context<never>) {
    const set = this.#set = new SeriesSet(context, { [attribute.breaker]: name })
    this.#open = set.gauge(breakerMetrics.open)
    this.#transitions = new Map(
      states.map((state) => [state, set.counter(breakerMetrics.transitions, { [attribute.state]: stateNames[state] })])
    )
  }

  begin(breaker: Breaker): void {
    this.#breakers.join(breaker, () => breaker[TypeId].listen(({ to }) => this.#transitions.get(to)?.add(1)))
  }

  read(breaker: Breaker): void {
    this.#open.set(openIn(breaker))
  }

  end(breaker: Breaker): void {
    this.#breakers.leave(breaker)?.()
  }

  removeAll(): void {
    this.#set.removeAll()
  }
}

const shared = new SharedSeries<BreakerSeries>()

/** A breaker has the name of the first pool that was recorded with it, also if other pools share it. */
const names = new WeakMap<Breaker, string>()

/** Records the breaker in the retry policy of a pool. `undefined`: there is none. */
export const recordBreaker = (
  { name, settings: { retry: { breaker } } }: RegisteredPool,
  context: Context.Context<never>
): PoolRecorder | undefined => {
  if (breaker === undefined) return undefined
  const own = names.get(breaker) ?? name
  names.set(breaker, own)
  const { leave, value: series } = shared.join(context, own, () => new BreakerSeries(own, context))
  series.begin(breaker)
  return {
    read: () => series.read(breaker),
    end: () => {
      series.end(breaker)
      leave()
    }
  }
}
