/**
 * What a retry costs around an effect that succeeds at once: ours, Effect's own, and those of promises.
 */
import * as Cockatiel from "cockatiel"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as CircuitBreaker from "effect/persistence/CircuitBreaker"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import Opossum from "opossum"
import pRetry from "p-retry"
import * as ResourceMonitor from "../src/Monitor/ResourceMonitor.ts"
import * as Breaker from "../src/Retry/Breaker.ts"
import * as RetryBudget from "../src/Retry/RetryBudget.ts"
import * as RetryPolicy from "../src/Retry/RetryPolicy.ts"
import { type Contestant, interleaved, median, type Rounds, show, type Values } from "./measure.ts"
import type { Table, Target } from "./report.ts"

const bareEffect = "the effect alone"
const barePromise = "the promise alone"
const effectRetry = "Effect.retry, exponential and jittered"
const effectBoth = "Effect.retry and CircuitBreaker"
const ours = "effect-sluice"
const oursInScope = "effect-sluice, in a scope"
const oursUnlimited = "effect-sluice, no limits"
const oursBoth = "effect-sluice, budget and breaker"

/** It is no constant, or the run loop would have nothing to do. */
const answer = Effect.suspend(() => Effect.void)

const schedule = Schedule.jittered(Schedule.exponential("100 millis"))
const everything = RetryPolicy.make({ budget: RetryBudget.make(), breaker: Breaker.make() })
const breakerOptions = { tripPolicy: CircuitBreaker.consecutive(5), openDuration: "1 second" } as const

type Services = ResourceMonitor.ResourceMonitor | CircuitBreaker.CircuitBreaker

type Failure =
  | RetryPolicy.RetryError<never>
  | CircuitBreaker.CircuitBreakerError

type Retried = Effect.Effect<void, Failure, ResourceMonitor.ResourceMonitor>

type Way = (effect: Effect.Effect<void>) => Retried

/** Each makes an effect once, which is run many times. Effect's breaker is looked up before. */
const waysWith = (breaker: CircuitBreaker.CircuitBreaker): ReadonlyArray<readonly [string, Way]> => {
  const guard = (effect: Effect.Effect<void>) => breaker.execute(effect, { key: "db" })
  return [
    [bareEffect, (effect) => effect],
    [effectRetry, (effect) => Effect.retry(effect, schedule)],
    ["Effect's CircuitBreaker", guard],
    [effectBoth, (effect) => Effect.retry(guard(effect), schedule)],
    [ours, plain],
    [oursInScope, (effect) => Effect.scoped(plain(effect))],
    [oursBoth, (effect) => RetryPolicy.retry(effect, everything)]
  ]
}

const plain: Way = (effect) => RetryPolicy.retry(effect, RetryPolicy.standard)

const serve = async () => {}

const cockatielRetry = Cockatiel.retry(Cockatiel.handleAll, {
  maxAttempts: 3,
  backoff: new Cockatiel.ExponentialBackoff()
})
const cockatielBreaker = Cockatiel.circuitBreaker(Cockatiel.handleAll, {
  halfOpenAfter: 1000,
  breaker: new Cockatiel.ConsecutiveBreaker(5)
})
const cockatielBoth = Cockatiel.wrap(cockatielRetry, cockatielBreaker)
const opossum = new Opossum(serve, { timeout: false })

const promises: ReadonlyArray<readonly [string, () => Promise<unknown>]> = [
  [barePromise, serve],
  ["cockatiel retry", () => cockatielRetry.execute(serve)],
  ["cockatiel retry and breaker", () => cockatielBoth.execute(serve)],
  ["p-retry", () => pRetry(serve, { retries: 2 })],
  ["opossum (a breaker alone)", () => opossum.fire()]
]

/** Whatever is parked here is not garbage. */
const underWay: Array<Fiber.Fiber<unknown, unknown>> = []

const ofEffect = (
  [name, way]: readonly [string, Way],
  context: Context.Context<ResourceMonitor.ResourceMonitor>,
  operations: number
): Contestant => {
  const effect = way(answer)
  // One is always under way, as in a program that does this all the time. Each round begins with a collection of garbage, and
  // V8 forgets the code that it has made for objects of which it finds none.
  underWay.push(Effect.runForkWith(context)(way(Effect.never)))
  return {
    name,
    operations,
    run: () => {
      let left = operations
      const all = Effect.whileLoop({ while: () => left > 0, body: () => effect, step: () => void left-- })
      return Effect.runPromise(Effect.provideContext(all, context))
    }
  }
}

const ofPromise = ([name, call]: readonly [string, () => Promise<unknown>], operations: number): Contestant => ({
  name,
  operations,
  run: async () => {
    for (let left = operations; left > 0; left--) await call()
  }
})

const services = Layer.mergeAll(
  ResourceMonitor.layer,
  Layer.provide(CircuitBreaker.layer(breakerOptions), CircuitBreaker.layerStoreMemory())
)

const built = <A, E>(layer: Layer.Layer<A, E>, scope: Scope.Scope) =>
  Effect.runPromise(Scope.provide(Layer.build(layer), scope))

/** What one adds to what it is put around, as a share of what another adds: the median over the rounds. */
const added = (one: Values, other: Values, bare: Values): number =>
  median(one.map((value, round) => (value - (bare[round] ?? 0)) / ((other[round] ?? 0) - (bare[round] ?? 0))))

const targetsOf = (of: (name: string) => Values): ReadonlyArray<Target> => {
  const target = (what: string, one: string, other: string, atMost: number): Target => ({
    what,
    ratio: added(of(one), of(other), of(bareEffect)),
    atMost
  })
  return [
    target("what a retry adds, ours to Effect's", ours, effectRetry, 0.5),
    target("the same without limits", oursUnlimited, effectRetry, 0.5),
    target("what retry, budget and breaker add, ours to Effect's retry and breaker", oursBoth, effectBoth, 0.25)
  ]
}

const addedTo = (values: Values, bare: Values): string =>
  median(values.map((value, round) => value - (bare[round] ?? 0))).toFixed(0)

/** Around an effect, and around a promise, that succeed at once. */
export const retry = async (rounds: Rounds, scale: number): Promise<Table> => {
  const operations = 100_000 * scale
  const scope = Scope.makeUnsafe()
  const context: Context.Context<Services> = await built(services, scope)
  const unlimited = await built(ResourceMonitor.layerUnlimited, scope)
  const ways = waysWith(Context.get(context, CircuitBreaker.CircuitBreaker))
  const contestants = [
    ...ways.map((each) => ofEffect(each, context, operations)),
    ofEffect([oursUnlimited, plain], unlimited, operations),
    ...promises.map((each) => ofPromise(each, operations))
  ]
  const of = await interleaved(contestants, rounds)
  await Effect.runPromise(Effect.andThen(Fiber.interruptAll(underWay), Scope.close(scope, Exit.void)))
  const isPromise = new Set(promises.map(([name]) => name))
  const bareOf = (name: string) => of(isPromise.has(name) ? barePromise : bareEffect)
  return {
    title: "A retry around what succeeds at once (ns, median, least-most)",
    columns: ["around an effect or a promise", "takes", "adds"],
    rows: contestants.map(({ name }) => [name, show(of(name)), addedTo(of(name), bareOf(name))]),
    targets: targetsOf(of)
  }
}
