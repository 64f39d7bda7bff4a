/** A program's operations server as the command sees it: snapshots and control endpoints. */
import { Effect, type Scope } from "effect"
import * as Http from "node:http"
import type * as Net from "node:net"
import type { Snapshot } from "../../../src/Operations/Snapshot.ts"

type Pool = Snapshot["pools"][number]
type Endpoint = Pool["endpoints"][number]
type Holder = Pool["holders"][number]

const noon = Date.UTC(2026, 10, 23, 12)

export const counts = (given: Partial<Pool["counts"]> = {}): Pool["counts"] => ({
  total: 0,
  active: 0,
  idle: 0,
  connecting: 0,
  closing: 0,
  leftBehind: 0,
  waiting: 0,
  ...given
})

export const endpoint = (label: string, given: Partial<Endpoint> = {}): Endpoint => ({
  label,
  health: "Healthy",
  counts: counts(),
  failedAttempts: 0,
  timeouts: 0,
  ...given
})

export const holder = (id: number, given: Partial<Holder> = {}): Holder => ({
  id,
  endpoint: "db:5432",
  attributes: {},
  age: 1000,
  isStanding: false,
  ...given
})

export const pool = (name: string, given: Partial<Pool> = {}): Pool => ({
  name,
  status: "Open",
  isRequired: false,
  health: "Healthy",
  maxTotal: 10,
  maxPerEndpoint: 10,
  counts: counts(),
  endpointsByHealth: { Healthy: 0, Degraded: 0, Unavailable: 0 },
  endpoints: [],
  holders: [],
  failures: [],
  totals: { timeouts: 0, closed: 0 },
  closedBy: {},
  refusals: {},
  ...given
})

export const snapshot = (given: Partial<Snapshot> = {}): Snapshot => ({
  version: 1,
  at: noon,
  process: { pid: 4242, uptime: 3_600_000, library: "0.1.0", runtime: "node 24.21.0" },
  isRetiring: false,
  readiness: { isReady: true, reasons: [] },
  pools: [],
  history: { interval: 1000, length: 0, pools: {}, resources: {} },
  ...given
})

/** One endpoint is down, a pool is full, and two routes hold connections for long. */
export const outage: Snapshot = snapshot({
  readiness: {
    isReady: false,
    reasons: [{ reason: "PoolDown", pool: "orders", message: "pool orders: db:5432 is down" }]
  },
  monitor: {
    level: "Warning",
    resources: [
      { resource: "descriptors", unit: "count", used: 96, reserved: 2, limit: 128, level: "Warning" },
      { resource: "memory", unit: "bytes", used: 52_000_000, reserved: 0, level: "Normal", note: "no limit" }
    ],
    gate: { waiting: 3, refusals: { descriptors: 4 } },
    eventLoop: { lag: 4, stalls: 1, longestStall: 1800 },
    zombies: 0,
    sites: [],
    leaks: [{
      pool: "orders",
      label: "db:5432",
      site: "report (file:///srv/app/src/routes/Report.ts:41:18)",
      verdict: "held",
      count: 3,
      lastAt: noon - 20_000,
      longest: 95_000
    }],
    alerts: [{ at: noon - 60_000, level: "Warning", message: "descriptors: Normal -> Warning" }]
  },
  pools: [
    pool("mail", {
      counts: counts({ total: 3, active: 1, idle: 2 }),
      endpoints: [endpoint("mail:25", { counts: counts({ total: 3, active: 1, idle: 2 }) })],
      endpointsByHealth: { Healthy: 1, Degraded: 0, Unavailable: 0 },
      holders: [holder(9, { endpoint: "mail:25", span: "outbox", age: 120 })]
    }),
    pool("orders", {
      isRequired: true,
      health: "Unavailable",
      counts: counts({ total: 10, active: 7, connecting: 1, closing: 2, waiting: 12 }),
      endpointsByHealth: { Healthy: 1, Degraded: 0, Unavailable: 1 },
      oldestWait: 8100,
      totals: { timeouts: 17 },
      endpoints: [
        endpoint("replica:5432", { counts: counts({ total: 5, active: 5 }) }),
        endpoint("db:5432", {
          health: "Unavailable",
          counts: counts({ total: 5, active: 2, connecting: 1, closing: 2, waiting: 12 }),
          failedAttempts: 9,
          timeouts: 17,
          impairedSince: noon - 12_000,
          nextDialIn: 300,
          oldestWait: 8100,
          lastFailure: {
            at: noon - 700,
            endpoint: "db:5432",
            type: "ECONNREFUSED",
            message: "connect ECONNREFUSED 10.0.0.5:5432",
            count: 9
          }
        })
      ],
      holders: [
        holder(1, {
          span: "GET /report",
          attributes: { "http.request.method": "GET", user: "7" },
          age: 95_000,
          site: "report (file:///srv/app/src/routes/Report.ts:41:18)"
        }),
        holder(2, { span: "listen", age: 3_600_000, isStanding: true }),
        holder(3, {
          span: "POST /orders",
          age: 2400,
          site: "place (file:///srv/app/src/routes/Orders.ts:12:7)",
          endpoint: "replica:5432"
        })
      ],
      failures: [{
        at: noon - 700,
        endpoint: "db:5432",
        type: "ECONNREFUSED",
        message: "connect ECONNREFUSED 10.0.0.5:5432",
        count: 9
      }]
    })
  ]
})

export interface Asked {
  readonly method: string
  readonly path: string
  readonly authorization: string | undefined
}

/** What the server answers. */
export interface Answer {
  readonly status: number
  readonly body: string
}

export interface Program {
  readonly url: string
  readonly port: number
  readonly asked: Array<Asked>
  /** Answers with this from now on. `undefined`: it does not answer. */
  answer: (asked: Asked) => Answer | undefined
}

export const json = (body: unknown, status = 200): Answer => ({ status, body: JSON.stringify(body) })

/** Listens on a free port, or on this one, until the scope ends. */
export const serve = (
  answer: Program["answer"],
  port = 0
): Effect.Effect<Program, never, Scope.Scope> =>
  Effect.gen(function*() {
    const asked: Array<Asked> = []
    const program = { url: "", port: 0, asked, answer }
    const server = Http.createServer((request, response) => {
      const { headers: { authorization }, method = "", url = "" } = request
      const one = { method, path: url, authorization }
      asked.push(one)
      const given = program.answer(one)
      if (given === undefined) return
      response.writeHead(given.status, { "content-type": "application/json" }).end(given.body)
    })
    yield* Effect.acquireRelease(
      Effect.callback<void>((resume) => void server.listen(port, "127.0.0.1", () => resume(Effect.void))),
      () =>
        Effect.callback<void>((resume) => {
          server.close(() => resume(Effect.void))
          server.closeAllConnections()
        })
    )
    program.port = (server.address() as Net.AddressInfo).port
    program.url = `http://127.0.0.1:${program.port}`
    return program
  })
