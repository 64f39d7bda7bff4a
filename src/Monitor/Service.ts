/**
 * The monitor as a service: what it can be asked, apart from how it answers.
 *
 * A module that asks the monitor imports this one, so that a bundle of it holds no probe, no layer and no gate: those come
 * with the layer that the program chooses.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { Alert } from "./Alert.ts"
import type { ReserveRequest, ResourceExhausted } from "./gate/Decision.ts"
import type { Leak, LeakFacts } from "./Leak.ts"
import type { HeldLease, SiteCount } from "./Ledger.ts"
import type { CleanupResult, PressureCallback } from "./levels/Cleanup.ts"
import type { Saturated, Unknown } from "./Reading.ts"
import type { Zombie } from "./readings/Children.ts"
import type { DescriptorBreakdown } from "./readings/DescriptorBreakdown.ts"
import type { Cost } from "./readings/Sampler.ts"
import type { Figures, Level, Usage } from "./Usage.ts"

export type { ReserveRequest, ResourceExhausted } from "./gate/Decision.ts"

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
export interface Reservation {
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
export const unreserved: Reservation = { descriptorOpened: () => nothing }

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
 *   const claim = yield* Monitor.CurrentReservation
 *   // ... create the socket, and then:
 *   claim.descriptorOpened()
 * })
 *
 * const program = Effect.gen(function*() {
 *   const monitor = yield* ResourceMonitor
 *   const claim = yield* monitor.reserve({ label: "db:5432" })
 *   const before = (yield* monitor.usage).reserved
 *   yield* Effect.provideService(open, Monitor.CurrentReservation, claim)
 *   return [before, (yield* monitor.usage).reserved]
 * }).pipe(Effect.scoped, Effect.provide(Monitor.layerTest))
 *
 * await Effect.runPromise(program) // => [1, 0]
 * ```
 *
 * @category references
 * @since 0.1.0
 */
export const CurrentReservation: Context.Reference<Reservation> = Context.Reference<Reservation>(
  "effect-sluice/Monitor/CurrentReservation",
  {
    defaultValue: () => unreserved
  }
)

/**
 * An open connection in the ledger.
 *
 * @category models
 * @since 0.1.0
 */
export interface TrackRequest {
  /** The endpoint's text. */
  readonly label: string
  /** `function (file:line:column)` of the call that asked for it; it is asked for at most once. */
  readonly site?: (() => string | undefined) | undefined
}

/**
 * How an open connection is recorded.
 *
 * @category models
 * @since 0.1.0
 */
export interface Track {
  /** Records it until the scope closes, under the claim in the context (`CurrentReservation`). */
  (request: TrackRequest): Effect.Effect<void, never, Scope.Scope>
  /**
   * The same for whoever keeps many connections and would rather not keep a scope for each: it records in the call itself,
   * under the claim of the opening, and whoever calls it calls `end` of the result, on every path. A monitor may do without it.
   */
  readonly unsafe?: ((request: TrackRequest, claim: Reservation) => Tracked) | undefined
}

/**
 * An entry of the ledger.
 *
 * @category models
 * @since 0.1.0
 */
export interface Tracked {
  /** The connection is closed. Calling it twice does nothing. */
  readonly end: () => void
}

/**
 * How room is claimed.
 *
 * @category models
 * @since 0.1.0
 */
export interface Reserve {
  (request: ReserveRequest): Effect.Effect<Reservation, ResourceExhausted, Scope.Scope>
  /**
   * The same for whoever pays for each step: it claims in the call itself, and whoever calls it ends the claim, once and on
   * every path. A monitor may do without it.
   */
  readonly unsafe?: ReserveUnsafe | undefined
}

/**
 * Claiming without an Effect and without a scope.
 *
 * @category models
 * @since 0.1.0
 */
export interface ReserveUnsafe {
  /**
   * Claims what there is room for, else it is `undefined` and nothing has happened: then the effect is asked. `now` is the
   * time in nanoseconds of the monotonic clock.
   */
  readonly reserve: (request: ReserveRequest, now: bigint) => Reservation | undefined
  /** Ends a reservation of {@link reserve}. */
  readonly end: (claim: Reservation) => void
  /** Whether fewer descriptors are free now than the headroom. */
  readonly isShort: () => boolean
  /**
   * What stands in the way of a request now, `undefined` when it would be granted. It claims nothing and counts as no refusal:
   * it is for whoever has waited at the gate for as long as possible and has to say what for.
   */
  readonly obstacle?: ((request: ReserveRequest) => ResourceExhausted | undefined) | undefined
}

/**
 * A failure that lack of room may have caused.
 *
 * @category models
 * @since 0.1.0
 */
export interface ShortageRequest {
  /** What failed, such as the endpoint's text. */
  readonly label: string
  readonly cause: unknown
}

/**
 * The monitor as a service. It knows endpoints only as labels.
 *
 * @category services
 * @since 0.1.0
 */
