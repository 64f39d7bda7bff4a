/**
 * A crowd of 1000 for 50 permits: the budget at Redis, semaphores of other packages, PgBouncer, and no budget. It starts a Redis and a PgBouncer of its
 * own, and needs PostgreSQL on port 5432. The packages are those of `benchmark/budget`: `npm ci --prefix benchmark/budget`.
 */
import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import type { Table } from "./report.ts"
import { accountOf, redis, withServer } from "./servers.ts"

/** What the crowd is made of. The time is in milliseconds. */
export const size = { contenders: 1000, permits: 50, rounds: 2, hold: 50 }
export const ideal = size.contenders * size.rounds / size.permits * size.hold

/** What a crowd took, in milliseconds. */
export interface Result {
  readonly took: number
  readonly most: number
  readonly p50: number
  readonly p99: number
  /** Scripts of Redis. */
  readonly scripts?: number
  /** For how long the process of the crowd had work, in milliseconds: it ran, or waited for a processor. The same of Redis. */
  readonly own?: number
  readonly atStore?: number
}

const bouncers = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer"]

const pgbouncer = (directory: string, port: number) => {
  const file = Path.join(directory, "pgbouncer.ini")
  const lines = [
    "[databases]",
    "postgres = host=127.0.0.1 port=5432 user=postgres",
    "[pgbouncer]",
    "listen_addr = 127.0.0.1",
    `listen_port = ${port}`,
    "unix_socket_dir =",
    "auth_type = any",
    "pool_mode = transaction",
    `default_pool_size = ${size.permits}`,
    "max_client_conn = 2000"
  ]
  Fs.writeFileSync(file, `${lines.join("\n")}\n`)
  const command = bouncers.find((path) => Fs.existsSync(path)) ?? "pgbouncer"
  return ChildProcess.spawn(command, ["-q", file], { ...accountOf("nobody"), stdio: "ignore" })
}

const child = (file: string, name: string) => async (port: number): Promise<Result> => {
  const { contenders, hold, permits, rounds } = size
  const argv = [
    "--no-warnings",
    Path.join(import.meta.dirname, file),
    name,
    ...[port, contenders, permits, rounds, hold].map(String)
  ]
  const running = ChildProcess.spawn(process.execPath, argv, { stdio: ["ignore", "pipe", "inherit"] })
  let output = ""
  running.stdout.on("data", (text) => output += String(text))
  const status = await new Promise<number | null>((resolve) => running.once("close", resolve))
  if (status !== 0) throw new Error(`${file} ${name} has ended with status ${status}`)
  // The lines before are what the library has logged.
  return JSON.parse(output.trim().split("\n").at(-1) ?? "")
}

/** The budget of this library, at a Redis of its own. */
export const runBudget = (wake: "subscribe" | "poll"): Promise<Result> =>
  withServer(redis, child("budget-child.ts", wake))

const isInstalled = (name: string): boolean =>
  Fs.existsSync(Path.join(import.meta.dirname, "budget/node_modules", name))

/** What has to be installed before the comparison can run, as one line; `undefined` if nothing is missing. */
const missing = (): string | undefined => {
  const paths = (process.env["PATH"] ?? "").split(Path.delimiter)
  const isFound = (command: string) => paths.some((path) => Fs.existsSync(Path.join(path, command)))
  const all = [
    ...(isFound("redis-server") ? [] : ["redis-server (apt-get install redis-server)"]),
    ...(bouncers.some((path) => Fs.existsSync(path)) || isFound("pgbouncer")
      ? []
      : ["PgBouncer (apt-get install pgbouncer)"]),
    ...(["ioredis", "redis-semaphore", "effect-distributed-lock"].every(isInstalled)
      ? []
      : ["the packages to compare with (npm ci --prefix benchmark/budget)"])
  ]
  return all.length === 0 ? undefined : `--only budget needs ${all.join(" and ")}`
}

interface Engine {
  readonly name: string
  readonly run: () => Promise<Result>
}

const engines: ReadonlyArray<Engine> = [
  { name: "PgBouncer, transactions", run: () => withServer(pgbouncer, child("budget-child.ts", "pgbouncer")) },
  { name: "RedisBudget, subscribe", run: () => runBudget("subscribe") },
  { name: "RedisBudget, poll", run: () => runBudget("poll") },
  { name: "redis-semaphore, 10 ms", run: () => withServer(redis, child("budget/peers.mjs", "redis-semaphore")) },
  {
    name: "effect-distributed-lock",
    run: () => withServer(redis, child("budget/peers.mjs", "effect-distributed-lock"))
  },
  { name: "no budget", run: () => child("budget-child.ts", "none")(0) }
]

/** How often a permit is taken and given back. */
export const cycles = size.contenders * size.rounds

const row = (name: string, { most, p50, p99, scripts, took }: Result): ReadonlyArray<string> => [
  name,
  took.toFixed(0),
  (took / ideal).toFixed(2),
  String(most),
  scripts === undefined ? "-" : (scripts / cycles).toFixed(2),
  p50.toFixed(0),
  p99.toFixed(0),
  p50 < 1 ? "-" : (p99 / p50).toFixed(2)
]

/** All in one run, `runs` times, one after another. The fastest run of each counts, because other work of the machine only slows. */
export const budget = async (runs: number): Promise<Table | string> => {
  const needed = missing()
  if (needed !== undefined) return needed
  const best = new Map<string, Result>()
  for (let index = 0; index < runs; index++) {
    for (const { name, run } of engines) {
      const result = await run()
      const before = best.get(name)
      if (before === undefined || result.took < before.took) best.set(name, result)
    }
  }
  const ours = best.get("RedisBudget, subscribe")
  if (ours === undefined) throw new Error("no result")
  return {
    title:
      `${size.contenders} contenders for ${size.permits} permits, ${size.rounds} times for ${size.hold} ms: ideally ${ideal} ms, fastest of ${runs}`,
    columns: ["engine", "ms", "of ideal", "most at once", "scripts per cycle", "wait p50 ms", "p99 ms", "p99/p50"],
    rows: [...best].map(([name, result]) => row(name, result)),
    targets: [
      { what: "RedisBudget: most at once, of the permits", ratio: ours.most / size.permits, atMost: 1 },
      { what: "RedisBudget: time, of the ideal", ratio: ours.took / ideal, atMost: 1.05 },
      { what: "RedisBudget: scripts per cycle", ratio: (ours.scripts ?? Infinity) / cycles, atMost: 2.1 },
      { what: "RedisBudget: p99 of the wait, of p50", ratio: ours.p99 / ours.p50, atMost: 1.1 }
    ]
  }
}
