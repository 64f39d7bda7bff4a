/**
 * The rows and panels of the Grafana dashboard. Names are those of `/metrics`, which are also those that a collector makes of OTLP.
 */

/** A line or a number of a panel. */
export interface Target {
  readonly expr: string
  readonly legend: string
}

/** A panel. `unit` is one of Grafana's. */
export interface Panel {
  readonly title: string
  readonly description: string
  readonly type: "stat" | "timeseries" | "state-timeline"
  readonly unit: string
  /** Of 24 columns. */
  readonly width: number
  readonly targets: ReadonlyArray<Target>
  readonly isStacked?: boolean
  readonly max?: number
  /** From which value on it is orange, and red. */
  readonly thresholds?: { readonly orange?: number; readonly red?: number }
  /** Texts in the place of numbers. */
  readonly texts?: ReadonlyArray<{ readonly value: number; readonly text: string; readonly color: string }>
}

export interface Row {
  readonly title: string
  readonly panels: ReadonlyArray<Panel>
}

const pool = "db_client_connection_pool_name"
const ofProcess = `job=~"$job",instance=~"$instance"`
const ofPool = `${ofProcess},${pool}=~"$pool"`
const legend = `{{${pool}}}`

const line = (expr: string, legend: string): Target => ({ expr, legend })

const rate = (counter: string, filter: string): string => `rate(${counter}{${filter}}[$__rate_interval])`

/** A quantile over all instances, for each pool. */
const quantile = (share: number, histogram: string): Target =>
  line(
    `histogram_quantile(${share}, sum by (${pool}, le) (${rate(`${histogram}_bucket`, ofPool)}))`,
    `${legend} p${share * 100}`
  )

const isDown: Row = {
  title: "Is it down?",
  panels: [
    {
      title: "Endpoints down",
      description: "Endpoints that are unavailable, of all pools and instances shown.",
      type: "stat",
      unit: "short",
      width: 4,
      thresholds: { red: 1 },
      targets: [line(`sum(sluice_pool_endpoints{${ofPool},sluice_endpoint_health="Unavailable"})`, "down")]
    },
    {
      title: "Endpoints by health",
      description:
        "Unavailable: it is down, and borrowers wait for it or the next attempt is not due. Degraded: it has failed since its last success.",
      type: "timeseries",
      unit: "short",
      width: 8,
      isStacked: true,
      targets: [
        line(
          `sum by (sluice_endpoint_health) (sluice_pool_endpoints{${ofPool}})`,
          "{{sluice_endpoint_health}}"
        )
      ]
    },
    {
      title: "Worst endpoints",
      description: "At most 20 endpoints of a pool have a series: those that need attention most.",
      type: "state-timeline",
      unit: "short",
      width: 12,
      texts: [{ value: 0, text: "down", color: "red" }, { value: 1, text: "up", color: "green" }],
      targets: [
        line(
          `min by (${pool}, server_address, server_port, sluice_endpoint) (sluice_pool_endpoint_up{${ofPool}})`,
          `${legend} {{server_address}} {{server_port}} {{sluice_endpoint}}`
        )
      ]
    },
    {
      title: "Failed attempts to connect",
      description: "By the code or the tag of the error.",
      type: "timeseries",
      unit: "cps",
      width: 8,
      targets: [
        line(
          `sum by (${pool}, error_type) (${rate("sluice_pool_connect_failures_total", ofPool)})`,
          `${legend} {{error_type}}`
        )
      ]
    },
    {
      title: "Refused borrows",
      description: "Borrows that failed without a connection, by the reason of their error.",
      type: "timeseries",
      unit: "cps",
      width: 8,
      targets: [
        line(
          `sum by (${pool}, sluice_reason) (${rate("sluice_pool_refusals_total", ofPool)})`,
          `${legend} {{sluice_reason}}`
        )
      ]
    },
    {
      title: "Open circuits",
      description: "Of the breakers in the retry policies of pools: how many circuits are open or half open.",
      type: "timeseries",
      unit: "short",
      width: 8,
      targets: [line(`sum by (sluice_breaker) (sluice_breaker_open{${ofProcess}})`, "{{sluice_breaker}}")]
    }
  ]
}

