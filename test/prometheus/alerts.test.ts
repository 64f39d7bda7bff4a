/**
 * Prometheus itself evaluates the alerts on series of samples: each fires when it should, and does not for a failed scrape, a restart,
 * a pool that has ended, or without traffic.
 */
import { assert, it } from "@effect/vitest"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { alerts } from "../../scripts/operations/alerts.ts"
import { describeWithPrometheus, promtool, temporaryDirectory } from "../support/Prometheus.ts"

const rules = Path.resolve(import.meta.dirname, "../../docs/operations/alerts.yml")

const ofProcess = { job: "api", instance: "10.0.0.1:9464" }
const ofPool = { ...ofProcess, db_client_connection_pool_name: "orders" }
const ofDescriptors = { ...ofProcess, sluice_resource: "descriptors" }

const metric = (name: string, labels: Readonly<Record<string, string>>) => (values: string) => ({
  series: `${name}{${Object.entries(labels).map(([label, value]) => `${label}="${value}"`).join()}}`,
  values
})

const down = metric("sluice_pool_endpoints", { ...ofPool, sluice_endpoint_health: "Unavailable" })
const degraded = metric("sluice_pool_endpoints", { ...ofPool, sluice_endpoint_health: "Degraded" })
const timeouts = metric("db_client_connection_timeouts_total", ofPool)
const leases = metric("sluice_pool_leases_total", ofPool)
const waiting = metric("db_client_connection_pending_requests", ofPool)
const leaked = metric("sluice_pool_leases_leaked_total", { ...ofPool, sluice_verdict: "lost" })
const used = metric("sluice_monitor_used", ofDescriptors)
const limit = metric("sluice_monitor_limit", ofDescriptors)
const level = metric("sluice_monitor_level", ofProcess)

interface Case {
  readonly name: string
  /** A sample each 15 seconds, in promtool's notation: `1+2x3` is `1 3 5 7`, `_` is none, `stale` ends the series. */
  readonly series: ReadonlyArray<ReturnType<ReturnType<typeof metric>>>
  /** The minutes at which it fires. It does not fire at any other of the minutes up to `until`. */
  readonly fires?: ReadonlyArray<number>
  readonly until: number
}

/** A scrape fails, and three more. The samples before and after it are these. */
const gap = (before: string, after: string) => `${before} stale _x2 ${after}`

