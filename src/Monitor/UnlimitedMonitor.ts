/**
 * The monitor without limits. It counts what this library opens, and reads nothing.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import { scopeHooks } from "../internal/ScopeHooks.ts"
import type { Alert } from "./Alert.ts"
import { GateObservers } from "./gate/Observers.ts"
import { maxWaitOf } from "./gate/Request.ts"
import * as Ledger from "./Ledger.ts"
import { makeBroadcast } from "./levels/Broadcast.ts"
import * as Cleanup from "./levels/Cleanup.ts"
import { makeLeakLog } from "./levels/LeakLog.ts"
import { recentOf } from "./levels/Recent.ts"
import * as Reading from "./Reading.ts"
import { type Reserve, type ReserveUnsafe, ResourceMonitor } from "./Service.ts"
import { trackOf } from "./Tracking.ts"
import type { Figures, Gauge, Level, Usage } from "./Usage.ts"

const source = "layerUnlimited"
const limit = Reading.unlimited(source)
const unread = Reading.unknown("Missing", source)
const unreadGauge: Gauge = { used: unread, limit }

const usageOf = (ledger: Ledger.Ledger, now: number): Usage => ({
  descriptors: unreadGauge,
  reserved: Ledger.reserved(ledger),
  memory: unreadGauge,
  connections: { used: Reading.known(Ledger.open(ledger), now, "ledger"), limit },
  level: "Normal"
})

const figuresOf = (ledger: Ledger.Ledger): Figures => ({
  connections: new Map(ledger.labels),
  descriptors: unread,
  descriptorLimit: unread,
  memory: unread,
  heap: unread,
  heapLimit: unread,
  containerMemory: unread,
  containerMemoryLimit: unread,
  memoryPressure: unread,
  cpuPressure: unread,
  ioPressure: unread,
  sockets: unread,
  threads: unread,
  processLimit: unread,
  zombies: unread,
  loopDelay: unread,
  loopUtilization: unread
})

const reserveOf = (ledger: Ledger.Ledger, observers: GateObservers): Reserve => {
  const reserve: ReserveUnsafe["reserve"] = (request) => {
    maxWaitOf(request)
    const reservation = new Ledger.LedgerReservation(ledger, request.descriptors ?? 1)
    observers.admitted?.(0)
    return reservation
  }
  const unsafe: ReserveUnsafe = {
    reserve,
    end: (reservation) => {
      if (reservation instanceof Ledger.LedgerReservation) reservation.end()
    },
    isShort: () => false
  }
  const scoped: Reserve = (request) =>
    Effect.uninterruptible(Effect.flatMap(Effect.scope, (scope) =>
      Effect.suspend(() => {
        const reservation = new Ledger.LedgerReservation(ledger, (maxWaitOf(request), request.descriptors ?? 1))
        observers.admitted?.(0)
        return Effect.as(Scope.addFinalizer(scope, Effect.sync(() => reservation.end())), reservation)
      })))
  return Object.assign(scoped, { unsafe })
}

const nothing: ReadonlyArray<never> = []

/** Makes the monitor. It is closed with the scope. */
export const makeUnlimited = /*#__PURE__*/ Effect.fnUntraced(function*() {
  const clock = yield* Effect.clockWith(Effect.succeed)
  const ledger = Ledger.make()
  const observers = new GateObservers()
  const levels = yield* makeBroadcast<Level>(1, 1)
  levels.publish("Normal")
  const alerts = yield* makeBroadcast<Alert>(1)
  const leakLog = yield* makeLeakLog(Duration.minutes(1))
  const read = () => usageOf(ledger, clock.currentTimeMillisUnsafe())
  const cleanup = yield* Cleanup.make({
    read,
    isRelieved: () => true,
    cooldown: 0,
    clock,
    fork: Effect.runForkWith(yield* Effect.context<never>())
  })
  const usage = Effect.sync(read)
  return ResourceMonitor.of({
    usage,
    sample: usage,
    level: Effect.succeed("Normal"),
    levels: levels.stream,
    alerts: alerts.stream,
    recentAlerts: recentOf("recentAlerts", alerts),
    figures: Effect.sync(() => figuresOf(ledger)),
    zombies: Effect.succeed(nothing),
    cost: Effect.succeed({ share: 0, ticks: 0, worstTick: 0, slowdown: 1 }),
    descriptorBreakdown: Effect.fail(unread),
    reserve: reserveOf(ledger, observers),
    shortage: () => Effect.undefined,
    gate: Effect.sync(() => ({ waiting: 0, admitted: ledger.admitted, refusals: { ...ledger.refusals } })),
    observeGate: (observer) => observers.add(observer),
    eventLoop: Effect.succeed({ count: 0, longest: 0 }),
    track: trackOf(ledger, () => {}),
    onPressure: (callback) => cleanup.register(callback),
    cleanup: Effect.suspend(() => cleanup.demand()),
    trackLeases: (held) => scopeHooks(() => ledger.lenders.add(held), () => ledger.lenders.delete(held)),
    topSites: (count) => Effect.sync(() => Ledger.topSites(ledger, count)),
    reportLeak: leakLog.report,
    leaks: leakLog.leaks.stream,
    recentLeaks: recentOf("recentLeaks", leakLog.leaks)
  })
})
