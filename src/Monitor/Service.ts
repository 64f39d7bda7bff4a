/**
 * The monitor as a service: its interface, without its implementation.
 *
 * A module that uses the monitor imports only this interface, so that its bundle contains no probes, no layers and no gate.
 * Those are in the layer that the program provides.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { Alert } from "./Alert.ts"
import type { ReserveRequest, ResourceExhausted } from "./gate/Decision.ts"
import type { EventLoopStalls, GateObserver, GateStats } from "./GateStats.ts"
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
 * The descriptors for opening one connection (or any other thing), granted by `ResourceMonitor.reserve`.
 *
 * **Details**
 *
 * A reservation counts descriptors that do not exist yet. When a descriptor exists, the count of the process includes it, and
 * the reservation would count it a second time. So the code that opens a descriptor calls {@link Reservation.descriptorOpened}.
 * What is still reserved at the end of the reservation's scope is released then.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export interface Reservation {
  /**
   * Call it when one of the reserved descriptors exists: in the step that has created the descriptor or later, never before. If
   * a reservation ended too early, the gate would admit too many requests.
   *
   * The result undoes the call: it reserves the descriptor again, without asking the gate, unless the reservation has ended.
   * Call it just before the descriptor is closed, so that an attempt whose first dial has failed has room for a second dial. A
   * second call of either function does nothing.
   */
  readonly descriptorOpened: () => () => void
  /**
   * Takes one descriptor of this reservation for a dial. `undefined` if all descriptors are taken or exist already, or if the
   * reservation has ended: then the dial has to ask the gate itself. The result returns the descriptor; call it once, when the
   * dial has ended. A reservation without this function serves any number of dials.
   */
  readonly take?: (() => (() => void) | undefined) | undefined
}

const nothing = (): void => {}

/**
 * A reservation of nothing, for code that has not asked the gate.
 *
 * @category constructors
 * @since 0.1.0
 */
export const unreserved: Reservation = { descriptorOpened: () => nothing }

/**
 * The reservation of the running attempt. `RetryPolicy.retry` provides it to each attempt, and so does a pool to each dial.
 * `TcpConnection` calls its `descriptorOpened` as soon as its socket exists. The default is a reservation of nothing.
 *
 * **When to use**
 *
 * Use in your own connector if many of its connections open at the same time, and its driver reports when the socket exists.
 * Otherwise the reservation lasts until the connection is ready, and the descriptor is counted twice in the meantime.
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
 * @stability stable
 */
export const CurrentReservation = /*#__PURE__*/ Context.Reference<Reservation>(
  "effect-sluice/Monitor/CurrentReservation",
  {
    defaultValue: () => unreserved
  }
)

/**
 * A connection to record in the ledger.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
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
 * @stability stable
 */
export interface Track {
  /** Records a connection until the scope closes, and uses the reservation in the context (`CurrentReservation`). */
  (request: TrackRequest): Effect.Effect<void, never, Scope.Scope>
  /**
   * Records a connection without an Effect and without a scope. The caller has to call `end` of the result on every path. An
   * implementation of the monitor may lack this function.
   */
  readonly unsafe?: ((request: TrackRequest, reservation: Reservation) => Tracked) | undefined
}

/**
 * A recorded connection.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
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
 * @stability stable
 */
export interface Reserve {
  (request: ReserveRequest): Effect.Effect<Reservation, ResourceExhausted, Scope.Scope>
  /** Reserves without an Effect and without a scope. An implementation of the monitor may lack it. */
  readonly unsafe?: ReserveUnsafe | undefined
}

/**
 * Reserves without an Effect and without a scope: the caller has to end the reservation, once and on every path.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export interface ReserveUnsafe {
  /**
   * Reserves if there is room. Otherwise it returns `undefined` and changes nothing; then use the Effect, which can wait. `now`
   * is in nanoseconds of the monotonic clock.
   */
  readonly reserve: (request: ReserveRequest, now: bigint) => Reservation | undefined
  /** Ends a reservation of {@link reserve}. */
  readonly end: (reservation: Reservation) => void
  /** Whether fewer descriptors are free now than the headroom. */
  readonly isShort: () => boolean
  /**
   * The error with which the gate would refuse a request now, or `undefined` if there is room. It reserves nothing and is not
   * counted as a refusal. Use it to explain a timeout at the gate.
   */
  readonly obstacle?: ((request: ReserveRequest) => ResourceExhausted | undefined) | undefined
}

