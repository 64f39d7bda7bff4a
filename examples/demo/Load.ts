/**
 * The load: the requests, and the fibers that make them.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as Result from "effect/Result"
import * as Misbehaviour from "./server/Misbehaviour.ts"
import type { Tally, Target } from "./Tally.ts"
import { reasonOf } from "./Tally.ts"

/** Makes one request. The modes differ in their connections and retries. */
export type Way<E> = (target: Target) => Effect.Effect<void, E>

/** The share of requests that go to the dead endpoint. */
const deadShare = 0.03

/** The target of each request. It depends on the seed only, so both modes make the same requests. */
export const plan = (tally: Tally, seed: number): Effect.Effect<ReadonlyArray<Target>> => {
  const dead = tally.targets.filter((target) => target.dead)
  const live = tally.targets.filter((target) => !target.dead)
  const draw = Effect.gen(function*() {
    const choices = (yield* Random.next) < deadShare && dead.length > 0 ? dead : live
    return choices[Math.floor((yield* Random.next) * choices.length)]
  })
  return Effect.forEach(Array.from({ length: tally.planned }), () => draw).pipe(
    Effect.map((targets) => targets.filter((target) => target !== undefined)),
    Random.withSeed(seed)
  )
}

const request = <E>(tally: Tally, way: Way<E>, target: Target): Effect.Effect<void> =>
  Effect.gen(function*() {
    const start = yield* Clock.monotonicTimeNanos
    tally.started++
    const result = yield* Effect.result(way(target))
    if (Result.isFailure(result)) {
      const reason = reasonOf(result.failure)
      target.failed++
      tally.byReason.set(reason, (tally.byReason.get(reason) ?? 0) + 1)
    } else {
      target.succeeded++
      tally.latencies.push(Number((yield* Clock.monotonicTimeNanos) - start) / 1e6)
    }
  })

/** Between the two waves each connection is idle long enough that the server closes it. */
const pause = 2 * Misbehaviour.idleMillis

/** Makes the requests in two waves, `fibers` at a time. Failures of requests are counted. */
export const run = <E>(options: {
  readonly tally: Tally
  readonly way: Way<E>
  readonly requests: ReadonlyArray<Target>
  readonly fibers: number
}): Effect.Effect<void> => {
  const { fibers, requests, tally, way } = options
  const half = Math.ceil(requests.length / 2)
  const wave = (targets: ReadonlyArray<Target>) =>
    Effect.forEach(targets, (target) => request(tally, way, target), { concurrency: fibers, discard: true })
  return wave(requests.slice(0, half)).pipe(
    Effect.andThen(Effect.sleep(pause)),
    Effect.andThen(wave(requests.slice(half)))
  )
}
