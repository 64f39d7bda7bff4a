/**
 * Real servers for tests: each in a directory of its own, on a free port, gone with the scope. A machine that lacks one
 * skips the tests that need it, except in CI.
 */
import { it } from "@effect/vitest"
import { Effect, Scope } from "effect"
import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Net from "node:net"
import * as Os from "node:os"
import * as Path from "node:path"
import type { Certificate } from "./Certificates.ts"

export interface Server {
  readonly port: number
  readonly kill: (signal: NodeJS.Signals) => Effect.Effect<void>
  /** Starts it again on the same port, after it was killed. */
  readonly restart: Effect.Effect<void>
}

interface Account {
  readonly uid?: number
  readonly gid?: number
}

interface Program {
  /** The account it runs under when we are root: servers of databases refuse to run as root. */
  readonly account: string
  readonly prepare: (directory: string, run: (command: string, args: ReadonlyArray<string>) => void) => void
  readonly start: (directory: string, port: number) => readonly [command: string, args: ReadonlyArray<string>]
  /** Whether a server that accepts connections serves them too; without it, it does. */
  readonly isReady?: (directory: string) => boolean
}

const findCommand = (name: string): string | undefined => {
  const debian = "/usr/lib/postgresql"
  const versions = Fs.existsSync(debian) ? Fs.readdirSync(debian).map((version) => `${debian}/${version}/bin`) : []
  const folders = [...(process.env["PATH"] ?? "").split(":"), "/usr/sbin", ...versions.toReversed()]
  return folders.map((folder) => Path.join(folder, name)).find((path) => Fs.existsSync(path))
}

/** A test that needs these commands. */
export const needs = (...commands: ReadonlyArray<string>) => {
  const missing = commands.filter((name) => findCommand(name) === undefined)
  if (missing.length === 0 || process.env["CI"] === "true") return it.live
  process.stderr.write(`skipped: there is no ${missing.join(", no ")} here\n`)
  return it.live.skip
}

const idOf = (option: "-u" | "-g", name: string): number =>
  Number(ChildProcess.execFileSync("id", [option, name], { encoding: "utf8" }))

const accountOf = (name: string): Account =>
  process.getuid?.() === 0 ? { uid: idOf("-u", name), gid: idOf("-g", name) } : {}

const freePort = Effect.promise(() =>
  new Promise<number>((resolve) => {
    const probe = Net.createServer().listen(0, "127.0.0.1", () => {
      const address = probe.address()
      probe.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0))
    })
  })
)

const accepts = (port: number) =>
  Effect.promise(() =>
    new Promise<boolean>((resolve) => {
      const socket = Net.connect({ host: "127.0.0.1", port }, () => {
        socket.destroy()
        resolve(true)
      })
      socket.on("error", () => resolve(false))
    })
  )

const listening = (port: number, name: string, isReady: () => boolean): Effect.Effect<void> =>
  Effect.gen(function*() {
    const giveUp = performance.now() + 15_000
    while (!(yield* accepts(port)) || !isReady()) {
      if (performance.now() > giveUp) return yield* Effect.die(new Error(`${name} does not listen on port ${port}`))
      yield* Effect.sleep("20 millis")
    }
  })

const make = (program: Program): Effect.Effect<Server, never, Scope.Scope> =>
  Effect.gen(function*() {
    const account = accountOf(program.account)
    const directory = yield* Effect.acquireRelease(
      Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "sluice-server-"))),
      (path) => Effect.sync(() => Fs.rmSync(path, { recursive: true, force: true }))
    )
    if (account.uid !== undefined && account.gid !== undefined) Fs.chownSync(directory, account.uid, account.gid)
    const options = { ...account, cwd: directory, stdio: "ignore" } as const
    program.prepare(
      directory,
      (command, args) => void ChildProcess.execFileSync(findCommand(command) ?? command, args, options)
    )
    const port = yield* freePort
    const [command, args] = program.start(directory, port)
    const spawned = Effect.tap(
      Effect.acquireRelease(
        Effect.sync(() => ChildProcess.spawn(findCommand(command) ?? command, args, options)),
        (child) => end(child, "SIGKILL")
      ),
      () => listening(port, command, () => program.isReady?.(directory) ?? true)
    )
    const scope = yield* Effect.scope
    let child = yield* spawned
    return {
      port,
      kill: (signal) => end(child, signal),
      restart: Effect.map(Scope.provide(spawned, scope), (again) => {
        child = again
      })
    }
  })

