/**
 * The monitor as a service: its interface, without its implementation.
 *
 * A module that uses the monitor imports this one, so that its bundle contains no probe, no layer and no gate. Those come with the
 * layer that the program provides.
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
import type { DescriptorBreakdown } from "./readings/Descriptors.ts"
import type { Cost } from "./readings/Sampler.ts"
import type { Figures, Level, Usage } from "./Usage.ts"

export type { ReserveRequest, ResourceExhausted } from "./gate/Decision.ts"

/**
 * Room for one opening, granted by `ResourceMonitor.reserve`.
 *
 * **Details**
 *
 * A reservation counts descriptors that do not exist yet. Once a descriptor exists, the process's own count includes it, and the
 * reservation would count it twice. So the code that opens a descriptor calls {@link Reservation.descriptorOpened}. What is not
 * ended by such a call ends with the scope of the reservation.
 *
 * @category models
 * @since 0.1.0
 */
export interface Reservation {
  /**
   * One of the reserved descriptors exists now. Call it in the step that created the descriptor or later, never before: a
   * reservation that ends too early lets a burst pass.
   *
   * The result undoes the call: it reserves the room again, without asking the gate, if the opening is still under way. Call it
   * just before that descriptor is closed, so that an attempt whose first dial failed has room for a second. A second call of
   * either, or a call after the end of the reservation, does nothing.
   */
  readonly descriptorOpened: () => () => void
  /**
   * Takes the room for one of several openings under this reservation. `undefined` if all room is taken, if the descriptors exist
   * already, or if the reservation has ended: that opening asks the gate itself. The result returns the room: call it once, when
   * the opening has ended. A reservation without this function has room for every opening.
   */
  readonly take?: (() => (() => void) | undefined) | undefined
}

const nothing = (): void => {}

/**
 * A reservation of nothing, for openings that passed no gate.
 *
 * @category constructors
 * @since 0.1.0
 */
export const unreserved: Reservation = { descriptorOpened: () => nothing }

/**
 * The reservation under which the running fiber opens something. `RetryPolicy.retry`, and with it a pool, provides it to each
 * attempt. `TcpConnection` ends it as soon as its socket exists. The default is a reservation of nothing.
 *
 * **When to use**
 *
 * Use in your own connector if it opens many connections at once and its driver reports when the socket was created. Otherwise
 * the reservation lasts until the connection is ready, and one descriptor counts twice in the meantime.
 *
 * **Example** (Reporting that the descriptor exists)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { ResourceMonitor } from "effect-sluice/ResourceMonitor"
 * import * as Monitor from "effect-sluice/ResourceMonitor"
 *
 * const open = Effect.gen(function*() {
 *   const reservation = yield* Monitor.CurrentReservation
 *   // ... create the socket, and then:
 *   reservation.descriptorOpened()
 * })
 *
 * const program = Effect.gen(function*() {
 *   const monitor = yield* ResourceMonitor
 *   const reservation = yield* monitor.reserve({ label: "db:5432" })
 *   const before = (yield* monitor.usage).reserved
 *   yield* Effect.provideService(open, Monitor.CurrentReservation, reservation)
 *   return [before, (yield* monitor.usage).reserved]
 * }).pipe(Effect.scoped, Effect.provide(Monitor.layerTest))
 *
 * await Effect.runPromise(program) // => [1, 0]
 * ```
 *
 * @category references
 * @since 0.1.0
 */
export const CurrentReservation = Context.Reference<Reservation>("effect-sluice/Monitor/CurrentReservation", {
  defaultValue: () => unreserved
})

/**
 * A connection to record in the ledger.
 *
 * @category models
 * @since 0.1.0
 */
export interface TrackRequest {
  /** The endpoint's text. */
  readonly label: string
  /** `function (file:line:column)` of the call that asked for the connection. Called at most once. */
  readonly site?: (() => string | undefined) | undefined
}

/**
 * Records open connections.
 *
 * @category models
 * @since 0.1.0
 */
