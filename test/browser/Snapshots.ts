/**
 * Snapshots of programs in several states, as `/pools.json` has them.
 */
import type { Snapshot } from "../../src/Operations/Snapshot.ts"

type Pool = Snapshot["pools"][number]
type Endpoint = Pool["endpoints"][number]
type Monitor = NonNullable<Snapshot["monitor"]>
type Resource = Monitor["resources"][number]

const second = 1000
const minute = 60 * second

/** The figures of five minutes, a figure each two seconds. */
const length = 150

const wave = (from: number, to: number, seed: number): Array<number> =>
  Array.from({ length }, (_, at) => {
    const share = (Math.sin((at + seed * 7) / 9) + Math.sin((at * 3 + seed) / 11)) / 4 + 0.5
    return Math.round(from + share * (to - from))
  })

/** A level that begins to rise in the last quarter. */
const rising = (from: number, to: number): Array<number> =>
  Array.from({ length }, (_, at) => Math.round(from + Math.max(0, (at - 110) / 40) * (to - from)))

const counts = (some: Partial<Pool["counts"]> = {}): Pool["counts"] => {
  const all = { active: 0, idle: 0, connecting: 0, closing: 0, leftBehind: 0, waiting: 0, ...some }
  return { total: all.active + all.idle + all.connecting + all.closing + all.leftBehind, ...all }
}

const endpoint = (label: string, some: Partial<Endpoint> = {}): Endpoint => ({
  label,
  health: "Healthy",
  counts: counts({ active: 2, idle: 1 }),
  failedAttempts: 0,
  timeouts: 0,
  ...some
})

const sum = (endpoints: ReadonlyArray<Endpoint>): Pool["counts"] => {
  const total = (name: keyof Pool["counts"]) => endpoints.reduce((all, one) => all + one.counts[name], 0)
  const names = ["active", "idle", "connecting", "closing", "leftBehind", "waiting"] as const
  return counts(Object.fromEntries(names.map((name) => [name, total(name)])))
}

const worst = (endpoints: ReadonlyArray<Endpoint>): Endpoint["health"] =>
  (["Unavailable", "Degraded"] as const).find((health) => endpoints.some((one) => one.health === health)) ?? "Healthy"

const pool = (name: string, endpoints: ReadonlyArray<Endpoint>, some: Partial<Pool> = {}): Pool => ({
  name,
  status: "Open",
  isRequired: false,
  health: worst(endpoints),
  maxTotal: 10,
  maxPerEndpoint: 5,
  counts: sum(endpoints),
  endpointsByHealth: {
    Healthy: endpoints.filter(({ health }) => health === "Healthy").length,
    Degraded: endpoints.filter(({ health }) => health === "Degraded").length,
    Unavailable: endpoints.filter(({ health }) => health === "Unavailable").length
  },
  endpoints,
  holders: [],
  failures: [],
  totals: { acquired: 81_234, opened: 212, closed: 204, timeouts: 3, failedAttempts: 17, evicted: 4, expired: 61 },
  closedBy: { idle: 120, lifetime: 61, died_idle: 14, evicted: 4, unfit: 5 },
  refusals: { AcquireTimeout: 3 },
  ...some
})

const holder = (id: number, age: number, some: Partial<Pool["holders"][number]> = {}): Pool["holders"][number] => ({
  id,
  endpoint: "db-1.internal:5432",
  span: "GET /orders/:id",
  attributes: { "http.route": "/orders/:id", "user.tier": "gold" },
  site: "findOrder (src/Orders.ts:41:18)",
  age,
  isStanding: false,
  ...some
})

const resource = (name: Resource["resource"], some: Partial<Resource> = {}): Resource => ({
  resource: name,
  unit: name === "memory" ? "bytes" : "count",
  used: 184,
  reserved: 0,
  limit: 1004,
  level: "Normal",
  ...some
})

const monitor = (some: Partial<Monitor> = {}): Monitor => ({
  level: "Normal",
  resources: [
    resource("descriptors", { reserved: 2 }),
    resource("connections", { used: 13, limit: 100 }),
    resource("memory", { used: 214_000_000, limit: 536_870_912 })
  ],
  gate: { waiting: 0, refusals: {} },
  eventLoop: { lag: 3.2, stalls: 0, longestStall: 0 },
  zombies: 0,
  sites: [
    { site: "findOrder (src/Orders.ts:41:18)", open: 6 },
    { site: "lookUp (src/Cache.ts:12:9)", open: 4 },
    { site: "rows (src/Report.ts:88:14)", open: 3 }
  ],
  leaks: [],
  alerts: [],
  ...some
})

