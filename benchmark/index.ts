/**
 * Compares with others. `npm run bench` prints tables; `-- --quick` takes less time and is less sure, `--json` prints the
 * same as JSON, and `--only timeouts,bare,keyed,retry,storm,loads,outages,queueing,recovery,monitor,import` leaves tables out. A missed
 * target is said, and is no failure.
 *
 * `--only operations` measures what `Operations` adds to a borrow, and what a look at ten thousand endpoints costs.
 *
 * `--only http,postgres,redis` compares clients with their peers, and is not among the tables that are printed by default. `postgres` and
 * `redis` need a server.
 *
 * `--only budget` compares the budget at Redis with semaphores of other packages and with PgBouncer. `benchmark/budget.ts` says what it needs.
 *
 * `--only storm-course` prints one storm second by second.
 *
 * `--only fleet` simulates a budget with up to 100 000 instances. It needs `redis-server`, whose scripts it measures first.
 *
 * `--only before-after --control PATH` compares with another copy of the library, a checkout or an installed package, which
 * `node benchmark/control.ts COMMIT` makes of a commit. It prints the tables `borrows`, `dials` and `endpoints`, of which
 * `--only before-after-dials` and so on prints one. `--rounds 1` takes so many rounds in the place of eleven.
 */
import { cpus } from "node:os"
import { parseArgs } from "node:util"
import { beforeAfter, type PartName } from "./before-after.ts"
import { withoutTimeouts, withTimeouts } from "./borrowing.ts"
import { budget } from "./budget.ts"
import { http } from "./clients/http.ts"
import { postgres } from "./clients/postgres.ts"
import { redis } from "./clients/redis.ts"
import { coldStart } from "./cold-start.ts"
import { awayFleets, bursts, crashes, fleetChecks, saturation, steadyFleets } from "./fleet.ts"
import { importing } from "./import.ts"
import { keyed } from "./keyed.ts"
import { monitor } from "./monitor.ts"
import { operations } from "./operations.ts"
import { queueing } from "./queueing.ts"
import { recovery } from "./recovery.ts"
import { render, type Table } from "./report.ts"
import { retry } from "./retry.ts"
import { storm, stormCourse, stormLoads, stormOutages } from "./storm.ts"

const { values: flags } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    control: { type: "string" },
    rounds: { type: "string" },
    json: { type: "boolean", default: false },
    only: { type: "string", default: "timeouts,bare,keyed,retry,storm,loads,outages,queueing,recovery,monitor,import" }
  }
})

const defaultRounds = flags.quick ? { measured: 5, warmUp: 2 } : { measured: 11, warmUp: 3 }
const rounds = { ...defaultRounds, measured: Number(flags.rounds ?? defaultRounds.measured) }
if (!Number.isInteger(rounds.measured) || rounds.measured % 2 !== 1) throw new Error("--rounds: not an odd number")
const scale = flags.quick ? 0.5 : 1
const endpoints = flags.quick ? 5000 : 100_000
const idleSeconds = flags.quick ? 2 : 10

const against = (part: PartName) => beforeAfter(flags.control, part, rounds.measured, scale)

/** A table, or a line about what has to be installed first. */
const sections: Record<string, () => Promise<Table | string>> = {
  timeouts: () => withTimeouts(rounds, scale),
  bare: () => withoutTimeouts(rounds, scale),
  keyed: () => keyed(endpoints, idleSeconds),
  retry: () => retry(rounds, scale),
  storm: () => storm(flags.quick ? 1 : 7),
  loads: () => stormLoads(flags.quick ? 2 : 19),
  "storm-course": stormCourse,
  outages: () => stormOutages(flags.quick ? 1 : 5),
  queueing: () => queueing(flags.quick ? 1 : 3),
  recovery: () => recovery(rounds.measured),
  monitor: () => monitor(flags.quick ? 5 : 30),
  import: () => importing(rounds.measured),
  "cold-start": () => coldStart(rounds.measured),
  operations: () => operations(rounds, scale),
  http: () => http(rounds, flags.quick ? 30 : 150),
  postgres: () => postgres(rounds, flags.quick ? 100 : 400),
  redis: () => redis(rounds, flags.quick ? 100 : 400),
  budget: () => budget(flags.quick ? 1 : 5),
  "fleet-checks": () => fleetChecks(flags.quick ? 1 : 5),
  "fleet-steady": () => steadyFleets(flags.quick),
  "fleet-saturation": saturation,
  "fleet-bursts": bursts,
  "fleet-away": awayFleets,
  "fleet-crashes": crashes,
  "before-after-borrows": () => against("borrows"),
  "before-after-dials": () => against("dials"),
  "before-after-endpoints": () => against("endpoints")
}

/** Names of several tables at once. */
const groups: Record<string, ReadonlyArray<string>> = {
  fleet: ["checks", "steady", "saturation", "bursts", "away", "crashes"].map((part) => `fleet-${part}`),
  "before-after": ["before-after-borrows", "before-after-dials", "before-after-endpoints"]
}

const machine = `Node ${process.version}, ${cpus().length} x ${cpus()[0]?.model ?? "unknown processor"}`
const tables: Array<Table> = []
if (!flags.json) process.stdout.write(`${machine}\n\n`)
for (const name of flags.only.split(",").flatMap((each) => groups[each] ?? [each])) {
  const table = await sections[name]?.()
  if (table === undefined) throw new Error(`--only: no such table: ${name}`)
  if (typeof table === "string") {
    process.stderr.write(`${table}\n`)
    process.exitCode = 1
    continue
  }
  tables.push(table)
  if (!flags.json) process.stdout.write(`${render(table)}\n`)
}
if (flags.json) process.stdout.write(`${JSON.stringify({ machine, tables }, undefined, 2)}\n`)
