/**
 * A real Prometheus scrapes a real program, and answers each query of the dashboard and of the alerts with series.
 */
import { afterAll, assert, beforeAll, it } from "@effect/vitest"
import * as ChildProcess from "node:child_process"
import { once } from "node:events"
import * as Fs from "node:fs"
import * as Net from "node:net"
import * as Path from "node:path"
import * as Readline from "node:readline"
import { setTimeout as sleep } from "node:timers/promises"
import { alerts } from "../../scripts/operations/alerts.ts"
import { rows, variables } from "../../scripts/operations/board.ts"
import { describeWithPrometheus, promtool, temporaryDirectory } from "../support/Prometheus.ts"

const root = Path.resolve(import.meta.dirname, "../..")

const started: Array<ChildProcess.ChildProcess> = []

const start = (command: string, args: ReadonlyArray<string>): ChildProcess.ChildProcess => {
  const child = ChildProcess.spawn(command, args, { cwd: root, stdio: ["ignore", "pipe", "inherit"] })
  started.push(child)
  return child
}

const freePort = async (): Promise<number> => {
  const server = Net.createServer().listen(0, "127.0.0.1")
  await once(server, "listening")
  const address = server.address()
  server.close()
  await once(server, "close")
  return typeof address === "object" && address !== null ? address.port : 0
}

const startProgram = async (): Promise<string> => {
  const { stdout } = start(process.execPath, ["--import", "./scripts/sources.mjs", "test/prometheus/program.ts"])
  if (stdout === null) throw new Error("the program has no output")
  for await (const line of Readline.createInterface({ input: stdout })) {
    if (line.startsWith("http")) {
      stdout.resume()
      return line
    }
  }
  throw new Error("the program has ended")
}

/** Starts Prometheus on a free port, with its data in a directory of its own. */
const startPrometheus = async (directory: string, target: string): Promise<string> => {
  const config = Path.join(directory, "prometheus.json")
  Fs.writeFileSync(
    config,
    JSON.stringify({
      global: { scrape_interval: "500ms", evaluation_interval: "1s" },
      rule_files: [Path.join(root, "docs/operations/alerts.yml")],
      scrape_configs: [{ job_name: "api", static_configs: [{ targets: [new URL(target).host] }] }]
    })
  )
  const address = `127.0.0.1:${await freePort()}`
  start("prometheus", [
    `--config.file=${config}`,
    `--storage.tsdb.path=${Path.join(directory, "data")}`,
    `--web.listen-address=${address}`,
    "--log.level=error"
  ]).stdout?.resume()
  return `http://${address}`
}

interface Answer {
  readonly status: string
  readonly data?: { readonly result: ReadonlyArray<unknown> }
  readonly error?: string
}

/**
 * The parts of an expression of an alert whose series must exist. Whether they are above a threshold depends on the program, so each
 * comparison becomes one that has a result in both cases.
 */
const partsOf = (expr: string): ReadonlyArray<string> =>
  expr.split(/\n?unless ignoring \(\w+\)/).map((part) => part.replaceAll(/ (>=|==|>) /g, " $1 bool "))

const filled = (expr: string): string =>
  expr.replaceAll("$__rate_interval", "5s").replaceAll(/\$(?:job|instance|pool)\b/g, ".+")

const queries = [
  ...rows.flatMap(({ panels }) =>
    panels.flatMap(({ targets, title }) => targets.map(({ expr }) => [title, filled(expr)] as const))
  ),
  ...alerts.flatMap(({ expr, name }) => partsOf(expr).map((part) => [name, part] as const)),
  ...variables.map(({ name, selector }) => [name, filled(selector)] as const)
]

/** Kernels without pressure stall information have no such figure. */
const isUnknownHere = (expr: string): boolean => expr.includes("pressure") && !Fs.existsSync("/proc/pressure/memory")

describeWithPrometheus()("Prometheus", () => {
  const directory = temporaryDirectory()
  let program = ""
  let prometheus = ""

  const query = async (expr: string): Promise<Answer> => {
    const url = `${prometheus}/api/v1/query?${new URLSearchParams({ query: expr }).toString()}`
    // oxlint-disable-next-line effecttsgo/global-fetch
    return await (await fetch(url)).json() as Answer
  }

  beforeAll(async () => {
    program = await startProgram()
    prometheus = await startPrometheus(directory.path, program)
    // Until it has scraped some rounds of the program, and the level after them.
    const isThrough = "sum(increase(sluice_pool_leases_leaked_total[30s])) >= 2 and sum(sluice_monitor_level) >= 2"
    for (let attempt = 0; attempt < 240; attempt++) {
      await sleep(250)
      const answer = await query(isThrough).catch(() => undefined)
      if ((answer?.data?.result.length ?? 0) > 0) return
    }
    throw new Error("Prometheus has no samples of the incident")
  }, 70_000)

  afterAll(async () => {
    for (const child of started) {
      if (child.exitCode !== null || child.signalCode !== null) continue
      child.kill("SIGTERM")
      await once(child, "exit")
    }
    directory[Symbol.dispose]()
  })

  it("answers each query of the dashboard and of the alerts with series", async () => {
    const empty: Array<string> = []
    for (const [of, expr] of queries) {
      const { data, error, status } = await query(expr)
      if (status !== "success") empty.push(`${of}: ${error}`)
      else if (data?.result.length === 0 && !isUnknownHere(expr)) empty.push(`${of}: ${expr}`)
    }
    assert.deepStrictEqual(empty, [])
  })

  const rulesOf = async () => {
    // oxlint-disable-next-line effecttsgo/global-fetch
    const { data } = await (await fetch(`${prometheus}/api/v1/rules`)).json() as {
      data: {
        groups: ReadonlyArray<
          { rules: ReadonlyArray<{ name: string; health: string; state: string; lastError?: string }> }
        >
      }
    }
    return data.groups.flatMap((group) => group.rules)
  }

  it("evaluates the alerts, and some of them are pending or fire", async () => {
    const expected = ["Descriptors", "EndpointDown", "Leak", "Level"]
    let rules = await rulesOf()
    const active = () => rules.filter(({ state }) => state !== "inactive").map(({ name }) => name)
    // The rules are evaluated each second, so they may be older than the samples.
    for (let attempt = 0; attempt < 40 && !expected.every((name) => active().includes(name)); attempt++) {
      await sleep(250)
      rules = await rulesOf()
    }
    assert.includeMembers(active(), expected)
    assert.strictEqual(rules.find(({ name }) => name === "Leak")?.state, "firing")
    assert.strictEqual(rules.length, alerts.length)
    assert.deepStrictEqual(rules.filter(({ health }) => health !== "ok"), [])
  })

  /** What promtool objects to. These names are OpenTelemetry's own. */
  const allowed = ["db_client_connection_count", "process_thread_count", "process_unix_file_descriptor_count"].map(
    (name) => `${name} non-histogram and non-summary metrics should not have "_count" suffix`
  )

  it("finds nothing wrong with the page of metrics, except for OpenTelemetry's names of counts", async () => {
    // oxlint-disable-next-line effecttsgo/global-fetch
    const response = await fetch(`${program}metrics`)
    assert.strictEqual(response.headers.get("content-type"), "text/plain; version=0.0.4; charset=utf-8")
    const { output } = promtool(["check", "metrics"], await response.text())
    assert.deepStrictEqual(output.split("\n").filter((line) => line !== "").sort(), allowed)
  })
})