export interface Track {
  /** Records it until the scope closes, under the reservation in the context (`CurrentReservation`). */
  (request: TrackRequest): Effect.Effect<void, never, Scope.Scope>
  /**
   * Records it in the call itself, under the reservation of the opening, and without a scope for each connection. The caller calls
   * `end` of the result on every path. A monitor need not have it.
   */
  readonly unsafe?: ((request: TrackRequest, reservation: Reservation) => Tracked) | undefined
}

/**
 * A recorded connection.
 *
 * @category models
 * @since 0.1.0
 */
export interface Tracked {
  /** The connection is closed. A second call does nothing. */
  readonly end: () => void
}

/**
 * Reserves room.
 *
 * @category models
 * @since 0.1.0
 */
export interface Reserve {
  (request: ReserveRequest): Effect.Effect<Reservation, ResourceExhausted, Scope.Scope>
  /** Reserving without an Effect and without a scope. A monitor need not have it. */
  readonly unsafe?: ReserveUnsafe | undefined
}

/**
 * Reserving without an Effect and without a scope: the caller ends the reservation, once and on every path.
 *
 * @category models
 * @since 0.1.0
 */
export interface ReserveUnsafe {
  /**
   * Reserves if there is room. Else it returns `undefined` and changes nothing: then use the Effect. `now` is in nanoseconds of the
   * monotonic clock.
   */
  readonly reserve: (request: ReserveRequest, now: bigint) => Reservation | undefined
  /** Ends a reservation of {@link reserve}. */
  readonly end: (reservation: Reservation) => void
  /** Whether fewer descriptors are free now than the headroom. */
  readonly isShort: () => boolean
  /**
   * The error that would refuse a request now, or `undefined`. It reserves nothing and does not count as a refusal. Use it to
   * explain a timeout at the gate.
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
   * The readings now. Where counting the descriptors means listing a directory (before Linux 6.2, and on macOS), the count is at
   * most one second old and corrected by the changes of the ledger since.
   */
  readonly usage: Effect.Effect<Usage>
  /**
   * The level in force. It takes the readings first, so it is never better than they are. It falls only when they have been better
   * for a while, as {@link levels} states.
   */
  readonly level: Effect.Effect<Level>
  /**
   * The level in force when the stream starts, and then each change. One reading raises the level. It falls when the readings
   * have been below its threshold by the band (`recoveryBand`), for `recoverySamples` readings in a row and for `recoveryHold`. A
   * failed reading is no recovery. A slow subscriber misses older changes, never the last. The stream ends with the monitor.
   */
  readonly levels: Stream.Stream<Level>
  /**
   * Each alert from now on: one when the level of a figure rises, one when it falls, with the peak and the duration, and one when a
   * limit is near. A slow subscriber misses the oldest of more than 100. The stream ends with the monitor.
   */
  readonly alerts: Stream.Stream<Alert>
  /**
   * The last alerts, the oldest first: at most `count`, and never more than the 100 that are remembered, which is the default.
   * It dies with `InvalidOption` when `count` is neither a whole number of at least 0 nor `Infinity`.
   */
  readonly recentAlerts: (count?: number) => Effect.Effect<ReadonlyArray<Alert>>
  /**
   * Every figure of the process, also those without a level, such as pressure, threads and zombies. They are read now, in about
   * half a millisecond. The figures of the event loop are those of the last window.
   */
  readonly figures: Effect.Effect<Figures>
  /**
   * The zombies of the last reading of the children, which each tenth tick of the monitor takes, and `figures`. Each was logged as
   * a warning when it was found. Empty where children cannot be read: `figures` has the reason.
   */
  readonly zombies: Effect.Effect<ReadonlyArray<Zombie>>
  /** The cost of the monitor's own readings. */
  readonly cost: Effect.Effect<Cost>
  /**
   * The open descriptors by kind. All callers within a minute share one breakdown, which is taken off the event loop. It fails
   * with the reading that states why they cannot be read.
   */
  readonly descriptorBreakdown: Effect.Effect<DescriptorBreakdown, Saturated | Unknown>
  /** Takes every reading now, also the expensive ones, updates the level and the alerts as a tick does, and returns the usage. */
  readonly sample: Effect.Effect<Usage>
  /**
   * Reserves room for an opening. It checks and reserves in one synchronous step, so that a burst cannot pass. When there is no
   * room it fails at once, or waits for up to `maxWait`: in order of arrival, retries behind first attempts.
   *
   * The reservation ends when the descriptor exists (see `CurrentReservation`), and at the latest with the scope. Close the scope
   * when the attempt is over, because a reservation that lasts longer counts the descriptor twice. An interrupted request leaves
   * nothing reserved. It dies with `InvalidOption` when `descriptors` is not a whole number of at least 0, or `maxWait` is not a
   * finite duration.
   */
  readonly reserve: Reserve
  /**
   * Whether lack of room has caused a failure: `ResourceExhausted`, with the failure as its cause, when fewer descriptors are free
   * now than the headroom; else `undefined`. A look-up of a name then fails with `ENOTFOUND` or `ECONNREFUSED`, although only a
   * descriptor was missing. Call it at the moment of the failure, and only if nothing was sent.
   */
  readonly shortage: (request: ShortageRequest) => Effect.Effect<ResourceExhausted | undefined>
  /** Records an open connection in the ledger until the scope closes. `track.unsafe` needs no scope. */
  readonly track: Track
  /**
   * Registers a callback that frees resources under pressure, until the scope closes. A callback that is running then continues to
   * its end. It dies with `InvalidOption` when an option is invalid.
   *
   * The callbacks run when a figure reaches `Critical` or `Exhausted`: one after the other, the highest priority first, each with
   * its own timeout, and only until the pressure is gone. A callback that fails, dies or hangs does not stop the others. It is
   * logged at `References.UnhandledLogLevel` and counted in the metric `sluice.monitor.cleanup.failures`. The next run follows
   * `cleanupCooldown` later at the earliest, if a level was reached in the meantime and still lasts. A level that lasts starts no
   * second run.
   */
  readonly onPressure: <E, R>(callback: PressureCallback<E, R>) => Effect.Effect<void, never, R | Scope.Scope>
  /**
   * Runs all callbacks now, at any level, and returns the result of each. Concurrent calls share one run, which an interrupted
   * call does not stop. Inside a callback it returns the results so far.
   */
  readonly cleanup: Effect.Effect<ReadonlyArray<CleanupResult>>
  /**
   * Makes the leases of a pool visible to the ledger, until the scope closes. `held` returns the leases that have not been returned,
   * at most `most`. It is called only for a report, and must not fail.
   */
  readonly trackLeases: (held: (most: number) => Iterable<HeldLease>) => Effect.Effect<void, never, Scope.Scope>
  /**
   * The places in the program that have most open, at most `count`, the largest first. A pool's connection counts for the borrower
   * for whom it was opened. It dies with `InvalidOption` when `count` is neither a whole number of at least 0 nor `Infinity`.
   */
  readonly topSites: (count: number) => Effect.Effect<ReadonlyArray<SiteCount>>
  /**
   * Reports a leak: remembers it and sends it to `leaks`. The first of each kind and place is logged as a warning, and the number
   * of the others after the option `leakLogInterval`.
   */
  readonly reportLeak: (leak: LeakFacts) => Effect.Effect<void>
  /**
   * Every leak from now on, also those that the log only counts. A slow subscriber misses the oldest of more than 100. The stream
   * ends with the monitor.
   */
  readonly leaks: Stream.Stream<Leak>
  /**
   * The last leaks, the oldest first: at most `count`, and never more than the 100 that are remembered, which is the default. It
   * dies with `InvalidOption` when `count` is neither a whole number of at least 0 nor `Infinity`.
   */
  readonly recentLeaks: (count?: number) => Effect.Effect<ReadonlyArray<Leak>>
}>()("effect-sluice/Monitor/ResourceMonitor") {}
