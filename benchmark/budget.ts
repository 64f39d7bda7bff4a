/**
 * A crowd of 1000 for 50 permits: the budget at Redis, semaphores of other packages, PgBouncer, and no budget. It starts a Redis and a PgBouncer of its
 * own, and needs PostgreSQL on port 5432. The packages are those of `benchmark/budget`: `npm ci --prefix benchmark/budget`.
 */
import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Net from "node:net"
import * as Os from "node:os"
import * as Path from "node:path"
import type { Table } from "./report.ts"

const size = { contenders: 1000, permits: 50, rounds: 2, hold: 50 }
const ideal = size.contenders * size.rounds / size.permits * size.hold

interface Result {
  readonly took: number
  readonly most: number
  readonly p50: number
  readonly p99: number
  /** Scripts of Redis. */
  readonly scripts?: number
}

const freePort = (): Promise<number> =>
  new Promise((resolve) => {
    const probe = Net.createServer().listen(0, "127.0.0.1", () => {
      const address = probe.address()
      probe.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0))
    })
  })

const listening = async (port: number): Promise<void> => {
  for (let attempt = 0; attempt < 200; attempt++) {
    const isOpen = await new Promise<boolean>((resolve) => {
      const socket = Net.connect({ host: "127.0.0.1", port }, () => {
        socket.destroy()
        resolve(true)
      }).on("error", () => resolve(false))
    })
    if (isOpen) return
    await new Promise((resolve) => setTimeout(resolve, 25))
  }
  throw new Error(`nothing listens on port ${port}`)
}

const accountOf = (name: string): ChildProcess.SpawnOptions => {
  if (process.getuid?.() !== 0) return {}
  const id = (option: string) => Number(ChildProcess.execFileSync("id", [option, name], { encoding: "utf8" }))
  return { uid: id("-u"), gid: id("-g") }
}

/** Runs a server of its own while `use` runs. */
const withServer = async <A>(
  start: (directory: string, port: number) => ChildProcess.ChildProcess,
  use: (port: number) => Promise<A>
): Promise<A> => {
  const directory = Fs.mkdtempSync(Path.join(Os.tmpdir(), "sluice-bench-"))
  Fs.chmodSync(directory, 0o777)
  const port = await freePort()
  const server = start(directory, port)
  try {
    await listening(port)
    return await use(port)
  } finally {
    server.kill("SIGKILL")
    Fs.rmSync(directory, { recursive: true, force: true })
  }
}

const redis = (directory: string, port: number) =>
  ChildProcess.spawn("redis-server", ["--port", String(port), "--save", "", "--dir", directory], { stdio: "ignore" })

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
  const command = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer"].find((path) => Fs.existsSync(path)) ?? "pgbouncer"
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
  await new Promise((resolve) => running.once("close", resolve))
  return JSON.parse(output)
}

interface Engine {
  readonly name: string
  readonly run: () => Promise<Result>
}

const engines: ReadonlyArray<Engine> = [
  { name: "PgBouncer, transactions", run: () => withServer(pgbouncer, child("budget-child.ts", "pgbouncer")) },
  { name: "RedisBudget, subscribe", run: () => withServer(redis, child("budget-child.ts", "subscribe")) },
  { name: "RedisBudget, poll", run: () => withServer(redis, child("budget-child.ts", "poll")) },
  { name: "redis-semaphore, 10 ms", run: () => withServer(redis, child("budget/peers.mjs", "redis-semaphore")) },
  {
    name: "effect-distributed-lock",
    run: () => withServer(redis, child("budget/peers.mjs", "effect-distributed-lock"))
  },
  { name: "no budget", run: () => child("budget-child.ts", "none")(0) }
]

const cycles = size.contenders * size.rounds

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
export const budget = async (runs: number): Promise<Table> => {
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
