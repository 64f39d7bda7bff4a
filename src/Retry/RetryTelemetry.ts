/**
 * Metrics of retries, budgets and breakers. A policy without metrics has no cost for them.
 *
 * In addition, each attempt adds an event `retry.attempt` to the current span, if there is one. The event has the label, the
 * number of the attempt, its outcome, the code of its failure and its duration.
 *
 * @since 0.1.0
 * @stability stable
 */
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import type * as Scope from "effect/Scope"
import { checkOptions } from "../internal/Options.ts"
import { safeLabel } from "../internal/SafeText.ts"
import { scopedValue } from "../internal/ScopeHooks.ts"
import { type Breaker, type State, TypeId as breakerTypeId } from "./Breaker.ts"
import { type RetryBudget, TypeId as budgetTypeId } from "./RetryBudget.ts"
import { make, type RetryObserver, type RetryPolicy } from "./RetryPolicy.ts"

export { InvalidOption } from "../internal/InvalidOption.ts"

/** Those that OpenTelemetry advises for durations of database clients, in seconds. */
const boundaries = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10]

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
  // Effect's exporters take the unit from the attribute `unit`, and export it as such.
  const counter = (id: string, description: string, unit: string, attribute: string) =>
    byValue((value) =>
      Metric.counter(`sluice.retry.${id}`, {
        description,
        attributes: { "retry.policy": policy, [attribute]: value, unit },
        incremental: true
      })
    )
  const seconds = (id: string, description: string) =>
    Metric.histogram(`sluice.retry.${id}`, {
      description,
      attributes: { "retry.policy": policy, unit: "s" },
      boundaries
    })
  return {
    attempts: counter("attempts", "Attempts that have ended", "{attempt}", "retry.outcome"),
    refusals: counter("refusals", "Calls that have failed", "{call}", "retry.reason"),
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
 * `make({ ...policy })`, is recorded under the same name. Each metric has its unit in the attribute `unit`. An empty name throws
 * `InvalidOption`.
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
 * @see {@link recordBreaker} for the circuits of a breaker
 * @category metrics
 * @since 0.1.0
 * @stability stable
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
  return safeLabel(name)
}

const nothing = (): void => {}

/** A gauge that is read when the metrics are exported. It is removed at the end of the scope. */
const gaugeOf = (
  id: string,
  options: { readonly description: string; readonly attributes: Record<string, string> },
  read: () => number
): Effect.Effect<void, never, Scope.Scope> =>
  Effect.contextWith((context: Context.Context<never>) =>
    Effect.asVoid(scopedValue(
      () =>
        Metric.registerUnsafe(Metric.gauge(id, options), context, {
          get: () => ({ value: read() }),
          update: nothing,
          modify: nothing
        }),
      (registration) => registration.remove()
    ))
  )

/**
 * Records the balance of a budget, in tokens, in the gauge `sluice.retry.budget.balance` under the attribute `retry.budget`
 * until the scope ends. It is read when the metrics are exported. For a keyed budget, it is the lowest balance of all labels. An
 * empty name throws `InvalidOption`.
 *
 * @category metrics
 * @since 0.1.0
 * @stability stable
 */
export const recordBudget = (
  budget: RetryBudget,
  options: { readonly name: string }
): Effect.Effect<void, never, Scope.Scope> =>
  gaugeOf(
    "sluice.retry.budget.balance",
    {
      description: "Tokens that are left in a retry budget",
      attributes: { "retry.budget": nameOf(options.name), unit: "{token}" }
    },
    () => budget[budgetTypeId].lowest()
  )

/**
 * The values of the attribute `sluice.breaker.state`.
 *
 * @stability stable
 */
export const stateNames: Record<State["_tag"], string> = { Closed: "closed", Open: "open", HalfOpen: "half_open" }

const openCircuits = (breaker: Breaker): number => {
  let open = 0
  for (const { phase } of breaker[breakerTypeId].all.values()) if (phase !== "Closed") open++
  return open
}

/**
 * Records the circuits of a breaker until the scope ends, under the attribute `sluice.breaker`:
 *
 * - the gauge `sluice.breaker.open`: how many circuits are open or half open, read when the metrics are exported;
 * - the counter `sluice.breaker.transitions`, by `sluice.breaker.state`: how often a circuit went to `open`, `half_open` or `closed`.
 *
 * The labels of the circuits are no attributes, because there may be very many. An empty name throws `InvalidOption`.
 *
 * **Example** (Counting open circuits)
 *
 * ```ts
 * import { Effect, Metric } from "effect"
 * import * as Breaker from "effect-sluice/Breaker"
 * import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
 * import * as RetryPolicy from "effect-sluice/RetryPolicy"
 * import * as RetryTelemetry from "effect-sluice/RetryTelemetry"
 *
 * const breaker = Breaker.make({ consecutiveFailures: 1 })
 * const policy = RetryPolicy.make({ maxAttempts: 1, breaker })
 *
 * const program = Effect.gen(function*() {
 *   yield* RetryTelemetry.recordBreaker(breaker, { name: "orders" })
 *   yield* Effect.ignore(RetryPolicy.retry(Effect.fail({ code: "ECONNREFUSED" }), policy, { label: "db:5432" }))
 *   const metrics = yield* Metric.snapshot
 *   const open = metrics.find((metric) => metric.id === "sluice.breaker.open")
 *   return open?.type === "Gauge" ? open.state.value : undefined
 * }).pipe(
 *   Effect.scoped,
 *   Effect.provide(ResourceMonitor.layerUnlimited),
 *   Effect.provideService(Metric.MetricRegistry, new Map())
 * )
 *
 * await Effect.runPromise(program) // => 1
 * ```
 *
 * @see `BreakerChanges.changes` for each change with its label
 * @category metrics
 * @since 0.1.0
 * @stability stable
 */
export const recordBreaker = (
  breaker: Breaker,
  options: { readonly name: string }
): Effect.Effect<void, never, Scope.Scope> => {
  const name = nameOf(options.name)
  const made: Array<Metric.Counter<number>> = []
  const transitions = byValue((state) => {
    const counter = Metric.counter("sluice.breaker.transitions", {
      description: "Changes of the circuits of a breaker",
      attributes: { "sluice.breaker": name, "sluice.breaker.state": state, unit: "{transition}" },
      incremental: true
    })
    made.push(counter)
    return counter
  })
  const count = Effect.contextWith((context: Context.Context<never>) =>
    scopedValue(
      () => breaker[breakerTypeId].listen(({ to }) => transitions(stateNames[to]).updateUnsafe(1, context)),
      (stop) => {
        stop()
        for (const counter of made) Metric.removeUnsafe(counter, context)
      }
    )
  )
  const gauge = gaugeOf(
    "sluice.breaker.open",
    {
      description: "Circuits of a breaker that are open or half open",
      attributes: { "sluice.breaker": name, unit: "{circuit}" }
    },
    () => openCircuits(breaker)
  )
  return Effect.andThen(count, gauge)
}
