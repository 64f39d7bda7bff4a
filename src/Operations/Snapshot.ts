/**
 * What an operator sees of a program, as one value: the pools, the monitor, who holds what, and what has failed. Its encoded form is the
 * JSON of `/pools.json`.
 *
 * Times are numbers of milliseconds. Texts have no secrets and no control characters, and are at most 1000 characters long.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

const counter = Schema.Finite
const level = Schema.Literals(["Normal", "Warning", "Critical", "Exhausted"])
const health = Schema.Literals(["Healthy", "Degraded", "Unavailable"])

/** Counts of one endpoint or one pool. */
export const Counts = Schema.Struct({
  total: counter,
  active: counter,
  idle: counter,
  connecting: counter,
  closing: counter,
  leftBehind: counter,
  waiting: counter
})

/** A failure of an endpoint. */
export const Failure = Schema.Struct({
  /** When, in milliseconds since 1970. */
  at: Schema.Finite,
  endpoint: Schema.String,
  /** The code (`ECONNREFUSED`), the SQLSTATE or the tag of the error. */
  type: Schema.String,
  message: Schema.String,
  /** How many failures of this type the endpoint had. `at` and `message` are those of the last one. */
  count: counter
})

/** An endpoint of a pool. */
export const Endpoint = Schema.Struct({
  label: Schema.String,
  health,
  counts: Counts,
  /** Since the endpoint is known. */
  failedAttempts: counter,
  timeouts: counter,
  /** Attempts to connect that have failed since it was `Healthy`. Absent while it is. */
  attemptsOfOutage: Schema.optionalKey(counter),
  /**
   * What it means that it is `Unavailable`. `NotServing`: it accepts connections, but all are in use and none comes back, or it refuses
   * every request.
   */
  outage: Schema.optionalKey(Schema.Literals(["Down", "NotServing"])),
  /** Since when it has not been `Healthy`, in milliseconds since 1970. */
  impairedSince: Schema.optionalKey(Schema.Finite),
  lastFailure: Schema.optionalKey(Failure),
  nextDialIn: Schema.optionalKey(Schema.Finite),
  oldestWait: Schema.optionalKey(Schema.Finite)
})

/** A borrower that holds a connection. */
export const Holder = Schema.Struct({
  /** Identifies the lease in its pool. */
  id: Schema.Finite,
  endpoint: Schema.String,
  /** The route or the span: `GET /report`. */
  span: Schema.optionalKey(Schema.String),
  attributes: Schema.Record(Schema.String, Schema.String),
  /** `function (file:line:column)`. */
  site: Schema.optionalKey(Schema.String),
  /** How long it has been held. */
  age: Schema.Finite,
  isStanding: Schema.Boolean
})

/** A pool. At most 20 endpoints (those that need attention first), 20 holders (the oldest first) and 10 failures (the last first). */
export const Pool = Schema.Struct({
  name: Schema.String,
  status: Schema.Literals(["Open", "Suspended", "Draining"]),
  /** Whether it counts for readiness. */
  isRequired: Schema.Boolean,
  /** The worst health of its endpoints. */
  health,
  maxTotal: counter,
  maxPerEndpoint: counter,
  counts: Counts,
  endpointsByHealth: Schema.Struct({ Healthy: counter, Degraded: counter, Unavailable: counter }),
  endpoints: Schema.Array(Endpoint),
  holders: Schema.Array(Holder),
  failures: Schema.Array(Failure),
  oldestWait: Schema.optionalKey(Schema.Finite),
  oldestLease: Schema.optionalKey(Schema.Finite),
  /** What has happened since the pool was made: the fields of `ConnectionPool.stats` that only grow. */
  totals: Schema.Record(Schema.String, counter),
  /** Closed connections by reason. The sum is `totals.closed`. */
  closedBy: Schema.Record(Schema.String, counter),
  /** Refused borrows by the tag of their error. */
  refusals: Schema.Record(Schema.String, counter)
})

/** A resource of the process. `used` and `limit` are absent if they are unknown; `limit` is absent if there is none. */
export const Resource = Schema.Struct({
  resource: Schema.Literals(["descriptors", "connections", "memory"]),
  unit: Schema.Literals(["count", "bytes"]),
  used: Schema.optionalKey(Schema.Finite),
  reserved: Schema.Finite,
  limit: Schema.optionalKey(Schema.Finite),
  level,
  /** Why `used` or `limit` is unknown, or that there is no limit. */
  note: Schema.optionalKey(Schema.String)
})

/** Leases that are or were held for too long, or were lost, by the place that borrowed. */
export const Leak = Schema.Struct({
  pool: Schema.optionalKey(Schema.String),
  label: Schema.String,
  site: Schema.optionalKey(Schema.String),
  span: Schema.optionalKey(Schema.String),
  verdict: Schema.Literals(["held", "lost", "left_open"]),
  count: counter,
  lastAt: Schema.Finite,
  longest: Schema.Finite
})

/** The monitor of the program. */
export const Monitor = Schema.Struct({
  level,
  resources: Schema.Array(Resource),
  gate: Schema.Struct({ waiting: counter, refusals: Schema.Record(Schema.String, counter) }),
  eventLoop: Schema.Struct({
    /** The delay of the last second; absent if unknown. */
    lag: Schema.optionalKey(Schema.Finite),
    /** How often the loop stood still for longer than a second. */
    stalls: counter,
    longestStall: Schema.Finite
  }),
  zombies: Schema.optionalKey(counter),
  /** The places that have most connections open, the first one most. */
  sites: Schema.Array(Schema.Struct({ site: Schema.String, open: counter })),
  leaks: Schema.Array(Leak),
  alerts: Schema.Array(Schema.Struct({ at: Schema.Finite, level, message: Schema.String }))
})

/** Why a program is not ready. */
export const NotReady = Schema.Struct({
  reason: Schema.Literals([
    "Starting",
    "Retiring",
    "Exhausted",
    "PoolMissing",
    "PoolDown",
    "PoolStalled",
    "PoolSuspended",
    "PoolClosed"
  ]),
  pool: Schema.optionalKey(Schema.String),
  endpoint: Schema.optionalKey(Schema.String),
  message: Schema.String
})

/**
 * Whether requests should be sent to the program.
 *
 * @stability experimental
 */
export const Readiness = Schema.Struct({ isReady: Schema.Boolean, reasons: Schema.Array(NotReady) })
export type Readiness = typeof Readiness.Type

/** Figures of the last minutes. Each list is as long as `length`, the oldest first. A figure that was unknown is `null`. */
export const History = Schema.Struct({
  /** The time between two figures. */
  interval: Schema.Finite,
  length: Schema.Finite,
  pools: Schema.Record(
    Schema.String,
    Schema.Struct({ active: Schema.Array(Schema.Finite), waiting: Schema.Array(Schema.Finite) })
  ),
  resources: Schema.Record(Schema.String, Schema.Array(Schema.NullOr(Schema.Finite)))
})

/**
 * The whole snapshot.
 *
 * @category models
 * @since 0.1.0
 * @stability experimental
 */
export const Snapshot = Schema.Struct({
  /** Of this format. A later version may add fields without a new number. */
  version: Schema.Literal(1),
  /** When it was taken, in milliseconds since 1970. */
  at: Schema.Finite,
  process: Schema.Struct({ pid: Schema.Finite, uptime: Schema.Finite, library: Schema.String, runtime: Schema.String }),
  isRetiring: Schema.Boolean,
  readiness: Readiness,
  monitor: Schema.optionalKey(Monitor),
  pools: Schema.Array(Pool),
  history: History
})
export type Snapshot = typeof Snapshot.Type