const isFull: Row = {
  title: "Is it full?",
  panels: [
    {
      title: "Use of the caps",
      description: "Leased connections as a share of maxTotal. 100 % is no problem as long as no borrower waits.",
      type: "timeseries",
      unit: "percentunit",
      width: 8,
      max: 1,
      thresholds: { orange: 0.9 },
      targets: [
        line(
          `sum by (${pool}) (db_client_connection_count{${ofPool},db_client_connection_state="used"})`
            + ` / sum by (${pool}) (db_client_connection_max{${ofPool}})`,
          legend
        )
      ]
    },
    {
      title: "Connections",
      description: "Of all pools shown, against their caps.",
      type: "timeseries",
      unit: "short",
      width: 8,
      targets: [
        line(
          `sum by (db_client_connection_state) (db_client_connection_count{${ofPool}})`,
          "{{db_client_connection_state}}"
        ),
        line(`sum(sluice_pool_connecting{${ofPool}})`, "connecting"),
        line(`sum(sluice_pool_closing{${ofPool}})`, "closing"),
        line(`sum(db_client_connection_max{${ofPool}})`, "maxTotal")
      ]
    },
    {
      title: "Waiting borrowers",
      description: "Borrowers that wait for a connection at this moment.",
      type: "timeseries",
      unit: "short",
      width: 8,
      targets: [line(`sum by (${pool}) (db_client_connection_pending_requests{${ofPool}})`, legend)]
    },
    {
      title: "Timeouts",
      description: "Borrows that ran out of time, per second.",
      type: "timeseries",
      unit: "cps",
      width: 12,
      targets: [
        line(`sum by (${pool}) (${rate("db_client_connection_timeouts_total", ofPool)})`, legend)
      ]
    },
    {
      title: "Gate of the monitor",
      description: "Dials that wait for descriptors, connections or memory, and those that were refused per second.",
      type: "timeseries",
      unit: "short",
      width: 12,
      targets: [
        line(`sum(sluice_gate_waiting{${ofProcess}})`, "waiting"),
        line(
          `sum by (sluice_resource) (${rate("sluice_gate_refusals_total", ofProcess)})`,
          "refused: {{sluice_resource}}"
        )
      ]
    }
  ]
}

const isSlow: Row = {
  title: "Is it slow?",
  panels: [
    {
      title: "Time to get a connection",
      description: "From the borrow to the lease. Compare the p99 with acquireTimeout.",
      type: "timeseries",
      unit: "s",
      width: 8,
      targets: [
        quantile(0.5, "db_client_connection_wait_time_seconds"),
        quantile(0.99, "db_client_connection_wait_time_seconds")
      ]
    },
    {
      title: "Time a connection is held",
      description: "From the lease to the return.",
      type: "timeseries",
      unit: "s",
      width: 8,
      targets: [
        quantile(0.5, "db_client_connection_use_time_seconds"),
        quantile(0.99, "db_client_connection_use_time_seconds")
      ]
    },
    {
      title: "Time to open a connection",
      description: "From the decision to dial until the connection is open.",
      type: "timeseries",
      unit: "s",
      width: 8,
      targets: [
        quantile(0.5, "db_client_connection_create_time_seconds"),
        quantile(0.99, "db_client_connection_create_time_seconds")
      ]
    },
    {
      title: "Oldest wait",
      description: "The borrower that has waited longest at this moment.",
      type: "timeseries",
      unit: "s",
      width: 12,
      targets: [line(`max by (${pool}) (sluice_pool_wait_oldest_seconds{${ofPool}})`, legend)]
    },
    {
      title: "Time at the gate",
      description: "How long dials wait until the monitor admits them.",
      type: "timeseries",
      unit: "s",
      width: 12,
      targets: [
        line(
          `histogram_quantile(0.99, sum by (le) (${rate("sluice_gate_wait_seconds_bucket", ofProcess)}))`,
          "p99"
        )
      ]
    }
  ]
}

const isLeaking: Row = {
  title: "Is it leaking?",
  panels: [
    {
      title: "Oldest lease",
      description: "The lease that is held longest at this moment, without standing leases.",
      type: "timeseries",
      unit: "s",
      width: 8,
      targets: [line(`max by (${pool}) (sluice_pool_lease_oldest_seconds{${ofPool}})`, legend)]
    },
    {
      title: "Leaks",
      description: "Leases held for too long, lost, or ended by maxLease.",
      type: "timeseries",
      unit: "short",
      width: 8,
      targets: [
        line(
          `sum by (${pool}, sluice_verdict) (increase(sluice_pool_leases_leaked_total{${ofPool}}[$__rate_interval]))`,
          `${legend} {{sluice_verdict}}`
        )
      ]
    },
    {
      title: "Opened and closed connections",
      description: "Per second, the closed ones by reason. Many opened connections for few leases are expensive.",
      type: "timeseries",
      unit: "cps",
      width: 8,
      targets: [
        line(`sum(${rate("sluice_pool_connections_opened_total", ofPool)})`, "opened"),
        line(
          `sum by (sluice_reason) (${rate("sluice_pool_connections_closed_total", ofPool)})`,
          "closed: {{sluice_reason}}"
        ),
        line(`sum(${rate("sluice_pool_leases_total", ofPool)})`, "leases")
      ]
    }
  ]
}

