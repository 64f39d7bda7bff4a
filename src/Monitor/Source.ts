/**
 * Where a monitor's gauges come from: the process, or a test.
 *
 * @since 0.1.0
 */
import * as Ledger from "./Ledger.ts"
import { configuredSource, isConfigured } from "./LimitSource.ts"
import { defaultHeadroom } from "./Options.ts"
import type { Resolved } from "./Options.ts"
import type { Probe, Probes } from "./Probes.ts"
import * as Reading from "./Reading.ts"
import type { Gauge } from "./Usage.ts"

/**
 * The gauge of descriptors.
 *
 * @category models
 * @since 0.1.0
 */
export interface DescriptorGauge extends Gauge {
  /**
   * Descriptors that the monitor holds and that are not in `used`, but take from the limit all the same: 0 when the limit
   * is the configured one, which is meant for the rest of the process.
   */
  readonly own: number
  /** Descriptors that are off the limit already because they stay free. */
  readonly reserve: number
}

/**
 * The gauges of a monitor. `now` is the wall-clock time in milliseconds; `anew` asks for a reading however dear it is.
 *
 * @category models
 * @since 0.1.0
 */
export interface Source {
  readonly descriptors: (now: number, anew: boolean) => DescriptorGauge
  /** Takes a count of descriptors that somebody else has read just now, so that a dear one is not read twice. */
  readonly learn: (count: Reading.Reading) => void
  readonly memory: (now: number) => Gauge
  readonly connectionLimit: () => Reading.Reading
}

// How long a dear reading stands in for a new one, and how long a change of the process's own limit may go unseen.
const freshMillis = 1000

const isFresh = (at: number, now: number): boolean => Math.abs(now - at) < freshMillis

/**
 * The configured limit and the process's own: the smaller one. A soft limit that cannot be read leaves the configured
 * one to count.
 *
 * @category combinators
 * @since 0.1.0
 */
export const smallerLimit = (
  configured: number,
  own: Reading.Reading,
  now: number,
  source: string = configuredSource()
): Reading.Reading => {
  if (own._tag === "Known" && own.value <= configured) return own
  return configured === Infinity ? own : Reading.known(configured, now, source)
}

const limitOf = (configured: number, now: number, source: string): Reading.Reading =>
  configured === Infinity ? Reading.unlimited(source) : Reading.known(configured, now, source)

interface DescriptorLimit {
  readonly limit: Reading.Reading
  readonly reserve: number
}

/** The limit of descriptors that is in force: the soft limit less what stays free, unless the options say another one. */
const descriptorLimit = (
  { headroom, maxDescriptors, origins }: Resolved,
  soft: Reading.Reading,
  now: number
): DescriptorLimit => {
  if (maxDescriptors !== undefined) {
    return { limit: smallerLimit(maxDescriptors, soft, now, configuredSource(origins.maxDescriptors)), reserve: 0 }
  }
  if (soft._tag !== "Known") return { limit: soft, reserve: 0 }
  // A limit of 0 would be no limit: a share of it does not exist.
  const reserve = Math.max(Math.min(headroom ?? defaultHeadroom(soft.value), soft.value - 1), 0)
  return { limit: { ...soft, value: soft.value - reserve }, reserve }
}

const cached = <A>(read: (now: number) => A) => {
  let last: { readonly at: number; readonly value: A } | undefined
  return (now: number): A => {
    if (last === undefined || !isFresh(last.at, now)) last = { at: now, value: read(now) }
    return last.value
  }
}

/**
 * Of two gauges, the one that is nearer to its limit: the second only where its share is known, and the larger one.
 *
 * @category combinators
 * @since 0.1.0
 */
export const nearer = (first: Gauge, second: Gauge): Gauge => {
  const share = Reading.ratio(second.used, second.limit)
  return share !== undefined && share > (Reading.ratio(first.used, first.limit) ?? 0) ? second : first
}

interface Listing {
  readonly reading: Reading.Known
  readonly settled: number
  readonly opened: number
  readonly closed: number
}

/**
 * A count that costs milliseconds is taken once a second at most. In between, every opening that ended since then is
 * taken for a descriptor and every connection closed since then for one less, so the estimate errs to the safe side.
 */
const estimate = (listing: Listing, ledger: Ledger.Ledger): Reading.Known => {
  const gained = Math.max(ledger.settled - listing.settled, ledger.opened - listing.opened)
  const value = listing.reading.value + gained - (ledger.closed - listing.closed)
  return { ...listing.reading, value: Math.max(value, Ledger.open(ledger)), exact: gained === 0 }
}

const thrifty = (probe: Probe, ledger: Ledger.Ledger) => {
  let last: Listing | undefined
  const learn = (reading: Reading.Reading): void => {
    last = reading._tag === "Known"
      ? { reading, settled: ledger.settled, opened: ledger.opened, closed: ledger.closed }
      : undefined
  }
  const read = (now: number, anew: boolean): Reading.Reading => {
    if (last !== undefined && !anew && isFresh(last.reading.at, now)) return estimate(last, ledger)
    const reading = probe.read(now)
    learn(reading)
    return reading
  }
  return { read, learn }
}

const cheap = ({ read }: Probe): ReturnType<typeof thrifty> => ({ read, learn: () => {} })

/**
 * The gauges of this process.
 *
 * @category constructors
 * @since 0.1.0
 */
export const fromProbes = (probes: Probes, ledger: Ledger.Ledger, options: Resolved): Source => {
  const count = probes.descriptors.cheap ? cheap(probes.descriptors) : thrifty(probes.descriptors, ledger)
  const limitInForce = cached((now) => descriptorLimit(options, probes.descriptorLimit.read(now), now))
  const memorySource = configuredSource(options.origins.maxMemory)
  const connectionSource = configuredSource(options.origins.maxConnections)
  const container = cached(probes.container)
  return {
    descriptors: (now, anew) => {
      const { limit, reserve } = limitInForce(now)
      const own = isConfigured(limit.source) ? 0 : probes.held
      return { used: count.read(now, anew), limit, own, reserve }
    },
    learn: count.learn,
    memory: (now) =>
      nearer({ used: probes.memory.read(now), limit: limitOf(options.maxMemory, now, memorySource) }, container(now)),
    connectionLimit: () => limitOf(options.maxConnections, 0, connectionSource)
  }
}

/**
 * The same gauges without any limit.
 *
 * @category constructors
 * @since 0.1.0
 */
export const withoutLimits = (source: Source, { memory }: Probes): Source => {
  const limit = Reading.unlimited("layerUnlimited")
  return {
    descriptors: (now, anew) => ({ used: source.descriptors(now, anew).used, limit, own: 0, reserve: 0 }),
    learn: source.learn,
    memory: (now) => ({ used: memory.read(now), limit }),
    connectionLimit: () => limit
  }
}
