/**
 * The reports of a pool: snapshots, errors with the numbers that explain them, and log messages.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { errorTypeOf } from "../../internal/ErrorType.ts"
import { requesterIn } from "../../internal/Requester.ts"
import type { LeakFacts } from "../../Monitor/Leak.ts"
import type { HeldLease } from "../../Monitor/Ledger.ts"
import type { Usage } from "../../Monitor/ResourceMonitor.ts"
import type { ResourceMonitor } from "../../Monitor/Service.ts"
import * as Failure from "../../Retry/Failure.ts"
import { BudgetError } from "../ConnectionBudget.ts"
import * as PoolError from "../PoolError.ts"
import type { Settings } from "../PoolOptions.ts"
import { type Stats, type Summary, type Tally, totalsOf } from "../PoolStats.ts"
import { failureIn, isFull } from "./DialPolicy.ts"
import { addressOf } from "./KeyAddress.ts"
import {
  type HeldSlots,
  type Lease,
  type PendingDial,
  type PooledConnection,
  type PoolEndpoint,
  slotsOf,
  type Status
} from "./PoolState.ts"

export const countsOf = <K, A>(endpoint: PoolEndpoint<K, A>): PoolError.Counts => ({
  total: slotsOf(endpoint),
  active: endpoint.connections.length - endpoint.idle,
  idle: endpoint.idle,
  connecting: endpoint.connecting,
  closing: endpoint.closing + endpoint.kept,
  leftBehind: endpoint.leftBehind,
  waiting: endpoint.queue.size
})

const countNames = ["total", "active", "idle", "connecting", "closing", "leftBehind", "waiting"] as const

export const sumOf = (all: Iterable<PoolError.Counts>): PoolError.Counts => {
  const sum = { total: 0, active: 0, idle: 0, connecting: 0, closing: 0, leftBehind: 0, waiting: 0 }
  for (const counts of all) for (const name of countNames) sum[name] += counts[name]
  return sum
}

/** The sums of the counts of these endpoints, without an object for each of them. */
export const sumOfEndpoints = <K, A>(endpoints: ReadonlyArray<PoolEndpoint<K, A>>): PoolError.Counts => {
  const sum = { total: 0, active: 0, idle: 0, connecting: 0, closing: 0, leftBehind: 0, waiting: 0 }
  for (const endpoint of endpoints) {
    sum.total += slotsOf(endpoint)
    sum.active += endpoint.connections.length - endpoint.idle
    sum.idle += endpoint.idle
    sum.connecting += endpoint.connecting
    sum.closing += endpoint.closing + endpoint.kept
    sum.leftBehind += endpoint.leftBehind
    sum.waiting += endpoint.queue.size
  }
  return sum
}

interface Known {
  readonly tally: Tally
  readonly settings: Settings
}

/** A snapshot of a pool without those of its endpoints, of which there may be very many. */
export const summaryOf = <K, A>(
  endpoints: ReadonlyArray<PoolEndpoint<K, A>>,
  { settings, tally }: Known,
  status: Status
): Summary => ({
  ...sumOfEndpoints(endpoints),
  ...totalsOf(tally),
  maxPerEndpoint: settings.maxPerEndpoint,
  maxTotal: settings.maxTotal,
  minPerEndpoint: settings.minPerEndpoint,
  isSuspended: status === "Waiting" || status === "Refusing"
})

/** The snapshot of a pool with these endpoints. */
export const statsOf = <K, A>(endpoints: ReadonlyArray<PoolEndpoint<K, A>>, known: Known, status: Status): Stats => {
  const counts = new Map<string, PoolError.Counts>()
  for (const endpoint of endpoints) {
    // Keys that are not equal may have the same text.
    const others = counts.get(endpoint.label)
    counts.set(endpoint.label, others === undefined ? countsOf(endpoint) : sumOf([others, countsOf(endpoint)]))
  }
  return { ...summaryOf(endpoints, known, status), endpoints: counts }
}