const theProcess: Row = {
  title: "The process",
  panels: [
    {
      title: "Level",
      description: "Of the monitor. From Critical on, retries are refused; at Exhausted no connection is opened.",
      type: "state-timeline",
      unit: "short",
      width: 8,
      texts: [
        { value: 0, text: "Normal", color: "green" },
        { value: 1, text: "Warning", color: "yellow" },
        { value: 2, text: "Critical", color: "orange" },
        { value: 3, text: "Exhausted", color: "red" }
      ],
      targets: [line(`max by (instance) (sluice_monitor_level{${ofProcess}})`, "{{instance}}")]
    },
    {
      title: "Use of the limits",
      description:
        "Descriptors, connections and memory as shares of their limits. A resource without a limit has no line.",
      type: "timeseries",
      unit: "percentunit",
      width: 8,
      max: 1,
      thresholds: { orange: 0.7, red: 0.9 },
      targets: [
        line(
          `max by (instance, sluice_resource) (sluice_monitor_used{${ofProcess}} / sluice_monitor_limit{${ofProcess}})`,
          "{{instance}} {{sluice_resource}}"
        )
      ]
    },
    {
      title: "Memory",
      description: "Resident memory and the used heap of V8.",
      type: "timeseries",
      unit: "bytes",
      width: 8,
      targets: [
        line(`max by (instance) (process_memory_usage_bytes{${ofProcess}})`, "{{instance}} resident"),
        line(`sum by (instance) (v8js_memory_heap_used_bytes{${ofProcess}})`, "{{instance}} heap")
      ]
    },
    {
      title: "Event loop",
      description: "The delay of the last second. Every timeout is late by it.",
      type: "timeseries",
      unit: "s",
      width: 8,
      targets: [line(`max by (instance) (sluice_monitor_eventloop_lag_seconds{${ofProcess}})`, "{{instance}}")]
    },
    {
      title: "Pressure and utilization",
      description:
        "The share of time that tasks waited for a resource of the machine, and that the event loop was busy.",
      type: "timeseries",
      unit: "percentunit",
      width: 8,
      targets: [
        line(
          `max by (sluice_resource) (sluice_monitor_pressure_ratio{${ofProcess}})`,
          "pressure: {{sluice_resource}}"
        ),
        line(`max by (instance) (nodejs_eventloop_utilization_ratio{${ofProcess}})`, "{{instance}} event loop")
      ]
    },
    {
      title: "Descriptors, threads, zombies, stalls",
      description:
        "As the kernel counts them. A stall is a time of more than a second in which the event loop did not turn.",
      type: "timeseries",
      unit: "short",
      width: 8,
      targets: [
        line(
          `max by (instance) (process_unix_file_descriptor_count{${ofProcess}})`,
          "{{instance}} descriptors"
        ),
        line(`max by (instance) (process_thread_count{${ofProcess}})`, "{{instance}} threads"),
        line(`max by (instance) (sluice_monitor_zombies{${ofProcess}})`, "{{instance}} zombies"),
        line(
          `sum by (instance) (increase(sluice_monitor_eventloop_stalls_total{${ofProcess}}[$__rate_interval]))`,
          "{{instance}} stalls"
        )
      ]
    }
  ]
}

export const rows: ReadonlyArray<Row> = [isDown, isFull, isSlow, isLeaking, theProcess]

/** The queries of the variables `job`, `instance` and `pool`: a metric of every pool, and the label. */
export const variables: ReadonlyArray<
  { readonly name: string; readonly label: string; readonly selector: string; readonly values: string }
> = [
  { name: "job", label: "Job", selector: "db_client_connection_max", values: "job" },
  { name: "instance", label: "Instance", selector: `db_client_connection_max{job=~"$job"}`, values: "instance" },
  { name: "pool", label: "Pool", selector: `db_client_connection_max{${ofProcess}}`, values: pool }
]