const end = (child: ChildProcess.ChildProcess, signal: NodeJS.Signals): Effect.Effect<void> =>
  Effect.promise(() =>
    new Promise<void>((resolve) => {
      if (child.exitCode !== null || child.signalCode !== null) return resolve()
      child.once("exit", () => resolve())
      child.kill(signal)
    })
  )

interface PostgresOptions {
  /** Lines of `pg_hba.conf`. */
  readonly access: ReadonlyArray<string>
  readonly settings?: ReadonlyArray<string>
  /** A certificate, with which the server speaks TLS. */
  readonly certificate?: Certificate
}

/** PostgreSQL with ten connections, three of them reserved; the superuser is `sluice`. */
export const postgresWith = ({ access, certificate, settings = [] }: PostgresOptions) =>
  make({
    account: "postgres",
    prepare: (directory, run) => {
      run("initdb", ["-D", `${directory}/data`, "-U", "sluice", "-A", "trust", "--no-sync", "-E", "UTF8"])
      Fs.writeFileSync(`${directory}/data/pg_hba.conf`, access.map((line) => `${line}\n`).join(""))
      if (certificate === undefined) return
      const { gid, uid } = Fs.statSync(directory)
      for (const [name, text] of [["server.key", certificate.key], ["server.crt", certificate.cert]] as const) {
        Fs.writeFileSync(`${directory}/data/${name}`, text, { mode: 0o600 })
        Fs.chownSync(`${directory}/data/${name}`, uid, gid)
      }
    },
    start: (directory, port) => {
      const given = [
        `unix_socket_directories=${directory}`,
        "listen_addresses=127.0.0.1",
        "fsync=off",
        "max_connections=10",
        `ssl=${certificate === undefined ? "off" : "on"}`,
        ...settings
      ]
      return ["postgres", ["-D", `${directory}/data`, "-p", String(port), ...given.flatMap((value) => ["-c", value])]]
    },
    // It listens before it has started up, and refuses until then.
    isReady: (directory) => /^ready\s*$/m.test(Fs.readFileSync(`${directory}/data/postmaster.pid`, "utf8"))
  })

/** As {@link postgresWith}, where `locked` needs a password, and no other does. */
export const postgres = postgresWith({
  access: ["host all locked 127.0.0.1/32 scram-sha-256", "host all all 127.0.0.1/32 trust"]
})

/** PgBouncer before a PostgreSQL on this port, where everybody is let in: two sessions of the server for any number of clients. */
export const pgbouncer = (server: number, ...settings: ReadonlyArray<string>) =>
  make({
    account: "postgres",
    prepare: () => {},
    start: (directory, port) => {
      const lines = [
        "[databases]",
        `* = host=127.0.0.1 port=${server}`,
        "[pgbouncer]",
        "listen_addr = 127.0.0.1",
        `listen_port = ${port}`,
        `unix_socket_dir = ${directory}`,
        "auth_type = trust",
        `auth_file = ${directory}/users`,
        "pool_mode = transaction",
        "default_pool_size = 2",
        ...settings
      ]
      Fs.writeFileSync(`${directory}/users`, "\"sluice\" \"\"\n")
      Fs.writeFileSync(`${directory}/pgbouncer.ini`, lines.map((line) => `${line}\n`).join(""))
      return ["pgbouncer", ["-q", `${directory}/pgbouncer.ini`]]
    }
  })

/** MariaDB with four connections and one for the superuser, who is `root`. */
export const mariadb = make({
  account: "mysql",
  prepare: (directory, run) =>
    run("mariadb-install-db", [
      "--no-defaults",
      `--datadir=${directory}/data`,
      "--auth-root-authentication-method=normal",
      "--skip-test-db"
    ]),
  start: (directory, port) => ["mariadbd", [
    "--no-defaults",
    `--datadir=${directory}/data`,
    `--socket=${directory}/socket`,
    `--port=${port}`,
    "--bind-address=127.0.0.1",
    "--max-connections=4",
    "--innodb-lock-wait-timeout=1",
    "--skip-name-resolve"
  ]]
})

/** Redis with these further arguments. */
export const redis = (...args: ReadonlyArray<string>) =>
  make({
    account: "redis",
    prepare: () => {},
    start: (directory, port) => ["redis-server", [
      "--port",
      String(port),
      "--bind",
      "127.0.0.1",
      "--save",
      "",
      "--dir",
      directory,
      ...args
    ]]
  })