const snapshot = (at: number, pools: ReadonlyArray<Pool>, some: Partial<Snapshot> = {}): Snapshot => ({
  version: 1,
  at,
  process: { pid: 41_207, uptime: 3 * 86_400_000 + 5 * 3_600_000, library: "0.1.0", runtime: "Node.js 24.21.0" },
  isRetiring: false,
  readiness: { isReady: true, reasons: [] },
  monitor: monitor(),
  pools,
  history: {
    interval: 2 * second,
    length,
    pools: Object.fromEntries(
      pools.map(({ counts, name }, index) => [name, {
        active: [...wave(1, Math.max(2, counts.active), index).slice(0, -1), counts.active],
        waiting: counts.waiting === 0 ? wave(0, 0, 1) : rising(0, counts.waiting)
      }])
    ),
    resources: {
      descriptors: wave(150, 190, 2),
      connections: wave(8, 14, 3),
      memory: [...Array.from({ length: 20 }, () => null), ...wave(180_000_000, 220_000_000, 4).slice(20)]
    }
  },
  ...some
})

const orders = (some: Partial<Pool> = {}, second: Partial<Endpoint> = {}): Pool =>
  pool("orders", [
    endpoint("db-2.internal:5432", second),
    endpoint("db-1.internal:5432", { counts: counts({ active: 3, idle: 1, connecting: 1 }) })
  ], {
    isRequired: true,
    oldestLease: 212,
    holders: [
      holder(9120, 212),
      holder(9131, 48, { span: "GET /report", site: "rows (src/Report.ts:88:14)", attributes: {} })
    ],
    ...some
  })

const cache = (): Pool =>
  pool("cache", [endpoint("cache.internal:6379", { counts: counts({ active: 1, idle: 3 }) })], {
    maxTotal: 6,
    oldestLease: 86_400_000,
    holders: [
      holder(17, 86_400_000, {
        endpoint: "cache.internal:6379",
        span: "subscribe invalidations",
        attributes: {},
        site: "subscribe (src/Cache.ts:55:3)",
        isStanding: true
      })
    ]
  })

const search = (): Pool =>
  pool("search", [endpoint("search.internal:9200", { counts: counts({ idle: 2 }) })], { maxTotal: 5 })

/** Everything is well. */
export const healthy = (at: number): Snapshot => snapshot(at, [orders(), cache(), search()])

/** One endpoint refuses connections. */
export const down = (at: number): Snapshot => {
  const failure = {
    at: at - 400,
    endpoint: "db-2.internal:5432",
    type: "ECONNREFUSED",
    message: "db-2.internal:5432 refused the connection (connect ECONNREFUSED 10.0.3.17:5432)",
    count: 14
  }
  return snapshot(at, [
    orders({
      failures: [failure, { ...failure, at: at - 1500 }, {
        ...failure,
        at: at - 64_000,
        type: "ECONNRESET",
        message: "the peer reset the connection"
      }],
      oldestWait: 3200
    }, {
      health: "Unavailable",
      counts: counts({ connecting: 1, waiting: 12 }),
      failedAttempts: 61,
      attemptsOfOutage: 61,
      outage: "Down",
      timeouts: 4,
      impairedSince: at - 64_000,
      lastFailure: failure,
      nextDialIn: 640,
      oldestWait: 3200
    }),
    cache(),
    search()
  ], {
    readiness: {
      isReady: false,
      reasons: [{
        reason: "PoolDown",
        pool: "orders",
        endpoint: "db-2.internal:5432",
        message: "orders: db-2.internal:5432 is down for 64 s (ECONNREFUSED)"
      }]
    }
  })
}

/** Two pools are full, one of them because of a leak. */
export const saturated = (at: number): Snapshot =>
  snapshot(at, [
    pool("orders", [
      endpoint("db-1.internal:5432", {
        health: "Degraded",
        impairedSince: at - 41_000,
        counts: counts({ active: 5, waiting: 31 }),
        timeouts: 12,
        oldestWait: 8400
      }),
      endpoint("db-2.internal:5432", { counts: counts({ active: 5, waiting: 6 }), oldestWait: 900 })
    ], {
      isRequired: true,
      oldestWait: 8400,
      oldestLease: 612_000,
      holders: [
        holder(31, 612_000, {
          span: "POST /export",
          site: "exportAll (src/Export.ts:120:22)",
          attributes: { "http.method": "POST" }
        }),
        holder(44, 41_200, { span: "GET /report", site: "rows (src/Report.ts:88:14)" }),
        ...Array.from({ length: 8 }, (_, at) => holder(60 + at, 9100 - at * 700))
      ],
      refusals: { AcquireTimeout: 412, QueueFull: 18 }
    }),
    cache(),
    pool("search", [endpoint("search.internal:9200", { counts: counts() })], { maxTotal: 5, status: "Suspended" })
  ], {
    monitor: monitor({
      level: "Warning",
      resources: [
        resource("descriptors", { used: 742, level: "Warning" }),
        resource("connections", { used: 19, limit: 100 }),
        resource("memory", { used: 214_000_000, limit: 536_870_912 })
      ],
      eventLoop: { lag: 84, stalls: 2, longestStall: 2300 },
      leaks: [
        {
          pool: "orders",
          label: "db-1.internal:5432",
          site: "exportAll (src/Export.ts:120:22)",
          span: "POST /export",
          verdict: "held",
          count: 14,
          lastAt: at - 12_000,
          longest: 612_000
        },
        {
          label: "mail.internal:25",
          site: "send (src/Mail.ts:31:7)",
          verdict: "lost",
          count: 3,
          lastAt: at - 4 * minute,
          longest: 1000
        }
      ],
      alerts: [{ at: at - 38_000, level: "Warning", message: "descriptors: 742 of 1004 (73.9 %)" }]
    })
  })

