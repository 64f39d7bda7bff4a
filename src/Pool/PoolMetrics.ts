/**
 * The metrics of a pool. OpenTelemetry's names come first.
 *
 * @since 0.1.0
 */
import type { MetricDefinition } from "../internal/MetricSeries.ts"

/** The attribute that tells the pools of a program apart. */
export const poolName = "db.client.connection.pool.name"

/** The other attributes. */
export const attribute = {
  state: "db.client.connection.state",
  reason: "sluice.reason",
  verdict: "sluice.verdict",
  operation: "sluice.pool.operation",
  error: "error.type",
  health: "sluice.endpoint.health",
  address: "server.address",
  port: "server.port",
  endpoint: "sluice.endpoint"
} as const

const metric = (
  kind: MetricDefinition["kind"],
  id: string,
  unit: string,
  description: string,
  ...attributes: ReadonlyArray<string>
): MetricDefinition => ({ id, kind, unit, description, attributes: [poolName, ...attributes] })

const connections = "{connection}"
const endpointAttributes = [attribute.address, attribute.port, attribute.endpoint]

/** The metrics of a pool. */
export const poolMetrics = {
  count: metric("gauge", "db.client.connection.count", connections, "Connections in this state", attribute.state),
  idleMax: metric("gauge", "db.client.connection.idle.max", connections, "Most idle connections"),
  idleMin: metric("gauge", "db.client.connection.idle.min", connections, "Idle connections kept for each endpoint"),
  max: metric("gauge", "db.client.connection.max", connections, "Most connections"),
  pending: metric("gauge", "db.client.connection.pending_requests", "{request}", "Borrowers that wait"),
  timeouts: metric("counter", "db.client.connection.timeouts", "{timeout}", "Borrows that ran out of time"),
  createTime: metric("histogram", "db.client.connection.create_time", "s", "Time to open a connection"),
  waitTime: metric("histogram", "db.client.connection.wait_time", "s", "Time that a borrower waited"),
  useTime: metric("histogram", "db.client.connection.use_time", "s", "Time that a connection was leased"),
  connecting: metric("gauge", "sluice.pool.connecting", connections, "Connections that are being opened"),
  closing: metric("gauge", "sluice.pool.closing", connections, "Connections that are being closed"),
  oldestWait: metric("gauge", "sluice.pool.wait.oldest", "s", "Longest present wait of a borrower"),
  oldestLease: metric("gauge", "sluice.pool.lease.oldest", "s", "Longest present lease, without standing leases"),
  opened: metric("counter", "sluice.pool.connections.opened", connections, "Connections that were opened"),
  closed: metric(
    "counter",
    "sluice.pool.connections.closed",
    connections,
    "Connections that were closed, by the reason",
    attribute.reason
  ),
  failures: metric(
    "counter",
    "sluice.pool.connect.failures",
    "{attempt}",
    "Attempts to open a connection that failed, by the code or tag of the error",
    attribute.error
  ),
  leases: metric("counter", "sluice.pool.leases", "{lease}", "Leases of connections"),
  leaked: metric(
    "counter",
    "sluice.pool.leases.leaked",
    "{lease}",
    "Leases that were held too long, lost, or ended by maxLease",
    attribute.verdict
  ),
  refusals: metric(
    "counter",
    "sluice.pool.refusals",
    "{request}",
    "Borrows that have failed without a connection, by the tag of the error",
    attribute.reason
  ),
  leftBehind: metric(
    "counter",
    "sluice.pool.left_behind",
    "{operation}",
    "Connects and closes that did not end when they were given up",
    attribute.operation
  ),
  endpoints: metric("gauge", "sluice.pool.endpoints", "{endpoint}", "Endpoints with this health", attribute.health),
  endpointUp: metric(
    "gauge",
    "sluice.pool.endpoint.up",
    "{endpoint}",
    "0 from unavailable until healthy again, otherwise 1, for the endpoints that need attention most",
    ...endpointAttributes
  ),
  endpointUsed: metric(
    "gauge",
    "sluice.pool.endpoint.used",
    connections,
    "Leased connections, for the endpoints that need attention most",
    ...endpointAttributes
  ),
  endpointWaiting: metric(
    "gauge",
    "sluice.pool.endpoint.waiting",
    "{request}",
    "Borrowers that wait, for the endpoints that need attention most",
    ...endpointAttributes
  )
} as const