/** The attributes of a span of a pool and an endpoint. */
export const spanAttributes = <K, A>(
  { name }: Pick<Settings, "name">,
  { key, label }: PoolEndpoint<K, A>
): Record<string, string | number> => {
  const address = addressOf(key)
  return {
    "db.client.connection.pool.name": name,
    "sluice.pool.endpoint": label,
    ...(address && { "server.address": address.host, "server.port": address.port })
  }
}

/** Adds `error.type` to the span in which an effect fails. */
export const annotateFailure = <B, E, R>(effect: Effect.Effect<B, E, R>): Effect.Effect<B, E, R> =>
  Effect.tapCause(effect, (cause) =>
    Cause.hasInterruptsOnly(cause)
      ? Effect.void
      : Effect.annotateCurrentSpan("error.type", errorTypeIn(Cause.squash(cause))))

/** The cause of a pool's own error says less of a borrow than the tag of the error. */
const errorTypeIn = (error: unknown): string =>
  error instanceof PoolError.PoolError ? error.reason._tag : errorTypeOf(failureIn(error))

/** The route of the request, or the span, in which a lease began. */
export const spanOf = <K, A>(lease: Lease<K, A>): string | undefined => requesterIn(lease.context)

/** The leases that are held, at most `most` of them, for the monitor's ledger. */
export const heldLeases = function*<K, A>(
  connections: Iterable<PooledConnection<K, A>>,
  most: number
): Iterable<HeldLease> {
  let left = most
  for (const { leases, owner } of connections) {
    for (const { site } of leases) {
      if (left-- <= 0) return
      yield { label: owner.label, site: site?.text }
    }
  }
}

/** The borrowers that have held these connections for the longest, at most `most`. Those with standing leases come last. */
export const longestHolders = <K, A>(
  connections: Iterable<PooledConnection<K, A>>,
  now: number,
  most: number
): ReadonlyArray<PoolError.Holder> =>
  Array.from(connections, ({ leases }) => leases).flat()
    .sort((left, right) => Number(left.isStanding) - Number(right.isStanding) || left.borrowedAt - right.borrowedAt)
    .slice(0, most)
    .map((lease) => ({
      span: spanOf(lease),
      site: lease.site?.text,
      age: Duration.millis(Math.round(now - lease.borrowedAt)),
      isStanding: lease.isStanding
    }))

const stalledBy = <K, A>(lease: Lease<K, A>, context: TimeoutContext<K, A>): PoolError.StalledBy => {
  const endpoint = lease.owner
  const { isSuspended, obstacle, phaseOf, settings } = context
  if (isSuspended) return "Suspended"
  if (!lease.isWaiting) return "Checking"
  if (endpoint.connecting > 0) {
    const phase = phaseOf(endpoint)
    if (phase === "AtBudget") return "Budget"
    return phase === "Connecting" || obstacle(endpoint.label) === undefined ? "Connecting" : "Gate"
  }
  if (endpoint.lastFailure instanceof BudgetError) return "Budget"
  const isFull = slotsOf(endpoint) >= settings.maxPerEndpoint
  if (isFull && endpoint.kept > 0) return "LeftBehind"
  if (endpoint.dialState.phase === "Down") return "Connecting"
  return isFull ? "EndpointCap" : "TotalCap"
}

/**
 * The facts that the errors of one moment share, so that the holders are searched once for all borrowers that time out together.
 */
export interface TimeoutContext<K, A> {
  readonly settings: Settings
  readonly pool: PoolError.Counts
  readonly isSuspended: boolean
  /** The reason for which the monitor's gate admits no dial, if there is one. */
  readonly obstacle: (label: string) => unknown
  /** The furthest phase of the dials of an endpoint. */
  readonly phaseOf: (endpoint: PoolEndpoint<K, A>) => PendingDial<K, A>["phase"] | undefined
  /** The borrowers that have held connections for the longest: those of an endpoint, or of the pool. */
  readonly holders: (endpoint: PoolEndpoint<K, A> | undefined) => ReadonlyArray<PoolError.Holder>
}

