/**
 * A pool as an operator sees it: bounded, and without secrets.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import { errorTypeOf } from "../../internal/ErrorType.ts"
import { errorText, safeText } from "../../internal/SafeText.ts"
import type { InspectedEndpoint, InspectedHolder, Inspection } from "../../Pool/PoolInspection.ts"
import type { RegisteredPool } from "../../Pool/PoolRegistry.ts"
import type { Summary } from "../../Pool/PoolStats.ts"
import type { Counts, Endpoint, Failure, Holder, Pool } from "../Snapshot.ts"
import { type OutageKind, outageKindOf } from "./OutageKind.ts"
import type { PoolRecord, RecordedFailure } from "./PoolRecord.ts"
import type { PoolFacts } from "./Readiness.ts"

/** The most endpoints and the most holders of a pool. A snapshot of many pools has fewer of each. */
const mostShown = 20
const fewestShown = 3

/** The most endpoints, and the most holders, of all pools. */
const mostOfAll = 100

/** How many endpoints, and how many holders, each of so many pools shows. */
export const shownOf = (pools: number): number =>
  Math.max(Math.min(mostShown, Math.floor(mostOfAll / Math.max(pools, 1))), fewestShown)

/** The longest name or label, and the longest message of an error. */
const longestName = 200
const longestMessage = 400

/** The most attributes of a holder, and the longest text of one. */
const mostAttributes = 8
const longestAttribute = 100

const millis = (duration: Duration.Duration | undefined): number | undefined =>
  duration === undefined ? undefined : Math.round(Duration.toMillis(duration))

/** The fields that are not `undefined`. An absent field is shorter than `null`. */
const present = <A extends object>(fields: A): { [K in keyof A]: Exclude<A[K], undefined> } =>
  // A field whose value is `undefined` is left out, so that the others have no `undefined` in their types.
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    [K in keyof A]: Exclude<A[K], undefined>
  }

const countsOf = ({ active, closing, connecting, idle, leftBehind, total, waiting }: typeof Counts.Type) => ({
  total,
  active,
  idle,
  connecting,
  closing,
  leftBehind,
  waiting
})

const messageOf = (cause: unknown): string =>
  cause === undefined ? "no connection in time" : errorText(cause, longestMessage)

const failureOf = ({ at, cause, count, endpoint, type }: RecordedFailure): typeof Failure.Type => ({
  at,
  endpoint: safeText(endpoint, longestName),
  type,
  message: messageOf(cause),
  count
})

const lastFailureOf = ({ label, lastFailure }: InspectedEndpoint, at: number): typeof Failure.Type | undefined =>
  lastFailure === undefined ? undefined : {
    at: at - Math.round(Duration.toMillis(lastFailure.age)),
    endpoint: safeText(label, longestName),
    type: errorTypeOf(lastFailure.cause),
    message: messageOf(lastFailure.cause),
    count: 1
  }

/** What has failed at an endpoint since it was `Healthy`, with the last error if there is any. */
const failedOf = ({ label, lastFailure }: InspectedEndpoint, record: PoolRecord | undefined) => {
  const failed = record?.failedAt(label)
  return { attempts: failed?.attempts ?? 0, cause: lastFailure?.cause ?? failed?.cause }
}

const outageOf = (endpoint: InspectedEndpoint, record: PoolRecord | undefined): OutageKind | undefined =>
  endpoint.health === "Unavailable" ? outageKindOf(failedOf(endpoint, record)) : undefined

const endpointOf = (
  endpoint: InspectedEndpoint,
  record: PoolRecord | undefined,
  at: number
): typeof Endpoint.Type => {
  const impairedFor = millis(endpoint.impairedFor)
  return {
    label: safeText(endpoint.label, longestName),
    health: endpoint.health,
    counts: countsOf(endpoint.counts),
    failedAttempts: endpoint.failedAttempts,
    timeouts: endpoint.timeouts,
    ...present({
      attemptsOfOutage: endpoint.health === "Healthy" ? undefined : record?.failedAt(endpoint.label).attempts,
      outage: outageOf(endpoint, record),
      impairedSince: impairedFor === undefined ? undefined : at - impairedFor,
      lastFailure: lastFailureOf(endpoint, at),
      nextDialIn: millis(endpoint.nextDialIn),
      oldestWait: millis(endpoint.oldestWait)
    })
  }
}

