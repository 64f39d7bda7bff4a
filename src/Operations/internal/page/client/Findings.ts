/**
 * What needs attention in a snapshot, the worst first. It decides only; `Banner` shows it.
 */
import type { Snapshot } from "../../../Snapshot.ts"
import { duration, figure, plural, shortSite } from "./Format.ts"

export type Pool = Snapshot["pools"][number]
export type Endpoint = Pool["endpoints"][number]
export type Monitor = NonNullable<Snapshot["monitor"]>
export type Resource = Monitor["resources"][number]

/** `down` is loud and announced at once. `warning` limits the program. `note` was wanted by an operator. */
export type Severity = "down" | "warning" | "note"

export interface Finding {
  readonly key: string
  readonly severity: Severity
  /** How many endpoints it stands for, if it is more than one. */
  readonly endpoints?: number
  readonly title: string
  /** When it began, in milliseconds since 1970. */
  readonly since?: number | undefined
  readonly facts: ReadonlyArray<string>
  /** The error of the other side, or the longest holder. */
  readonly detail?: string | undefined
  /** The pool to which the finding leads. */
  readonly pool?: string | undefined
}

const waits = ({ oldestWait }: { readonly oldestWait?: number }, waiting: number): Array<string> =>
  waiting === 0
    ? []
    : [
      `${plural(waiting, "borrower waits", "borrowers wait")}${
        oldestWait === undefined ? "" : `, the longest ${duration(oldestWait)}`
      }`
    ]

const nextDial = ({ nextDialIn }: Endpoint): Array<string> =>
  nextDialIn === undefined ? [] : [`next attempt in ${duration(nextDialIn)}`]

/** The words of the log for the state of an endpoint. A program with an older library says nothing of its kind. */
const stateOf = ({ health, outage }: Endpoint): string =>
  health !== "Unavailable" ? "is degraded" : outage === "NotServing" ? "serves no borrower" : "is down"

/** Attempts that failed since the endpoint was healthy, or in all if that is not known. */
export const attemptsText = ({ attemptsOfOutage, failedAttempts }: Endpoint): Array<string> => {
  const attempts = attemptsOfOutage ?? failedAttempts
  return attempts === 0
    ? []
    : [`${plural(attempts, "failed attempt")}${attemptsOfOutage === undefined ? " in all" : ""}`]
}

const ofEndpoint = (pool: Pool, endpoint: Endpoint): Finding => ({
  key: `endpoint ${pool.name} ${endpoint.label}`,
  severity: endpoint.health === "Unavailable" ? "down" : "warning",
  title: `${endpoint.label} ${stateOf(endpoint)}`,
  since: endpoint.impairedSince,
  facts: [
    ...waits(endpoint, endpoint.counts.waiting),
    ...attemptsText(endpoint),
    ...nextDial(endpoint)
  ],
  detail: endpoint.lastFailure === undefined
    ? undefined
    : `${endpoint.lastFailure.type}: ${endpoint.lastFailure.message}`,
  pool: pool.name
})

/** Endpoints of one pool that are listed one by one. A pool may have thousands, and all may be down. */
const listed = 3

const ofHealth = (pool: Pool, health: "Unavailable" | "Degraded"): Array<Finding> => {
  const impaired = pool.endpoints.filter((endpoint) => endpoint.health === health)
  const findings = impaired.slice(0, listed).map((endpoint) => ofEndpoint(pool, endpoint))
  const further = pool.endpointsByHealth[health] - findings.length
  if (further <= 0) return findings
  const severity = health === "Unavailable" ? "down" : "warning"
  const title = severity === "down"
    ? plural(further, "further endpoint has an outage", "further endpoints have outages")
    : plural(further, "further endpoint is degraded", "further endpoints are degraded")
  return [...findings, {
    key: `further ${health} ${pool.name}`,
    severity,
    endpoints: further,
    title,
    facts: [],
    pool: pool.name
  }]
}