const cases: Readonly<Record<string, ReadonlyArray<Case>>> = {
  EndpointDown: [
    { name: "one endpoint is down for minutes", series: [down("0x8 1x16 0x40")], fires: [5, 6, 7, 8], until: 12 },
    {
      name: "an endpoint is down, and only one request a minute tries it",
      series: [down("0 0 1 0 0 0 1 0 0 0 1 0 0 0 1 0 0 0 1 0 0 0 1 0 0"), degraded("1x24")],
      fires: [3, 4, 5, 6],
      until: 6
    },
    { name: "an endpoint is down for less than a minute", series: [down("0x8 1x2 0x40")], until: 8 },
    {
      name: "an endpoint is down for less than a minute, and then there are no requests",
      series: [down("0x8 1x2 0x40"), degraded("0x11 1x40")],
      until: 12
    },
    { name: "no endpoint is down", series: [down("0x40"), degraded("1x40")], until: 8 },
    { name: "scrapes fail while no endpoint is down", series: [down(gap("0x8", "0x40"))], until: 8 },
    {
      name: "scrapes fail while an endpoint is down",
      series: [down(gap("1x16", "1x24"))],
      fires: [2, 3, 4, 5, 6, 7, 8, 9],
      until: 9
    },
    { name: "a pool ends some seconds after its endpoint went down", series: [down("0x8 1x2 stale")], until: 8 },
    { name: "a program starts before its server", series: [down("_x4 1x2 0x40")], until: 8 }
  ],
  BorrowersTimeOut: [
    {
      name: "every tenth borrow runs out of time",
      series: [timeouts("0x8 1+1x20 20x60"), leases("0+9x90")],
      fires: [4, 5, 6, 7, 8, 9, 10, 11, 12],
      until: 20
    },
    {
      name: "every borrow runs out of time",
      series: [timeouts("0x8 1+1x20"), leases("7x30")],
      fires: [4, 5, 6, 7],
      until: 7
    },
    { name: "one borrow runs out of time", series: [timeouts("0x8 1x60"), leases("0+1x68")], until: 15 },
    { name: "one borrow in a thousand runs out of time", series: [timeouts("0+1x60"), leases("0+999x60")], until: 15 },
    { name: "nothing is borrowed", series: [timeouts("70x60"), leases("900x60")], until: 15 },
    { name: "a program restarts", series: [timeouts("70x12 0x40"), leases("900+9x12 0+9x40")], until: 13 },
    { name: "scrapes fail", series: [timeouts(gap("70x12", "70x40")), leases(gap("900x12", "900x40"))], until: 13 },
    { name: "a pool has ended", series: [timeouts("70x12 stale"), leases("900+9x12 stale")], until: 13 }
  ],
  Stalled: [
    {
      name: "borrowers wait, and there are no leases",
      series: [waiting("5x24 0x40"), leases("0+9x8 72x16 72+9x40"), down("0x64")],
      fires: [5, 6],
      until: 6
    },
    {
      name: "scrapes fail meanwhile",
      series: [waiting(gap("5x24", "5x8")), leases(gap("72x24", "72x8")), down(gap("0x24", "0x8"))],
      fires: [2, 3, 4, 5, 6, 7, 8],
      until: 8
    },
    { name: "nothing is borrowed", series: [waiting("0x60"), leases("900x60"), down("0x60")], until: 15 },
    {
      name: "borrowers wait, and get connections slowly",
      series: [waiting("5x60"), leases("0x2 1x3 2x3 3x3 4x3 5x3 6x3 7x3 8x3 9x3 10x3"), down("0x60")],
      until: 10
    },
    { name: "an endpoint is down", series: [waiting("5x60"), leases("900x60"), down("1x60")], until: 15 },
    { name: "a pool ends", series: [waiting("5x3 stale"), leases("900x3 stale"), down("0x3 stale")], until: 8 },
    {
      name: "a program restarts, and its first borrowers wait for a connection",
      series: [waiting("0x8 3 0x40"), leases("900x8 0 5+9x40"), down("0x60")],
      until: 10
    }
  ],
  Saturated: [
    {
      name: "borrowers wait all the time",
      series: [waiting("3x80"), leases("0+9x80"), down("0x80")],
      fires: [11, 12, 13, 14, 15],
      until: 15
    },
    {
      name: "borrowers wait half of the time",
      series: [waiting("3 0 3 0 3 0 3 0 3 0 3 0 3 0 3 0 3 0 3 0 3x60"), leases("0+9x80"), down("0x80")],
      fires: [11, 12, 13, 14, 15],
      until: 15
    },
    { name: "many borrowers wait once", series: [waiting("0x8 90 0x80"), leases("0+9x89"), down("0x89")], until: 20 },
    { name: "an endpoint is down", series: [waiting("3x80"), leases("0+9x80"), down("1x80")], until: 20 },
    {
      name: "there are no leases: Stalled says so",
      series: [waiting("3x80"), leases("9x80"), down("0x80")],
      until: 20
    },
    { name: "nothing is borrowed", series: [waiting("0x80"), leases("900x80"), down("0x80")], until: 20 },
    {
      name: "scrapes fail now and then, and nothing waits",
      series: [waiting(gap("0x20", "0x60")), leases(gap("0+9x20", "207+9x60")), down(gap("0x20", "0x60"))],
      until: 20
    },
    {
      name: "a pool ends after it was full for some minutes",
      series: [waiting("9x28 stale"), leases("0+9x28 stale"), down("0x28 stale")],
      until: 20
    },
    {
      name: "a program restarts after it was full for some minutes",
      series: [waiting("9x28 0x60"), leases("0+9x28 0+9x60"), down("0x92")],
      until: 20
    }
  ],
  Leak: [
    {
      name: "a lease is lost",
      series: [leaked("0x8 1x100")],
      fires: [3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17],
      until: 20
    },
    { name: "leases were lost long ago", series: [leaked("3x80")], until: 20 },
    { name: "a program restarts", series: [leaked("3x20 0x60")], until: 20 },
    { name: "scrapes fail", series: [leaked(gap("3x20", "3x60"))], until: 20 },
    { name: "a pool ends", series: [leaked("3x20 stale")], until: 20 }
  ],
  Descriptors: [
    {
      name: "nine descriptors of ten are open",
      series: [used("700x8 930x32 700x20"), limit("1024x60")],
      fires: [8, 9, 10, 11, 12],
      until: 15
    },
    { name: "three of four are open", series: [used("768x60"), limit("1024x60")], until: 15 },
    {
      name: "nine of ten are open for some minutes",
      series: [used("700x8 930x12 700x40"), limit("1024x60")],
      until: 15
    },
    { name: "there is no limit", series: [used("930x60")], until: 15 },
    { name: "it is not known how many are open", series: [limit("1024x60")], until: 15 },
    {
      name: "scrapes fail",
      series: [used(gap("930x32", "930x20")), limit(gap("1024x32", "1024x20"))],
      fires: [5, 6, 7, 8, 9, 10, 11, 12],
      until: 12
    },
    { name: "a program restarts", series: [used("930x12 40x40"), limit("1024x52")], until: 13 }
  ],
  DescriptorsFullSoon: [
    {
      name: "twelve more are open each minute",
      series: [used("420+3x160"), limit("1024x160")],
      fires: [16, 20, 25, 30, 35, 40],
      until: 40
    },
    {
      name: "a program starts, opens 600 within a minute, and keeps them",
      series: [used("20+145x4 600x160"), limit("1024x160")],
      until: 40
    },
    {
      name: "a program with 600 restarts",
      series: [used("600x80 20+145x4 600x120"), limit("1024x205")],
      until: 50
    },
    {
      name: "the number swings with the load, every 20 minutes",
      series: [used(Array.from({ length: 4 }, () => "500+10x39 890-10x39").join(" ")), limit("1024x320")],
      until: 80
    },
    { name: "one more is open each minute", series: [used("600+0.25x160"), limit("1024x160")], until: 40 },
    { name: "few are open, and more each minute", series: [used("20+5x70 370x60"), limit("1024x160")], until: 32 },
    {
      name: "scrapes fail, and nothing grows",
      series: [used(gap("600x60", "600x60")), limit(gap("1024x60", "1024x60"))],
      until: 30
    },
    { name: "there is no limit", series: [used("420+3x160")], until: 40 }
  ],
  Level: [
    { name: "it is Critical for minutes", series: [level("0x8 2x24 0x40")], fires: [6, 7, 8, 9, 10], until: 15 },
    {
      name: "it is Exhausted, and most scrapes fail",
      series: [level("3 stale _x3 3 stale _x3 3 stale _x3 3 stale _x3 3 stale _x3 3")],
      fires: [3, 4, 5, 6, 7],
      until: 7
    },
    { name: "it is Critical for a moment", series: [level("0x8 2 0x40")], until: 10 },
    { name: "it is Warning", series: [level("1x60")], until: 15 },
    { name: "scrapes fail at Normal", series: [level(gap("0x20", "0x20"))], until: 10 },
    { name: "a program ends at Critical after some seconds", series: [level("0x8 2x2 stale")], until: 10 }
  ]
}

