/**
 * Runs a pool: wires its core to the connector, the hooks and the monitor, forks its fibers, and drains it in phases (refuse, wait,
 * force).
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Random from "effect/Random"
import * as References from "effect/References"
import * as Scheduler from "effect/Scheduler"
import { AgeClock } from "../../internal/AgeClock.ts"
import { timeoutOrElse } from "../../internal/Timeout.ts"
import { laterOn } from "../../internal/Timer.ts"
import { report } from "../../internal/UnhandledLog.ts"
import { ResourceMonitor } from "../../Monitor/Service.ts"
import type { Connector } from "../../Resource/Connector.ts"
import { type Options, type Settings, titleOf } from "../PoolOptions.ts"
import type { RegisteredPool } from "../PoolRegistry.ts"
import type { PoolAccess } from "./Borrow.ts"
import { type Closer, closerIn, reportDefects } from "./CloseConnection.ts"
import * as Diagnostics from "./Diagnostics.ts"
import { EndpointPool } from "./EndpointPool.ts"
import { hookOf, HookReports, probeOf } from "./HealthChecks.ts"
import { SlotHolders } from "./Leases.ts"
import { openConnection, openingContext, type OpenRequest } from "./OpenConnection.ts"
import { PoolCore } from "./PoolCore.ts"
import {
  type Command,
  type Lease,
  type OnBehalf,
  Outbox,
  type PendingDial,
  type PooledConnection,
  type Probe
} from "./PoolState.ts"

/** A pool as its public functions use it. */
export interface Driver<in out K, in out A> extends PoolAccess<K, A> {
  readonly drain: (timeout: number) => Effect.Effect<void>
  readonly registered: RegisteredPool
  /** The one endpoint of the pool, if it was made for one. */
  readonly only: { readonly endpoint: K } | undefined
}

/**
 * Waits for the death of connections, if the connector has `closed`. If `closed` fails, deaths are not noticed, as with a connector
 * without `closed`. The failure is reported once for a pool, because it is most often the same for each connection.
 */
const watchOf = <K, A, E, R>(
  { closed }: Connector<K, A, E, R>,
  title: string,
  fork: (effect: Effect.Effect<void>) => Fiber.Fiber<void>
): OpenRequest<never, A, never, never>["watch"] => {
  if (closed === undefined) return (_, lost) => lost === undefined ? undefined : fork(lost)
  let isReported = false
  const failed = (cause: Cause.Cause<unknown>) =>
    Effect.suspend(() => {
      if (isReported) return Effect.never
      isReported = true
      return Effect.andThen(report(title + closedHasFailed, cause), Effect.never)
    })
  const isFailure = (cause: Cause.Cause<never>) => !Cause.hasInterruptsOnly(cause)
  return (connection, lost) => {
    const died = Effect.catchCauseIf(Effect.suspend(() => closed(connection)), isFailure, failed)
    return fork(lost === undefined ? died : Effect.raceFirst(died, lost))
  }
}

const closedHasFailed = ": closed of a connector has failed, so that the death of a connection is not noticed any " +
  "more: only checks and its use find it. This is reported once for a pool"

/** The connector's `isReusable`. If it throws, the state of the connection is unknown, so the connection is not leased again. */
const reusableOf = <K, A, E, R>(
  { isReusable }: Connector<K, A, E, R>,
  title: string,
  fork: (effect: Effect.Effect<unknown>) => unknown
): Connector<K, A>["isReusable"] =>
  isReusable && ((connection, exit) => {
    try {
      return isReusable(connection, exit)
    } catch (defect) {
      fork(Effect.exit(reportDefects(title, "isReusable")(Effect.die(defect))))
      return false
    }
  })

/** The effects that commands of a core start. */
export interface CommandEffects<K, A> {
  readonly slotHolders: SlotHolders<K, A>
  readonly fork: <B>(effect: Effect.Effect<B>) => Fiber.Fiber<B>
  readonly open: (dial: PendingDial<K, A>, onBehalf: OnBehalf) => Fiber.Fiber<void>
  readonly close: Closer
  readonly check: Probe<A> | undefined
  readonly reset: Probe<A> | undefined
  readonly report: (lease: Lease<K, A>, what: "Held" | "Returned" | "Lost", millis: number) => Effect.Effect<void>
  readonly warnNested: (lease: Lease<K, A>) => void
}

/** Runs the commands of a core, and reports their results to the core as events. */
export class CommandRunner<K, A> {
  readonly #effects: CommandEffects<K, A>

  constructor(effects: CommandEffects<K, A>) {
    this.#effects = effects
  }

  run(command: Command<K, A>, core: PoolCore<K, A>): void {
    const { fork, report, warnNested } = this.#effects
    switch (command._tag) {
      case "Dial":
        return this.#dial(command.dial, core)
      case "InterruptDial":
        return command.dial.fiber?.interruptUnsafe()
      case "Close":
        return this.#close(command.connection, core)
      case "Check":
        return this.#check(command, core)
      case "Expire":
        return command.lease.expire?.(command.error)
      case "Report":
        return void fork(report(command.lease, command.what, command.millis))
      case "Recall":
        return command.notify()
      case "WarnNested":
        return warnNested(command.lease)
    }
  }