/** No descriptor is left, and the program ends. */
export const exhausted = (at: number): Snapshot => {
  const of = saturated(at)
  return {
    ...of,
    isRetiring: true,
    readiness: {
      isReady: false,
      reasons: [
        { reason: "Retiring", message: "the program is retiring" },
        { reason: "Exhausted", message: "descriptors: 1001 of 1004 are in use" }
      ]
    },
    monitor: monitor({
      level: "Exhausted",
      resources: [
        resource("descriptors", { used: 1001, reserved: 3, level: "Exhausted" }),
        { resource: "connections", unit: "count", used: 13, reserved: 0, level: "Normal", note: "there is no limit" },
        {
          resource: "memory",
          unit: "bytes",
          reserved: 0,
          level: "Normal",
          note: "the limit of the container cannot be read"
        }
      ],
      gate: { waiting: 9, refusals: { descriptors: 64 } },
      eventLoop: { stalls: 7, longestStall: 4100 },
      alerts: [
        { at: at - 4000, level: "Exhausted", message: "descriptors: 1001 of 1004 (99.7 %)" },
        { at: at - 31_000, level: "Critical", message: "descriptors: 911 of 1004 (90.7 %)" }
      ]
    }),
    history: { ...of.history, resources: { ...of.history.resources, descriptors: rising(180, 1001) } }
  }
}

const markup =
  `<img src=x onerror="alert(1)"></script><script>document.title="taken"</script><b style="color:red">"'&amp;`

/** Texts that a peer may have chosen: markup, one word of a thousand letters, right-to-left marks. */
export const hostile = (at: number): Snapshot => {
  const long = `${markup}${"W".repeat(1000 - markup.length)}`
  const rightToLeft = `\u202Egnp.exe ${markup}`
  const failure = { at: at - 900, endpoint: long, type: markup, message: long, count: 1 }
  return snapshot(at, [
    pool(`${markup}${"n".repeat(200 - markup.length)}`, [
      endpoint(long, {
        health: "Unavailable",
        impairedSince: at - 9000,
        lastFailure: failure,
        counts: counts({ waiting: 3 })
      }),
      endpoint(long, { health: "Degraded", impairedSince: at - 9000 }),
      endpoint(rightToLeft)
    ], {
      failures: [failure, failure],
      holders: [holder(1, 100, { span: long, site: long, attributes: { [markup]: long }, endpoint: rightToLeft })]
    })
  ], {
    readiness: { isReady: false, reasons: [{ reason: "PoolDown", pool: long, endpoint: long, message: long }] },
    monitor: monitor({
      leaks: [{ label: long, site: long, span: rightToLeft, verdict: "held", count: 2, lastAt: at, longest: 1000 }],
      sites: [{ site: long, open: 2 }],
      alerts: [{ at, level: "Warning", message: long }]
    })
  })
}

/** Twenty pools, one of them with ten thousand endpoints that are all down. */
export const many = (at: number): Snapshot => {
  const failure = {
    at,
    endpoint: "shard-0.internal:5432",
    type: "ETIMEDOUT",
    message: "no answer within 10 s",
    count: 3
  }
  const shards = pool(
    "shards",
    Array.from({ length: 20 }, (_, index) =>
      endpoint(`shard-${index}.internal:5432`, {
        health: "Unavailable",
        counts: counts({ waiting: 20 - index }),
        impairedSince: at - 300_000,
        lastFailure: failure,
        failedAttempts: 31
      })),
    { endpointsByHealth: { Healthy: 0, Degraded: 0, Unavailable: 10_000 }, maxTotal: 500 }
  )
  const others = Array.from({ length: 19 }, (_, index) =>
    pool(`tenant-${index}`, [
      endpoint(`db-${index}.internal:5432`, { counts: counts({ active: index % 5, idle: 5 - (index % 5) }) })
    ], {
      holders: Array.from(
        { length: 5 },
        (_, at) => holder(at, (index + 1) * 100 + at, { endpoint: `db-${index}.internal:5432` })
      )
    }))
  return snapshot(at, [...others, shards])
}
