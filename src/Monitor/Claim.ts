/**
 * What an admitted opening holds of the gate's room, and how it says that its descriptor exists.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"

/**
 * Room for one opening, granted by `ResourceMonitor.reserve`.
 *
 * **Details**
 *
 * A claim stands in for descriptors that do not exist yet. From the moment at which one exists the count of the process
 * contains it, and a claim that went on would count it twice: so whoever opens a descriptor says so. What nobody says ends
 * with the scope that was reserved in.
 *
 * @category models
 * @since 0.1.0
 */
export interface Claim {
  /**
   * Says that one of the claimed descriptors exists now. Call it in the same step that created it or later, never before:
   * a claim that ends too early lets a burst pass.
   *
   * The result undoes it: it claims the room again, without asking, if the opening still goes on. Call it just before that
   * descriptor is closed, so that an attempt whose first dial failed has room for a second. Calling either of them twice, or
   * after the claim has ended, does nothing.
   */
  readonly descriptorOpened: () => () => void
  /**
   * Takes room for one opening, so that another one under the same claim asks the gate for room of its own. `undefined` if all
   * is taken, the descriptors exist already, or the claim has ended. The result gives it back: call it once, when the opening
   * has ended. A claim without this function has room for every opening.
   */
  readonly take?: (() => (() => void) | undefined) | undefined
}

const nothing = (): void => {}

/**
 * A claim on nothing, for openings that passed no gate.
 *
 * @category constructors
 * @since 0.1.0
 */
export const none: Claim = { descriptorOpened: () => nothing }

/**
 * The claim under which the running fiber opens something. `RetryPolicy.retry`, and with it a pool, provides it to each
 * attempt; `TcpConnection` ends it as soon as its socket exists. By default it is a claim on nothing.
 *
 * **When to use**
 *
 * Use in a connector of your own whose driver says when its socket was created, if it opens many connections at once: a
 * claim that lives until the connection is ready counts one descriptor twice in the meantime.
 *
 * **Example** (Saying that the descriptor exists)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { ResourceMonitor } from "effect-sluice/ResourceMonitor"
 * import * as Monitor from "effect-sluice/ResourceMonitor"
 *
 * const open = Effect.gen(function*() {
 *   const claim = yield* Monitor.CurrentClaim
 *   // ... create the socket, and then:
 *   claim.descriptorOpened()
 * })
 *
 * const program = Effect.gen(function*() {
 *   const monitor = yield* ResourceMonitor
 *   const claim = yield* monitor.reserve({ label: "db:5432" })
 *   const before = (yield* monitor.usage).reserved
 *   yield* Effect.provideService(open, Monitor.CurrentClaim, claim)
 *   return [before, (yield* monitor.usage).reserved]
 * }).pipe(Effect.scoped, Effect.provide(Monitor.layerTest))
 *
 * await Effect.runPromise(program) // => [1, 0]
 * ```
 *
 * @category references
 * @since 0.1.0
 */
export const CurrentClaim: Context.Reference<Claim> = Context.Reference<Claim>("effect-sluice/Monitor/CurrentClaim", {
  defaultValue: () => none
})
