/**
 * A monitor for tests: the test sets its readings, and reads its counts.
 *
 * @since 0.1.0
 */
import type * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { Alert } from "./Alert.ts"
import type { Gate } from "./gate/Reservation.ts"
import * as Ledger from "./Ledger.ts"
import type { LevelTracker } from "./levels/LevelTracker.ts"
import { conservative, defaults } from "./Options.ts"
import * as Reading from "./Reading.ts"
import type { StallRecord } from "./readings/EventLoopStalls.ts"
import { type Gauges, nearer } from "./readings/Probes.ts"
import type { Sample } from "./readings/Sampler.ts"
import type { Figures, Level } from "./Usage.ts"

/** The other figures, which are unknown until they are set. Of these only the container's memory has a level. */
type OtherReadings = Partial<
  Readonly<Record<Exclude<keyof Figures, "connections">, number | Reading.Reading | undefined>>
>

/**
 * The readings to set. A number is a `Known` reading at the time of the clock. Omitted readings stay as they are.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export interface TestReadings extends OtherReadings {
  /** Open descriptors. Initially 0. */
  readonly descriptors?: number | Reading.Reading | undefined
  /** Initially 1000. */
  readonly descriptorLimit?: number | Reading.Reading | undefined
  /** Resident memory in bytes. Initially 0. */
  readonly memory?: number | Reading.Reading | undefined
  /** In bytes. Initially 1024 MiB. */
  readonly memoryLimit?: number | Reading.Reading | undefined
  /** Initially 100. */
  readonly connectionLimit?: number | Reading.Reading | undefined
}

/**
 * Controls the monitor of `ResourceMonitor.layerTest`.
 *
 * @category services
 * @since 0.1.0
 * @stability stable
 */
export class TestMonitor extends Context.Service<TestMonitor, {
  /** Sets readings, and takes them like a tick of the timer: a level rises at once, and falls after its recovery time. */
  readonly set: (readings: TestReadings) => Effect.Effect<void>
  /**
   * Puts a level in force at once, also a lower one: it sets the descriptors to the number at which the level begins (0 for
   * `Normal`), and the memory to 0. It dies when the limit of descriptors is unknown.
   */
  readonly setLevel: (level: Level) => Effect.Effect<void>
  /** Takes the readings again, like a tick of the timer. */
  readonly tick: Effect.Effect<void>
  /** Runs one round of maintenance. */
  readonly maintain: Effect.Effect<void>
  /** Publishes and keeps an alert, whatever the readings are. */
  readonly alert: (alert: Alert) => Effect.Effect<void>
  /** Descriptors that are reserved now. */
  readonly reserved: Effect.Effect<number>
  /** Connections that are open now, by label. */
  readonly tracked: Effect.Effect<ReadonlyMap<string, number>>
  /** Requests that the gate has admitted since the start. */
  readonly admitted: Effect.Effect<number>
  /** Requests that the gate has refused since the start. */
  readonly refused: Effect.Effect<number>
  /** Requests that wait for room now. */
  readonly waiting: Effect.Effect<number>
  /** Records a stall of the event loop, whatever the event loop does. */
  readonly stall: (duration: Duration.Input) => Effect.Effect<void>
}>()("effect-sluice/Monitor/TestMonitor") {}

const initial: TestReadings = {
  descriptors: 0,
  descriptorLimit: conservative.maxDescriptors,
  memory: 0,
  memoryLimit: conservative.maxMemory,
  connectionLimit: conservative.maxConnections
}

const readingOf = (value: number | Reading.Reading | undefined, now: number): Reading.Reading =>
  typeof value === "number" ? Reading.known(value, now, "test") : value ?? Reading.unknown("Missing", "test")

const mapNames = (
  read: (name: Exclude<keyof Figures, "connections">) => Reading.Reading
): Omit<Figures, "connections"> => ({
  descriptors: read("descriptors"),
  descriptorLimit: read("descriptorLimit"),
  memory: read("memory"),
  heap: read("heap"),
  heapLimit: read("heapLimit"),
  containerMemory: read("containerMemory"),
  containerMemoryLimit: read("containerMemoryLimit"),
  memoryPressure: read("memoryPressure"),
  cpuPressure: read("cpuPressure"),
  ioPressure: read("ioPressure"),
  loopDelay: read("loopDelay"),
  loopUtilization: read("loopUtilization"),
  sockets: read("sockets"),
  threads: read("threads"),
  processLimit: read("processLimit"),
  zombies: read("zombies")
})

const given = (readings: TestReadings): TestReadings =>
  Object.fromEntries(Object.entries(readings).filter(([, value]) => value !== undefined))

/** The share of a limit at which a level begins. */
const beginnings: Record<Level, number> = {
  Normal: 0,
  Warning: defaults.warningThreshold,
  Critical: defaults.errorThreshold,
  Exhausted: 1
}

/** The fewest descriptors that have this level. */
const beginningOf = (level: Level, limit: TestReadings["descriptorLimit"]): number => {
  const value = typeof limit === "number" ? limit : limit?._tag === "Known" ? limit.value : undefined
  if (value === undefined) throw new Error(`no level ${level} without a known limit of descriptors`)
  return Math.ceil(beginnings[level] * value)
}

/**
 * The gauges of a test monitor, and the handle that sets them.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (ledger: Ledger.Ledger, clock: Clock.Clock) => {
  let current: TestReadings = initial
  const gauge = (used: keyof TestReadings, limit: keyof TestReadings, now: number) => ({
    used: readingOf(current[used], now),
    limit: readingOf(current[limit], now)
  })
  const handle = ({ cleanup, hub, level, look, settle }: LevelTracker, gate: Gate, stalls: StallRecord) =>
    TestMonitor.of({
      set: (readings) =>
        Effect.sync(() => {
          current = { ...current, ...given(readings) }
          look(false)
          gate.look()
        }),
      setLevel: (level) =>
        Effect.sync(() => {
          current = { ...current, memory: 0, descriptors: beginningOf(level, current.descriptorLimit) }
          settle()
          gate.look()
        }),
      tick: Effect.sync(() => look(false)),
      maintain: Effect.suspend(() => cleanup.maintain()),
      alert: (alert) => Effect.sync(() => hub.publish(level(), [alert])),
      reserved: Effect.sync(() => Ledger.reserved(ledger)),
      tracked: Effect.sync(() => new Map(ledger.labels)),
      admitted: Effect.sync(() => ledger.admitted),
      refused: Effect.sync(() => Ledger.refused(ledger)),
      waiting: Effect.sync(() => gate.stats().waiting),
      stall: (duration) => Effect.suspend(() => stalls.note(Duration.toMillis(duration)))
    })
  const gauges: Gauges = {
    descriptors: (now) => ({ ...gauge("descriptors", "descriptorLimit", now), own: 0, reserve: 0 }),
    learn: () => {},
    memory: (now) => nearer(gauge("memory", "memoryLimit", now), gauge("containerMemory", "containerMemoryLimit", now)),
    connectionLimit: () => readingOf(current.connectionLimit, 0)
  }
  const sampleNow = (): Sample => {
    const at = clock.currentTimeMillisUnsafe()
    const read = (name: keyof TestReadings) => readingOf(current[name], at)
    const figures = { ...mapNames(read), connections: new Map(ledger.labels) }
    return { at, figures }
  }
  const sampler = {
    sampleNow,
    zombies: () => [],
    cost: () => ({ share: 0, ticks: 0, worstTick: 0, slowdown: 1 }),
    descriptorBreakdown: Effect.fail(Reading.unknown("Missing", "test"))
  }
  return { gauges, handle, sampler }
}