/** Makes the context of one moment. `all` returns the idle and the leased connections of the pool. */
export const timeoutContextOf = <K, A>(
  { now, ...shared }: Omit<TimeoutContext<K, A>, "holders"> & { readonly now: number },
  all: () => Iterable<PooledConnection<K, A>>
): TimeoutContext<K, A> => {
  const found = new Map<PoolEndpoint<K, A> | undefined, ReadonlyArray<PoolError.Holder>>()
  return {
    ...shared,
    holders: (endpoint) => {
      const known = found.get(endpoint) ?? longestHolders(endpoint?.connections ?? all(), now, 3)
      found.set(endpoint, known)
      return known
    }
  }
}

type Named = Pick<Settings, "name" | "isNamed">

const failedWith = (reason: PoolError.PoolErrorReason, { isNamed, name }: Named): PoolError.PoolError =>
  new PoolError.PoolError(isNamed ? { reason, pool: name } : { reason })

export const acquireTimeout = <K, A>(
  lease: Lease<K, A>,
  position: number,
  context: TimeoutContext<K, A>
): PoolError.PoolError => {
  const { owner } = lease
  const stalled = stalledBy(lease, context)
  return failedWith(
    new PoolError.AcquireTimeout({
      key: owner.label,
      after: Duration.millis(context.settings.acquireTimeout),
      stalledBy: stalled,
      position,
      endpoint: countsOf(owner),
      pool: context.pool,
      holders: context.holders(stalled === "TotalCap" ? undefined : owner),
      isServerFull: stalled === "Connecting" && owner.lastFailure !== undefined && isFull(owner.lastFailure),
      cause: stalled === "Gate" ? context.obstacle(owner.label) : owner.lastFailure
    }),
    context.settings
  )
}

export const queueFull = <K, A>(endpoint: PoolEndpoint<K, A>, settings: Settings): PoolError.PoolError => {
  const { maxWaiters } = settings
  return failedWith(
    new PoolError.QueueFull({ key: endpoint.label, maxWaiters, endpoint: countsOf(endpoint) }),
    settings
  )
}

/** `retryAfter` is in milliseconds. */
export const endpointUnavailable = <K, A>(
  endpoint: PoolEndpoint<K, A>,
  now: number,
  retryAfter: number,
  pool: Named
): PoolError.PoolError => {
  const { last, failures, since } = endpoint.setbacks
  const cause = last ?? endpoint.lastFailure
  return failedWith(
    new PoolError.EndpointUnavailable({
      key: endpoint.label,
      retryAfter: Duration.millis(Math.max(Math.ceil(retryAfter), 1)),
      failures,
      elapsed: Duration.millis(Math.max(now - since, 0)),
      endpoint: countsOf(endpoint),
      isRetryable: cause === undefined || Failure.classify(cause).class !== "Fatal",
      cause
    }),
    pool
  )
}

export const poolClosed = (label: string, pool: Named): PoolError.PoolError =>
  failedWith(new PoolError.PoolClosed({ key: label }), pool)

export const connectFailed = <K, A>({ label }: PoolEndpoint<K, A>, cause: unknown, pool: Named): PoolError.PoolError =>
  failedWith(new PoolError.ConnectFailed({ key: label, cause }), pool)

export const poolSuspended = <K, A>({ label }: PoolEndpoint<K, A>, pool: Named): PoolError.PoolError =>
  failedWith(new PoolError.PoolSuspended({ key: label }), pool)

export const nestedAcquire = <K, A>(
  endpoint: PoolEndpoint<K, A>,
  held: HeldSlots,
  settings: Settings
): PoolError.PoolError =>
  failedWith(
    new PoolError.NestedAcquire({
      key: endpoint.label,
      heldOfEndpoint: held.ofEndpoint,
      heldOfPool: held.ofPool,
      maxPerEndpoint: settings.maxPerEndpoint,
      maxTotal: settings.maxTotal
    }),
    settings
  )

/** Without `maxLease`, an operator has ended the lease. */
export const leaseExpired = <K, A>(lease: Lease<K, A>, settings: Settings, maxLease?: number): PoolError.PoolError =>
  failedWith(
    new PoolError.LeaseExpired({
      key: lease.owner.label,
      maxLease: maxLease === undefined ? undefined : Duration.millis(maxLease),
      span: spanOf(lease),
      site: lease.site?.text
    }),
    settings
  )