const longestHolder = ({ holders: [holder] }: Pool): string | undefined =>
  holder === undefined || holder.isStanding
    ? undefined
    : `longest holder: ${holder.span ?? shortSite(holder.site ?? "unknown")}, ${duration(holder.age)}`

/** A pool whose borrowers wait for each other. While an endpoint is down they wait for the endpoint, which is said already. */
const isFull = ({ counts, endpoints, endpointsByHealth, maxPerEndpoint, maxTotal }: Pool): boolean =>
  counts.waiting > 0 && endpointsByHealth.Unavailable === 0 &&
  (counts.active >= maxTotal || endpoints.some((one) => one.counts.waiting > 0 && one.counts.active >= maxPerEndpoint))

const ofPool = (pool: Pool): Array<Finding> => {
  const findings = [...ofHealth(pool, "Unavailable"), ...ofHealth(pool, "Degraded")]
  const { counts, isRequired, maxTotal, name, status } = pool
  if (isFull(pool)) {
    findings.push({
      key: `full ${name}`,
      severity: "warning",
      title: "All connections are in use",
      facts: [`${counts.active} of ${maxTotal} active`, ...waits(pool, counts.waiting)],
      detail: longestHolder(pool),
      pool: name
    })
  }
  if (status !== "Open") {
    findings.push({
      key: `${status} ${name}`,
      severity: status === "Suspended" && counts.waiting > 0 ? "warning" : "note",
      title: status === "Suspended" ? "The pool is suspended" : "The pool is draining",
      facts: [
        ...status === "Suspended" ? waits(pool, counts.waiting) : [`${plural(counts.active, "lease")} left`],
        ...isRequired ? ["the program is not ready for that"] : []
      ],
      pool: name
    })
  }
  return findings
}

const levelText = ({ limit, resource, unit, used }: Resource): string =>
  `${resource}: ${used === undefined ? "unknown" : figure(used, unit)}${
    limit === undefined ? "" : ` of ${figure(limit, unit)}`
  }`

const ofMonitor = ({ alerts, gate, level, resources }: Monitor): Array<Finding> =>
  level === "Normal"
    ? []
    : [{
      key: `level ${level}`,
      severity: level === "Exhausted" ? "down" : "warning",
      title: level === "Exhausted" ? "The process has no room for new connections" : `The process is at level ${level}`,
      since: alerts.filter((alert) => alert.level === level).reduce<number | undefined>(
        (latest, { at }) => latest === undefined || at > latest ? at : latest,
        undefined
      ),
      facts: [
        ...resources.filter((one) => one.level === level).map(levelText),
        ...gate.waiting === 0 ? [] : [`${plural(gate.waiting, "dial waits", "dials wait")} for room`]
      ]
    }]

const rank = { down: 0, warning: 1, note: 2 }

/** How much is meant by findings of a severity. */
export const countOf = (findings: ReadonlyArray<Finding>, wanted: Severity): number =>
  findings.reduce((sum, { endpoints = 1, severity }) => severity === wanted ? sum + endpoints : sum, 0)

/** What no other finding says: borrowers run out of time although nothing is down, or a pool is missing. */
const notReady: Finding = { key: "not ready", severity: "warning", title: "The program is not ready", facts: [] }

/** The findings of a snapshot, the worst first and in the order of the pools. */
export const findingsOf = (snapshot: Snapshot): Array<Finding> => {
  const findings = shownOf(snapshot)
  return findings.length === 0 && !snapshot.readiness.isReady ? [notReady] : findings
}

const shownOf = ({ isRetiring, monitor, pools }: Snapshot): Array<Finding> =>
  [
    ...monitor === undefined ? [] : ofMonitor(monitor),
    ...pools.flatMap(ofPool),
    ...isRetiring
      ? [{
        key: "retiring",
        severity: "note" as const,
        title: "The program is retiring",
        facts: ["it gets no new requests"]
      }]
      : []
  ].toSorted((a, b) => rank[a.severity] - rank[b.severity])