/** Runs promtool on one case. Only whether an alert fires is compared: its texts have a test of their own. */
const run = (alert: string, { fires = [], series, until }: Case): string => {
  using directory = temporaryDirectory()
  // Minutes that are not listed are those at which it must not fire; a sparse list leaves those between its first and last one open.
  const first = fires[0] ?? Infinity
  const last = fires.at(-1) ?? -Infinity
  const minutes = Array.from({ length: until + 1 }, (_, minute) => minute).filter((minute) =>
    fires.includes(minute) || minute < first || minute > last
  )
  const test = {
    rule_files: [rules],
    evaluation_interval: "15s",
    tests: [{
      interval: "15s",
      input_series: series,
      promql_expr_test: minutes.map((minute) => ({
        expr: `count(ALERTS{alertname="${alert}",alertstate="firing"})`,
        eval_time: `${minute}m`,
        exp_samples: fires.includes(minute) ? [{ labels: "{}", value: 1 }] : []
      }))
    }]
  }
  const path = Path.join(directory.path, "test.json")
  Fs.writeFileSync(path, JSON.stringify(test))
  const { output, status } = promtool(["test", "rules", path])
  return status === 0 ? "" : output
}

/** The alert as promtool prints it, with its texts. */
const renderedBy = (alert: string, { fires = [], series }: Case): string => {
  using directory = temporaryDirectory()
  const path = Path.join(directory.path, "test.json")
  const test = {
    rule_files: [rules],
    evaluation_interval: "15s",
    tests: [{
      interval: "15s",
      input_series: series,
      alert_rule_test: [{ eval_time: `${fires[0]}m`, alertname: alert, exp_alerts: [] }]
    }]
  }
  Fs.writeFileSync(path, JSON.stringify(test))
  // It fails, because no alert is expected, and prints the one that fires.
  return promtool(["test", "rules", path]).output
}

describeWithPrometheus()("the alerts", () => {
  it("are valid rules", () => {
    const { output, status } = promtool(["check", "rules", rules])
    assert.strictEqual(status, 0, output)
    assert.include(output, `${alerts.length} rules found`)
  })

  it("have cases, of which some fire and some do not", () => {
    assert.sameMembers(Object.keys(cases), alerts.map(({ name }) => name))
    for (const [alert, all] of Object.entries(cases)) {
      assert.isTrue(all.some(({ fires }) => fires !== undefined), alert)
      assert.isTrue(all.some(({ fires }) => fires === undefined), alert)
    }
  })

  it.each(alerts)("$name says what is wrong, with the labels of its series", ({ name, severity }) => {
    const [one] = cases[name]?.filter(({ fires }) => fires !== undefined) ?? []
    const output = one === undefined ? "" : renderedBy(name, one)
    assert.include(output, `severity="${severity}"`)
    assert.include(output, `runbook.md#${name.toLowerCase()}`)
    assert.match(output, /summary="(?:orders|10\.0\.0\.1:9464): /)
    assert.include(output, "10.0.0.1:9464")
    assert.notMatch(output, /no value|error expanding/)
  })

  for (const [alert, all] of Object.entries(cases)) {
    for (const one of all) {
      it(`${alert} ${one.fires === undefined ? "does not fire" : "fires"}: ${one.name}`, () => {
        assert.strictEqual(run(alert, one), "")
      })
    }
  }
})
