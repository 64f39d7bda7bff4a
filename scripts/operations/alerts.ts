/**
 * The alerts. No alert may fire for a scrape that failed, a program that restarted, a pool that has ended, or because there is no
 * traffic; test/prometheus/alerts.test.yml has these cases for each of them.
 *
 * A failed scrape ends each series until the next one, so an alert on the present value keeps firing for two minutes. Functions over a
 * range see the last values of a pool that has ended, or of the process before a restart, so that their range is shorter than `for`, or
 * they count events.
 */

export interface Alert {
  readonly name: string
  readonly expr: string
  /** For how long the expression must hold. */
  readonly for: string
  /** For how long it goes on firing when the expression no longer holds. */
  readonly keepFiringFor?: string
  readonly severity: "critical" | "warning"
  readonly summary: string
  readonly description: string
}

const pool = "{{ $labels.db_client_connection_pool_name }}"

/**
 * An endpoint that is down is `Unavailable` while borrowers wait for it or the next attempt is not due, and otherwise `Degraded`. So a
 * single sample does not say whether one is down.
 */
const wasDown = (range: string): string =>
  `max_over_time(sluice_pool_endpoints{sluice_endpoint_health="Unavailable"}[${range}]) > 0`

/** Stands behind an expression about pools, and excludes those with an endpoint that is down: `EndpointDown` reports them. */
const unlessDown = `unless ignoring (sluice_endpoint_health)\n  ${wasDown("2m")}`

const descriptors = (metric: string): string => `${metric}{sluice_resource="descriptors"}`

/** Of the descriptors that may be open, the share that is. */
const shareOfDescriptors = `${descriptors("sluice_monitor_used")} / ${descriptors("sluice_monitor_limit")}`

export const alerts: ReadonlyArray<Alert> = [
  {
    name: "EndpointDown",
    // Without traffic after a short outage, nothing finds out whether the endpoint is back: that is not enough.
    expr: `sum without (sluice_endpoint_health) (
  sluice_pool_endpoints{sluice_endpoint_health=~"Degraded|Unavailable"}
) > 0
and ignoring (sluice_endpoint_health)
  ${wasDown("1m")}`,
    for: "2m",
    keepFiringFor: "2m",
    severity: "critical",
    summary: `${pool}: {{ $value }} endpoint(s) down or failing`,
    description:
      `The pool ${pool} of {{ $labels.job }} at {{ $labels.instance }} has had endpoints for two minutes that it cannot reach.`
  },
  {
    name: "BorrowersTimeOut",
    // Three timeouts at least, and one borrow in a hundred. Without borrows the share is NaN, which is above nothing.
    expr: `increase(db_client_connection_timeouts_total[5m]) >= 3
and
  rate(db_client_connection_timeouts_total[5m])
    / (rate(db_client_connection_timeouts_total[5m]) + rate(sluice_pool_leases_total[5m])) > 0.01`,
    for: "1m",
    severity: "critical",
    summary: `${pool}: borrowers time out`,
    description:
      `In the pool ${pool} of {{ $labels.job }} at {{ $labels.instance }}, {{ $value | humanize }} borrowers ran out of time in 5 minutes: more than one in a hundred.`
  },
  {
    name: "Stalled",
    expr: `db_client_connection_pending_requests > 0
and
  increase(sluice_pool_leases_total[2m]) == 0
${unlessDown}`,
    for: "1m",
    keepFiringFor: "2m",
    severity: "critical",
    summary: `${pool}: borrowers wait, and none gets a connection`,
    description:
      `In the pool ${pool} of {{ $labels.job }} at {{ $labels.instance }}, {{ $value }} borrowers wait. There has been no lease for two minutes, and no endpoint is known to be down.`
  },
  {
    name: "Saturated",
    expr: `avg_over_time(db_client_connection_pending_requests[5m]) >= 1
and
  max_over_time(db_client_connection_pending_requests[2m]) > 0
and
  rate(sluice_pool_leases_total[5m]) > 0
${unlessDown}`,
    for: "10m",
    severity: "warning",
    summary: `${pool}: borrowers wait all the time`,
    description:
      `In the pool ${pool} of {{ $labels.job }} at {{ $labels.instance }}, {{ $value | humanize }} borrowers have waited at a time, on average over 5 minutes, for 10 minutes.`
  },
  {
    name: "Leak",
    expr: `increase(sluice_pool_leases_leaked_total[15m]) > 0`,
    for: "0m",
    severity: "warning",
    summary: `${pool}: leaked leases`,
    description:
      `In the pool ${pool} of {{ $labels.job }} at {{ $labels.instance }}, {{ $value | humanize }} leases were reported in 15 minutes: {{ $labels.sluice_verdict }}.`
  },
  {
    name: "Descriptors",
    expr: `${shareOfDescriptors} > 0.8`,
    for: "5m",
    keepFiringFor: "2m",
    severity: "warning",
    summary: "{{ $labels.instance }}: {{ $value | humanizePercentage }} of the descriptors are open",
    description:
      "{{ $labels.job }} at {{ $labels.instance }} has had more than 80 % of the descriptors open that it may open, for 5 minutes."
  },
  {
    name: "DescriptorsFullSoon",
    // The long window needs a trend. The short one excludes the growth after a start, which ends after some minutes.
    expr: `predict_linear(${descriptors("sluice_monitor_used")}[30m], 3600)
  > ${descriptors("sluice_monitor_limit")}
and
  predict_linear(${descriptors("sluice_monitor_used")}[10m], 3600)
    > ${descriptors("sluice_monitor_limit")}
and
  ${shareOfDescriptors} > 0.4`,
    for: "15m",
    severity: "warning",
    summary: "{{ $labels.instance }}: no descriptors left within an hour",
    description:
      "At the pace of the last 30 minutes, {{ $labels.job }} at {{ $labels.instance }} would have {{ $value | humanize }} descriptors open in an hour, which is above its limit."
  },
  {
    name: "Level",
    // It looks at two minutes, because scrapes fail when a program has no descriptors left.
    expr: `max_over_time(sluice_monitor_level[2m]) >= 2`,
    for: "3m",
    severity: "critical",
    summary: "{{ $labels.instance }}: the monitor is at level {{ $value }}",
    description:
      "The monitor of {{ $labels.job }} at {{ $labels.instance }} has been at Critical (2) or Exhausted (3) for 3 minutes. From Critical on retries are refused; at Exhausted no connection is opened."
  }
]
