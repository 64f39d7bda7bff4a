/**
 * Metrics of retries. A policy without metrics has no cost for them.
 *
 * In addition, each attempt adds an event `retry.attempt` to the current span, if there is one. The event has the label, the
 * number of the attempt, its outcome, the code of its failure and its duration.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import type * as Scope from "effect/Scope"
import { aboveZero, checkOptions } from "../internal/Options.ts"
import { sleepUnref } from "../internal/Timer.ts"
import { type RetryBudget, TypeId as budgetTypeId } from "./RetryBudget.ts"
import { make, type RetryObserver, type RetryPolicy } from "./RetryPolicy.ts"

export { InvalidOption } from "../internal/InvalidOption.ts"

// From a tenth of a millisecond to about a minute, in seconds.
const boundaries = Metric.exponentialBoundaries({ start: 0.0001, factor: 2, count: 20 })

/** One metric for each value of an attribute, made at the first use of the value. */
const byValue = <A>(make: (value: string) => A): (value: string) => A => {
  const made = new Map<string, A>()
  return (value) => {
    const found = made.get(value)
    if (found !== undefined) return found
    const fresh = make(value)
    made.set(value, fresh)
    return fresh
  }
}

const metricsOf = (policy: string) => {
  const counter = (id: string, description: string, attribute: string) =>
    byValue((value) =>
      Metric.counter(`sluice.retry.${id}`, {
        description,
        attributes: { "retry.policy": policy, [attribute]: value },
        incremental: true
      })
    )
  const seconds = (id: string, description: string) =>
    Metric.histogram(`sluice.retry.${id}`, { description, attributes: { "retry.policy": policy }, boundaries })
  return {
    attempts: counter("attempts", "Attempts that have ended", "retry.outcome"),
    refusals: counter("refusals", "Calls that have failed", "retry.reason"),
    duration: seconds("attempt.duration", "Time that an attempt took, in seconds"),
    delay: seconds("delay", "Time that a call waits for its next attempt, in seconds"),
    gateWait: seconds("gate.wait", "Time that an attempt waited for room on this host, in seconds")
  }
}

/**
 * A copy of the policy whose retries are recorded in Effect's metrics under the attribute `retry.policy`:
 *
 * - `sluice.retry.attempts`, by `retry.outcome`: `Succeeded`, the class of the failure, `TimedOut` at the deadline, or `Passed` (a defect
 *   or an interruption);
 * - `sluice.retry.refusals`, by `retry.reason`: failed retries, by the tag of the reason;
 * - `sluice.retry.attempt.duration`, `sluice.retry.delay` and `sluice.retry.gate.wait`, in seconds.
 *
 * **Details**
 *
 * The metrics are in the registry of the effect's context. A policy that is made from the result, such as
 * `make({ ...policy })`, is recorded under the same name. An empty name throws `InvalidOption`.
 *
 * **Example** (Counting attempts)
 *
 * ```ts
 * import { Effect, Metric } from "effect"
 * import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
 * import * as RetryPolicy from "effect-sluice/RetryPolicy"
 * import * as RetryTelemetry from "effect-sluice/RetryTelemetry"
 *
 * let calls = 0
 * const call = Effect.suspend(() => ++calls < 3 ? Effect.fail({ code: "ECONNREFUSED" }) : Effect.void)
 *
 * const program = Effect.gen(function*() {
 *   const patient = RetryPolicy.make({ initialDelay: "1 millis" })
 *   const policy = yield* RetryTelemetry.record(patient, { name: "orders" })
 *   yield* RetryPolicy.retry(call, policy)
 *   const metrics = yield* Metric.snapshot
 *   return metrics.filter((metric) => metric.id === "sluice.retry.attempts").map((metric) => [
 *     metric.attributes?.["retry.outcome"],
 *     metric.type === "Counter" ? metric.state.count : undefined
 *   ])
 * }).pipe(Effect.provide(ResourceMonitor.layerUnlimited), Effect.provideService(Metric.MetricRegistry, new Map()))
 *
 * await Effect.runPromise(program) // => [["Transient", 2], ["Succeeded", 1]]
 * ```
 *
 * @see {@link recordBudget} for the balance of a budget
 * @category metrics
 * @since 0.1.0
 */
export const record = (policy: RetryPolicy, options: { readonly name: string }): Effect.Effect<RetryPolicy> => {
  const metrics = metricsOf(nameOf(options.name))
  return Effect.map(Effect.context<never>(), (context) => {
    const observer: RetryObserver = {
      ended: (how, millis) => {
        metrics.attempts(how).updateUnsafe(1, context)
        metrics.duration.updateUnsafe(millis / 1000, context)
      },
      passedGate: (millis) => metrics.gateWait.updateUnsafe(millis / 1000, context),
      delayed: (millis) => metrics.delay.updateUnsafe(millis / 1000, context),
      refused: (reason) => metrics.refusals(reason).updateUnsafe(1, context)
    }
    return make({ ...policy, observer })
  })
}

const check = checkOptions("RetryTelemetry")

const nameOf = (name: string): string => {
  check.require(name !== "", "name", name, "not be empty")
  return name
}

/**
 * Records the balance of a budget, in tokens, in the gauge `sluice.retry.budget.balance` under the attribute `retry.budget`
 * until the scope ends: now, and then once in each interval. For a keyed budget, it is the lowest balance of all labels. An
 * empty name, or an interval that is not above 0, throws `InvalidOption`.
 *
 * @category metrics
 * @since 0.1.0
 */
export const recordBudget = (budget: RetryBudget, options: {
  readonly name: string
  /** How often the balance is read; above 0. @default 5 seconds */
  readonly interval?: Duration.Input | undefined
}): Effect.Effect<void, never, Scope.Scope> => {
  const gauge = Metric.gauge("sluice.retry.budget.balance", {
    description: "Tokens that are left in a retry budget",
    attributes: { "retry.budget": nameOf(options.name) }
  })
  const interval = check.millis("interval", options.interval ?? "5 seconds", aboveZero)
  return Effect.suspend(() => Metric.update(gauge, budget[budgetTypeId].lowest())).pipe(
    Effect.andThen(sleepUnref(Math.ceil(interval))),
    Effect.forever,
    Effect.forkScoped({ startImmediately: true }),
    Effect.asVoid
  )
}