/** The error of a borrow that may not wait, if so. */
export const refusal = <K, A>(
  endpoint: PoolEndpoint<K, A>,
  status: Status,
  mostWaiting: number,
  settings: Settings
): PoolError.PoolError | undefined => {
  if (status === "Draining" || status === "Closed") return poolClosed(endpoint.label, settings)
  if (status === "Refusing") return poolSuspended(endpoint, settings)
  return endpoint.queue.size >= mostWaiting ? queueFull(endpoint, settings) : undefined
}

const borrowerOf = <K, A>(lease: Lease<K, A>): string =>
  [spanOf(lease), lease.site?.text].filter((part) => part !== undefined).join(" ") || "a borrower without a span"

/** A report to the monitor: a lease that is held for too long or is lost, or the return of a lease that was reported. */
export const leakOf = <K, A>(
  lease: Lease<K, A>,
  what: "Held" | "Returned" | "Lost",
  millis: number,
  pool: string | undefined
): LeakFacts => ({
  _tag: what,
  kind: "Lease",
  pool,
  label: lease.owner.label,
  site: lease.site?.text,
  span: spanOf(lease),
  age: Duration.millis(millis)
})

/**
 * Warns of a nested borrow that may wait for itself, once for each place in the program. All borrows of unknown places share one.
 */
export const nestedOnce = (fork: (effect: Effect.Effect<void>) => unknown, title: string) => {
  const warned = new Set<string | undefined>()
  return <K, A>(lease: Lease<K, A>): void => {
    const place = lease.site?.text ?? spanOf(lease)
    if (warned.has(place)) return
    warned.add(place)
    fork(Effect.logWarning(
      `${title}: ${
        borrowerOf(lease)
      } holds a connection and waits for another, to ${lease.owner.label}. If all borrowers ` +
        "do that, all of them wait until their deadlines. Pass the connection on instead of borrowing again, or raise the caps"
    ))
  }
}

type Counted = "connections" | "descriptors"

/** The title and the cap of a pool, for a warning. */
export interface NamedPool {
  /** How a log line names the pool. Called only if there is a warning. */
  readonly title: () => string
  readonly maxTotal: number
}

/** A text with the amount of a resource that the gate admits, if that is below the cap of the pool. */
const shortfall = (maxTotal: number, resource: Counted, usage: Usage, headroom: number): ReadonlyArray<string> => {
  const { limit } = usage[resource]
  if (limit._tag !== "Known" || limit.value - headroom >= maxTotal) return []
  const origin = headroom === 0
    ? `from ${limit.source}`
    : `${limit.value} from ${limit.source}, less headroom ${headroom}`
  return [`${Math.max(limit.value - headroom, 0)} ${resource} (${origin})`]
}

/** The warning for a pool whose cap is above what the gate admits, or `undefined`. */
const warningOf = ({ maxTotal, title }: NamedPool, usage: Usage, headroom: number): string | undefined => {
  const limits = [
    ...shortfall(maxTotal, "connections", usage, 0),
    ...shortfall(maxTotal, "descriptors", usage, headroom)
  ]
  return limits.length === 0
    ? undefined
    : `${title()}: maxTotal is ${maxTotal}, but ResourceMonitor admits at most ${limits.join(" and ")}: ` +
      "the pool cannot open as many connections as it may"
}

/** The number of descriptors that the gate keeps free. The refusal of a request that is larger than the limit has this number. */
const headroomOf = ({ reserve }: ResourceMonitor["Service"], { descriptors }: Usage): number => {
  if (descriptors.limit._tag !== "Known") return 0
  const refusal = reserve.unsafe?.obstacle?.({ label: "a pool", descriptors: descriptors.limit.value + 1 })
  return refusal?.resource === "descriptors" ? refusal.headroom : 0
}

/** Logs a warning if the gate admits fewer connections than the pool may open. */
export const warnAbove = (pool: NamedPool, monitor: ResourceMonitor["Service"]): Effect.Effect<void> =>
  Effect.flatMap(monitor.usage, (usage) => {
    const warning = warningOf(pool, usage, headroomOf(monitor, usage))
    return warning === undefined ? Effect.void : Effect.logWarning(warning)
  })