const attributesOf = (attributes: Readonly<Record<string, string>>): Record<string, string> =>
  Object.fromEntries(
    Object.entries(attributes).slice(0, mostAttributes).map(([key, value]) => {
      // A secret is recognized by the name of its attribute too.
      const [name = "", ...rest] = safeText(`${key}=${value}`, longestName + longestAttribute).split("=")
      return [name.slice(0, longestAttribute), rest.join("=").slice(0, longestAttribute)]
    })
  )

const holderOf = (holder: InspectedHolder): typeof Holder.Type => ({
  id: holder.id,
  endpoint: safeText(holder.endpoint, longestName),
  attributes: attributesOf(holder.attributes),
  age: Math.round(Duration.toMillis(holder.age)),
  isStanding: holder.isStanding,
  ...present({
    span: holder.span === undefined ? undefined : safeText(holder.span, longestName),
    site: holder.site === undefined ? undefined : safeText(holder.site, 300)
  })
})

const totals = [
  "opened",
  "closed",
  "failedAttempts",
  "borrowed",
  "waited",
  "timeouts",
  "evicted",
  "expired",
  "died",
  "connectsLeftBehind",
  "closesLeftBehind",
  "leaksReported",
  "leasesExpired",
  "leasesEnded",
  "leasesLost"
] as const

const totalsOf = (stats: Summary): Record<string, number> =>
  Object.fromEntries(totals.map((name) => [name, stats[name]]))

const healthOf = ({ endpointsByHealth: { Degraded, Unavailable } }: Inspection) =>
  Unavailable > 0 ? "Unavailable" : Degraded > 0 ? "Degraded" : "Healthy"

/** What is to be shown of a pool. */
export interface Shown {
  readonly pool: RegisteredPool
  readonly record: PoolRecord | undefined
  readonly isRequired: boolean
  /** The most endpoints and the most holders. */
  readonly most: number
  /** In milliseconds since 1970. */
  readonly at: number
}

/** A pool as it is at this moment. */
export const poolSnapshot = ({ at, isRequired, most, pool, record }: Shown): typeof Pool.Type => {
  const inspection = pool.core.inspect(most)
  const stats = pool.core.summary()
  return {
    name: safeText(pool.name, longestName),
    status: pool.core.isOver ? "Draining" : stats.isSuspended ? "Suspended" : "Open",
    isRequired,
    health: healthOf(inspection),
    maxTotal: stats.maxTotal,
    maxPerEndpoint: stats.maxPerEndpoint,
    counts: countsOf(stats),
    endpointsByHealth: { ...inspection.endpointsByHealth },
    endpoints: inspection.endpoints.map((endpoint) => endpointOf(endpoint, record, at)),
    holders: inspection.holders.map(holderOf),
    failures: record?.failures.map(failureOf) ?? [],
    ...present({ oldestWait: millis(inspection.oldestWait), oldestLease: millis(inspection.oldestLease) }),
    totals: totalsOf(stats),
    closedBy: { ...stats.closedBy },
    refusals: { ...stats.refusals }
  }
}

/** What decides whether a pool is ready. */
export const poolFacts = (pool: RegisteredPool, record: PoolRecord | undefined): PoolFacts => {
  const { endpoints, endpointsByHealth, oldestWait } = pool.core.inspect(1)
  const { isSuspended, waiting } = pool.core.summary()
  const [worst] = endpoints
  const cause = worst && failedOf(worst, record).cause
  return {
    isOver: pool.core.isOver,
    isSuspended,
    endpointsByHealth,
    worst: worst && {
      label: safeText(worst.label, longestName),
      outage: outageOf(worst, record),
      failure: cause === undefined ? undefined : errorText(cause, longestMessage)
    },
    waiting,
    oldestWait: millis(oldestWait) ?? 0,
    sinceProgress: record?.sinceProgress() ?? 0,
    sinceTimeout: record?.sinceTimeout() ?? Infinity
  }
}
