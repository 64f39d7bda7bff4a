/**
 * The changes of a breaker's circuits as a stream. It is a module of its own, so that other bundles contain no stream.
 *
 * @since 0.1.0
 * @stability experimental
 */
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import { scopedValue } from "../internal/ScopeHooks.ts"
import { type Breaker, type Change, TypeId } from "./Breaker.ts"

/**
 * The changes from now on, without end. A slow reader loses the oldest ones when more than 1000 are queued.
 *
 * **Example** (Watching an endpoint go down)
 *
 * ```ts
 * import { Effect, Fiber, Stream } from "effect"
 * import * as Breaker from "effect-sluice/Breaker"
 * import * as BreakerChanges from "effect-sluice/BreakerChanges"
 * import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
 * import * as RetryPolicy from "effect-sluice/RetryPolicy"
 *
 * const breaker = Breaker.make({ consecutiveFailures: 1 })
 * const policy = RetryPolicy.make({ maxAttempts: 1, breaker })
 *
 * const program = Effect.gen(function*() {
 *   const first = yield* BreakerChanges.changes(breaker).pipe(
 *     Stream.runHead,
 *     Effect.forkChild({ startImmediately: true })
 *   )
 *   yield* Effect.fail({ code: "ECONNREFUSED" }).pipe(RetryPolicy.retry(policy, { label: "db:5432" }), Effect.ignore)
 *   return yield* Fiber.join(first)
 * }).pipe(Effect.flatMap(Effect.fromOption), Effect.provide(ResourceMonitor.layerUnlimited))
 *
 * await Effect.runPromise(program) // => { label: "db:5432", from: "Closed", to: "Open" }
 * ```
 *
 * @category streams
 * @since 0.1.0
 * @stability experimental
 */
export const changes = (self: Breaker): Stream.Stream<Change> =>
  Stream.callback<Change>(
    (queue) => scopedValue(() => self[TypeId].listen((change) => Queue.offerUnsafe(queue, change)), (stop) => stop()),
    {
      bufferSize: 1000,
      strategy: "sliding"
    }
  )
