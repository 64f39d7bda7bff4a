/**
 * The handle with which a test sets the readings of a monitor and sees its counts.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Ledger from "./Ledger.ts"
import { defaults } from "./Options.ts"
import * as Reading from "./Reading.ts"
import type { Source } from "./Source.ts"

/**
 * The readings to set. A number is a `Known` reading at the time of the clock; what is left out stays as it is.
 *
 * @category models
 * @since 0.1.0
 */
export interface TestReadings {
  /** Open descriptors. At first 0. */
  readonly descriptors?: number | Reading.Reading | undefined
  /** At first 1000. */
  readonly descriptorLimit?: number | Reading.Reading | undefined
  /** Resident memory in bytes. At first 0. */
  readonly memory?: number | Reading.Reading | undefined
  /** In bytes. At first 1024 MiB. */
  readonly memoryLimit?: number | Reading.Reading | undefined
  /** At first 100. */
  readonly connectionLimit?: number | Reading.Reading | undefined
}

/**
 * The handle on the monitor of `ResourceMonitor.layerTest`.
 *
 * @category services
 * @since 0.1.0
 */
export class TestMonitor extends Context.Service<TestMonitor, {
  /** Sets readings. They hold from the next decision on. */
  readonly set: (readings: TestReadings) => Effect.Effect<void>
  /** Descriptors that are claimed now. */
  readonly reserved: Effect.Effect<number>
  /** Connections that are open now, by label. */
  readonly tracked: Effect.Effect<ReadonlyMap<string, number>>
  /** Openings that the gate admitted since the start. */
  readonly admitted: Effect.Effect<number>
  /** Openings that the gate refused since the start. */
  readonly refused: Effect.Effect<number>
}>()("effect-sluice/Monitor/TestMonitor") {}

const initial: Required<TestReadings> = {
  descriptors: 0,
  descriptorLimit: defaults.maxDescriptors,
  memory: 0,
  memoryLimit: defaults.maxMemory,
  connectionLimit: defaults.maxConnections
}

const readingOf = (value: number | Reading.Reading | undefined, now: number): Reading.Reading =>
  typeof value === "number" ? Reading.known(value, now, "test") : value ?? Reading.unknown("Missing", "test")

const given = (readings: TestReadings): TestReadings =>
  Object.fromEntries(Object.entries(readings).filter(([, value]) => value !== undefined))

/**
 * The handle, and the source that follows it.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (
  ledger: Ledger.Ledger
): { readonly handle: TestMonitor["Service"]; readonly source: Source } => {
  let current: TestReadings = initial
  const gauge = (used: keyof TestReadings, limit: keyof TestReadings, now: number) => ({
    used: readingOf(current[used], now),
    limit: readingOf(current[limit], now)
  })
  const handle = TestMonitor.of({
    set: (readings) =>
      Effect.sync(() => {
        current = { ...current, ...given(readings) }
      }),
    reserved: Effect.sync(() => Ledger.reserved(ledger)),
    tracked: Effect.sync(() => new Map(ledger.labels)),
    admitted: Effect.sync(() => ledger.admitted),
    refused: Effect.sync(() => ledger.refused)
  })
  const source: Source = {
    descriptors: (now) => ({ ...gauge("descriptors", "descriptorLimit", now), own: 0 }),
    memory: (now) => gauge("memory", "memoryLimit", now),
    connectionLimit: () => readingOf(current.connectionLimit, 0)
  }
  return { handle, source }
}