/**
 * A failure that lack of room may have caused.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export interface ShortageRequest {
  /** What failed, such as the endpoint's text. */
  readonly label: string
  readonly cause: unknown
}

/**
 * The monitor as a service. To the monitor an endpoint is only a label.
 *
 * @category services
 * @since 0.1.0
 * @stability stable
 */
export class ResourceMonitor extends Context.Service<ResourceMonitor, {
  /**
   * The readings now. Before Linux 6.2, and on macOS, descriptors can be counted only by listing a directory. There the count
   * is at most one second old, and is corrected by the changes of the ledger since then.
   */
  readonly usage: Effect.Effect<Usage>
  /**
   * The level in force, after new readings. So the level is never better than the readings; it falls only when they have been
   * better for a while, see {@link levels}.
   */
  readonly level: Effect.Effect<Level>
  /**
   * The level in force when the stream starts, and then each change. One reading raises the level. The level falls when the
   * readings have been below its threshold by `recoveryBand`, for `recoverySamples` consecutive readings and for
   * `recoveryHold`. A reading that fails changes nothing. A slow subscriber may miss older changes, but never the last one. The
   * stream ends with the monitor.
   */
  readonly levels: Stream.Stream<Level>
  /**
   * Each alert from now on: one when the level of a figure rises, one when it falls (with the peak and the duration), and one
   * when a limit is near. If a slow subscriber has more than 100 alerts in its queue, it misses the oldest. The stream ends
   * with the monitor.
   */
  readonly alerts: Stream.Stream<Alert>
  /**
   * The last alerts, the oldest first: at most `count`, and at most 100, which is the default. It dies with `InvalidOption`
   * when `count` is neither a whole number of at least 0 nor `Infinity`.
   */
  readonly recentAlerts: (count?: number) => Effect.Effect<ReadonlyArray<Alert>>
  /**
   * Every figure of the process, also those without a level, such as pressure, threads and zombies. They are read now, in about
   * half a millisecond, except for the figures of the event loop, which are those of the last window.
   */
  readonly figures: Effect.Effect<Figures>
  /**
   * The zombies that the last reading of the children has found. Children are read by each tenth tick of the monitor, and by
   * `figures`. Each zombie is logged as a warning when it is found. Empty if children cannot be read; `figures` has the reason.
   */
  readonly zombies: Effect.Effect<ReadonlyArray<Zombie>>
  /** The cost of the monitor's own readings. */
  readonly cost: Effect.Effect<Cost>
  /**
   * The open descriptors by kind. All callers within a minute share one breakdown, which is taken without blocking the event
   * loop. If it fails, the error is a reading with the reason.
   */
  readonly descriptorBreakdown: Effect.Effect<DescriptorBreakdown, Saturated | Unknown>
  /**
   * Takes every reading now, also the expensive ones, updates the level and the alerts like a tick of the timer, and returns
   * the usage.
   */
  readonly sample: Effect.Effect<Usage>
  /**
   * Reserves descriptors for something that is about to be opened. It checks and reserves in one synchronous step, so that many
   * requests at once cannot all pass. Without room it fails at once, or waits for up to `maxWait`: in order of arrival, retries
   * after first attempts.
   *
   * The reservation ends when the descriptor exists (see `CurrentReservation`), and at the latest with the scope. Close the
   * scope when the attempt has ended, because as long as the reservation lasts, the descriptor may be counted twice. An
   * interrupted request leaves nothing reserved. It dies with `InvalidOption` when `descriptors` is not a whole number of at
   * least 0, or `maxWait` is not a finite duration.
   */
  readonly reserve: Reserve
  /**
   * Whether lack of descriptors has caused a failure. If fewer descriptors are free now than the headroom, it returns
   * `ResourceExhausted` with the failure as its cause, otherwise `undefined`. Without a free descriptor, a look-up of a name
   * fails with `ENOTFOUND` or `ECONNREFUSED`, which does not show the reason. Call it at the moment of the failure, and only if
   * nothing was sent.
   */
  readonly shortage: (request: ShortageRequest) => Effect.Effect<ResourceExhausted | undefined>
  /** How many requests wait at the gate now, how many it has admitted, and how many it has refused for lack of which resource. */
  readonly gate: Effect.Effect<GateStats>
  /**
   * Adds an observer of the gate's decisions. Its functions are called in the step of the decision: they must be short, must not
   * throw, and must not call the gate. The returned function removes the observer.
   */
  readonly observeGate: (observer: Partial<GateObserver>) => () => void
  /**
   * How often the event loop did not turn for more than a second since the monitor was made, because of synchronous work. It is
   * measured four times a second. Stalls within one tick of the monitor, at most five seconds, count as one. The first stall is logged as a
   * warning, and the number of further ones at most once a minute. The time in which the process is suspended does not count.
   */
  readonly eventLoop: Effect.Effect<EventLoopStalls>
  /** Records an open connection in the ledger until the scope closes. `track.unsafe` needs no scope. */
  readonly track: Track
  /**
   * Registers a callback that frees resources under pressure, until the scope closes. If the callback is running when the scope
   * closes, it continues to its end. It dies with `InvalidOption` when an option is invalid.
   *
   * When a figure reaches `Critical` or `Exhausted`, the callbacks are called one after the other, the highest priority first,
   * each with its own timeout, and only until the pressure is gone. A callback that fails, dies or hangs does not stop the
   * others. It is logged at `References.UnhandledLogLevel` and counted in the metric `sluice.monitor.cleanup.failures`. A level
   * that lasts does not lead to a second run. The next run begins when a figure reaches such a level again, but not earlier
   * than `cleanupCooldown` after the last run.
   */
  readonly onPressure: <E, R>(callback: PressureCallback<E, R>) => Effect.Effect<void, never, R | Scope.Scope>
  /**
   * Calls all callbacks now, at any level, and returns the result of each. Concurrent callers share one run, which continues if
   * one of them is interrupted. Inside a callback it returns the results so far.
   */
  readonly cleanup: Effect.Effect<ReadonlyArray<CleanupResult>>
  /**
   * Makes the leases of a pool visible to the ledger, until the scope closes. `held` lists the leases that have not been
   * returned, at most `most` of them. It is called only for a report, and must not fail.
   */
  readonly trackLeases: (held: (most: number) => Iterable<HeldLease>) => Effect.Effect<void, never, Scope.Scope>
  /**
   * The places in the program with the most open connections and leases, at most `count`, the largest number first. A pool's
   * connection counts for the place of the borrower for which it was opened. It dies with `InvalidOption` when `count` is
   * neither a whole number of at least 0 nor `Infinity`.
   */
  readonly topSites: (count: number) => Effect.Effect<ReadonlyArray<SiteCount>>
  /**
   * Reports a leak: keeps it, and sends it to `leaks`. The log has at most one line for each kind and call site in each
   * `leakLogInterval`, with the number of leaks, that with the longest age, and annotations. It is a warning; the return of a reported
   * lease is information. The first line comes a second after the first leak.
   */
  readonly reportLeak: (leak: LeakFacts) => Effect.Effect<void>
  /**
   * Every leak from now on, also those that the log only counts. If a slow subscriber has more than 100 leaks in its queue, it
   * misses the oldest. The stream ends with the monitor.
   */
  readonly leaks: Stream.Stream<Leak>
  /**
   * The last leaks, the oldest first: at most `count`, and at most 100, which is the default. It dies with `InvalidOption` when
   * `count` is neither a whole number of at least 0 nor `Infinity`.
   */
  readonly recentLeaks: (count?: number) => Effect.Effect<ReadonlyArray<Leak>>
}>()("effect-sluice/Monitor/ResourceMonitor") {}