export class ResourceMonitor extends Context.Service<ResourceMonitor, {
  /**
   * The readings now. Where a count of descriptors has to list a directory (before Linux 6.2, and on macOS), it is at most
   * one second old, corrected by what the ledger knows since.
   */
  readonly usage: Effect.Effect<Usage>
  /**
   * The level in force. It takes the readings first, so that it is never better than they are; it falls only when they have
   * been better for a while, as {@link levels} says.
   */
  readonly level: Effect.Effect<Level>
  /**
   * The level in force when the stream starts, and then each change: up with one reading, down when the readings have been
   * below the threshold by the band (`recoveryBand`), so many in a row (`recoverySamples`) and for so long (`recoveryHold`). A
   * reading that fails is no recovery. A listener that is slow misses the older changes, never the last. The stream ends with
   * the monitor.
   */
  readonly levels: Stream.Stream<Level>
  /**
   * Each alert from now on: one when a figure rises to a level, one when it falls, with the peak and the duration, and one when
   * a limit is coming near. A listener that is slow misses the oldest once 100 wait for it. The stream ends with the monitor.
   */
  readonly alerts: Stream.Stream<Alert>
  /**
   * The last alerts, the oldest first: at most `count`, and never more than the 100 that are remembered, which is the default.
   * It dies with `InvalidOption` when `count` is not a whole number of at least 0, or `Infinity`.
   */
  readonly recentAlerts: (count?: number) => Effect.Effect<ReadonlyArray<Alert>>
  /**
   * Every figure of the process, those included that no level follows from, such as pressure, threads and zombies. They are
   * read anew, in about half a millisecond; the figures of the event loop are those of the last window.
   */
  readonly figures: Effect.Effect<Figures>
  /**
   * The zombies that there were at the last look at the children of this process, which is each tenth of the monitor's or that of
   * `figures`. Each one was logged as a warning when it was found. Empty where children cannot be looked at: `figures` says why.
   */
  readonly zombies: Effect.Effect<ReadonlyArray<Zombie>>
  /** What the monitor's own looks at the readings cost. */
  readonly cost: Effect.Effect<Cost>
  /**
   * What the open descriptors are, by kind. All who ask within a minute share one look, which is taken off the event loop. It
   * fails with the reading that says why they cannot be looked at.
   */
  readonly descriptorBreakdown: Effect.Effect<DescriptorBreakdown, Saturated | Unknown>
  /** Takes every reading at once, however dear it is, draws the conclusions that the timer draws, and returns them. */
  readonly sample: Effect.Effect<Usage>
  /**
   * Claims room for an opening. It checks and claims in one synchronous step, so that a burst cannot pass it. When there is
   * no room it fails at once, or waits for up to `maxWait`: first come first served, and retries behind first attempts.
   *
   * The claim ends when the descriptor is said to exist (see `CurrentReservation`), and at the latest with the scope: close it
   * when the attempt is over, for a claim that goes on counts the descriptor twice. An interrupted request leaves nothing
   * behind. It dies with `InvalidOption` when `descriptors` is not a whole number of at least 0, or `maxWait` not a finite
   * duration.
   */
  readonly reserve: Reserve
  /**
   * What a failure has to do with lack of room: `ResourceExhausted`, with the failure as its cause, when fewer descriptors
   * are free now than the headroom; else `undefined`. At that point a look-up of a name says `ENOTFOUND` or `ECONNREFUSED`
   * for want of a descriptor. Ask at the moment of the failure, and only about one after which nothing was sent.
   */
  readonly shortage: (request: ShortageRequest) => Effect.Effect<ResourceExhausted | undefined>
  /** Records an open connection in the ledger until the scope closes. `track.unsafe` does without a scope. */
  readonly track: Track
  /**
   * Registers a callback that gives something back under pressure, until the scope closes; one that is running then is left
   * to its end. It dies with `InvalidOption` when an option makes no sense.
   *
   * The callbacks run when a figure reaches `Critical` or `Exhausted`: one after the other, the highest priority first, each
   * within its own timeout, and no further than until the pressure is gone. One that fails, dies or hangs stops no other; it
   * is logged at `References.UnhandledLogLevel` and counted in the metric `sluice.monitor.cleanup.failures`. Then there is a
   * pause of `cleanupCooldown`: a level that is reached meanwhile has its run afterwards, if it still lasts. A level that
   * lasts is no reason for a second run.
   */
  readonly onPressure: <E, R>(callback: PressureCallback<E, R>) => Effect.Effect<void, never, R | Scope.Scope>
  /**
   * Runs all callbacks now, whatever the level, and says how each one ended. Calls at the same time share one run, and one
   * that is interrupted leaves it to the others. Inside a callback it yields what has ended so far.
   */
  readonly cleanup: Effect.Effect<ReadonlyArray<CleanupResult>>
  /**
   * Has the ledger know what is lent, until the scope closes: `held` returns the leases that have not come back, at most
   * as many as it is asked for. It is called only when somebody wants to know, and must not fail.
   */
  readonly trackLeases: (held: (most: number) => Iterable<HeldLease>) => Effect.Effect<void, never, Scope.Scope>
  /**
   * The places in the program that have most open, at most `count` of them, the one that has most first. A pool's connection
   * belongs to the borrower for whom it was opened. It dies with `InvalidOption` when `count` is not a whole number of at
   * least 0, or `Infinity`.
   */
  readonly topSites: (count: number) => Effect.Effect<ReadonlyArray<SiteCount>>
  /**
   * Reports a leak: it is remembered and sent to `leaks`. The first of one verdict and one place in the program is logged as a
   * warning, and after the option `leakLogInterval` the number of the others.
   */
  readonly reportLeak: (leak: LeakFacts) => Effect.Effect<void>
  /** Every leak from now on, also those that are only counted in the log, until the monitor ends. A listener that is slow misses the oldest of more than 100. */
  readonly leaks: Stream.Stream<Leak>
  /**
   * The last leaks, the oldest first: at most `count`, and never more than the 100 that are remembered, which is the default.
   * It dies with `InvalidOption` when `count` is not a whole number of at least 0, or `Infinity`.
   */
  readonly recentLeaks: (count?: number) => Effect.Effect<ReadonlyArray<Leak>>
}>()("effect-sluice/Monitor/ResourceMonitor") {}