  #dial(dial: PendingDial<K, A>, core: PoolCore<K, A>): void {
    if (!core.dialStarts(dial)) return
    const { open, slotHolders } = this.#effects
    dial.fiber = open(dial, slotHolders.holding(dial.endpoint))
    dial.fiber.addObserver(() => core.dialEnded(dial))
  }

  #close(connection: PooledConnection<K, A>, core: PoolCore<K, A>): void {
    connection.watcher?.interruptUnsafe()
    connection.probe?.interruptUnsafe()
    connection.closing = this.#effects.close(connection, core.closeEvents(connection))
  }

  #check({ connection, probe }: Command<K, A> & { readonly _tag: "Check" }, core: PoolCore<K, A>): void {
    const { owner, state, value } = connection
    const { check, fork, reset, slotHolders } = this.#effects
    const effect = probe === "Reset" ? reset : check
    if (state === "Closing" || effect === undefined) return
    const fiber = connection.probe = fork(effect(value, owner.label, slotHolders.holding(owner)))
    fiber.addObserver((exit) => {
      connection.probe = undefined
      core.checked(connection, Exit.isFailure(exit) ? "Unknown" : exit.value ? "Works" : "Fails")
    })
  }
}

/** Adds the name of a pool to the log lines of its fibers. */
const annotated = <R>(context: Context.Context<R>, { name }: Settings): Context.Context<R> =>
  Context.add(context, References.CurrentLogAnnotations, {
    ...Context.get(context, References.CurrentLogAnnotations),
    "db.client.connection.pool.name": name
  })

/** Makes a pool: its core, and the functions that run the core's commands in the context of the pool. */
export const makeDriver = <K, A, E, R>(
  options: Options<K, A, E, R>,
  settings: Settings,
  given: Context.Context<R | ResourceMonitor>
): Driver<K, A> => {
  const context = annotated(given, settings)
  const title = titleOf(settings)
  const random = Context.get(context, Random.Random)
  const monitor = Context.get(context, ResourceMonitor)
  const { connector, hooks } = options
  // Fibers of the pool run in the pool's context, and not in that of a borrower, whose scope and span may end earlier.
  const fork = Effect.runForkWith(context)
  const forkOpening = Effect.runForkWith(openingContext(context, settings))
  const dispatcher = Context.get(context, Scheduler.Scheduler).makeDispatcher()
  const clock = new AgeClock(Context.get(context, Clock.Clock))
  const hooking = {
    connectTimeout: settings.connectTimeout,
    context,
    title,
    reports: new HookReports(title, () => clock.now())
  }
  const check = probeOf("check", connector.check, hooking)
  const reset = hookOf("afterReturn", hooks?.afterReturn, hooking)
  const slotHolders = new SlotHolders<K, A>()
  const watch = watchOf(connector, title, fork)
  const runner = new CommandRunner<K, A>({
    slotHolders,
    fork,
    open: (dial, onBehalf) =>
      forkOpening(openConnection({
        ...{ settings, connector, dial, watch, onBehalf, dials: core.dials },
        remaining: (lease) => core.remaining(lease),
        afterOpen: hooks?.afterOpen
      })),
    close: closerIn(context, title, settings),
    check,
    reset: reset && ((...args) => Effect.map(reset(...args), (failure) => failure === undefined)),
    report: (lease, what, millis) => monitor.reportLeak(Diagnostics.leakOf(lease, what, millis, settings.name)),
    warnNested: Diagnostics.nestedOnce(fork, title)
  })
  const commandDied = (defect: unknown) => void fork(report(`${title}: a command has died`, Cause.die(defect)))
  const outbox = new Outbox<K, A>((command) => runner.run(command, core), commandDied)
  const core = new PoolCore<K, A>({
    settings,
    clock,
    random: () => random.nextDoubleUnsafe(),
    fork,
    nextTurn: (act) => dispatcher.scheduleTask(act, 0),
    later: laterOn(clock.clock),
    outOfReach: (lease) => slotHolders.outOfReach(lease),
    makePool: (pool) => new EndpointPool(pool),
    outbox,
    noticesDeath: connector.closed !== undefined,
    isReusable: reusableOf(connector, title, fork),
    hasCheck: check !== undefined,
    makesReady: hooks?.beforeLend !== undefined,
    hasReset: reset !== undefined,
    obstacle: (label) => monitor.reserve.unsafe?.obstacle?.({ label })
  })
  const drain = makeDrain(core)
  return {
    core,
    check,
    beforeLend: hookOf("beforeLend", hooks?.beforeLend, hooking),
    name: settings.name,
    limitsLeases: settings.maxLease < Infinity,
    drain,
    only: options.endpoint === undefined ? undefined : { endpoint: options.endpoint },
    registered: registeredAs(core, { clock, settings, drain, hasCheck: check !== undefined })
  }
}

const registeredAs = <K, A>(
  core: PoolCore<K, A>,
  parts: Pick<RegisteredPool, "clock" | "settings" | "drain" | "hasCheck">
): RegisteredPool => ({
  ...parts,
  core,
  name: parts.settings.name,
  evictEndpoint: (label) => core.evictEndpoint(label),
  endLease: (id) => core.endLease(id)
})

/**
 * Makes the drain of a pool. It may be called several times, also concurrently. After its own deadline, each call closes the
 * connections that are still leased. All calls complete when every connection is closed.
 */
export const makeDrain = <K, A>(core: PoolCore<K, A>): (timeout: number) => Effect.Effect<void> => {
  const emptied = Deferred.makeUnsafe<void>()
  let watching = false
  const start = Effect.sync(() => {
    core.startDraining()
    if (watching) return
    watching = true
    core.whenEmptied(() => Deferred.doneUnsafe(emptied, Exit.void))
  })
  const shutDown = Effect.sync(() => core.shutDown())
  return (timeout) =>
    Effect.gen(function*() {
      yield* start
      // In a finalizer, which is uninterruptible, the timeout could not end the wait otherwise.
      yield* timeoutOrElse(Effect.interruptible(Deferred.await(emptied)), {
        duration: Duration.millis(timeout),
        orElse: () => Effect.sync(() => core.force())
      })
      yield* Deferred.await(emptied)
      yield* shutDown
    })
}
