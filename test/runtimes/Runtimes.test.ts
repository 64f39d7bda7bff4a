/**
 * The packed package in a project of a user, with the oldest Node that it is declared for, the newest, Bun and Deno; and the demo on the
 * two that are not Node.
 */
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Fs from "node:fs"
import * as Path from "node:path"
import manifest from "../../package.json" with { type: "json" }
import * as Project from "../platforms/support/Project.ts"
import { certificate, certifiedName } from "../support/Certificates.ts"
import { describeWith, ports } from "../support/LiveServers.ts"
import { eventually, make } from "../support/TcpServer.ts"
import * as Runtimes from "./support/Runtimes.ts"

const root = Path.resolve(import.meta.dirname, "../..")

describe("the runtimes", () => {
  it("are the oldest Node of `engines`, and the versions that README.md names", () => {
    const { bun, deno, minimum, newest } = Runtimes
    assert.strictEqual(minimum.version, `${manifest.engines.node.replace(">=", "")}.0`)
    const text = Fs.readFileSync(Path.join(root, "README.md"), "utf8")
    assert.include(
      text,
      `Node ${minimum.version}, 24 and ${newest.version}, Bun ${bun.version}, and Deno ${deno.version}`
    )
  })
})

const describeHere = Runtimes.hasRuntimes() ? await describeWith("PostgreSQL", "MariaDB", "Redis") : describe.skip

describeHere("the packed package in a project of a user", () => {
  let project: Project.Project

  beforeAll(() => {
    project = Project.makeFolder()
    const peers = [
      "effect",
      "@effect/platform-node",
      "@effect/sql-pg",
      "redis",
      "pg",
      "mysql2",
      "ioredis",
      "lightning-pool",
      "p-retry"
    ] as const
    Project.install(project.path, ...peers.map((name) => `${name}@${manifest.devDependencies[name]}`))
    // The demo, whose pools are those of the installed package. Its command line is that of the sources.
    for (const name of ["examples/demo", "src"]) {
      Fs.cpSync(Path.join(root, name), Path.join(project.path, name), { recursive: true })
    }
    for (const name of ["smoke.ts", "clients.ts", "service.ts"]) {
      Fs.copyFileSync(Path.join(import.meta.dirname, "support", name), Path.join(project.path, name))
    }
  }, 300_000)
  afterAll(() => project.remove())

  describe.each(Runtimes.runtimes)("on $name", (runtime) => {
    it(
      "pools, retries, refuses, asks PostgreSQL, Redis and HTTP, and serves operations, and closes every connection",
      async () => {
        const { stderr, stdout } = await Runtimes.start(runtime, ["smoke.ts"], {
          cwd: project.path,
          env: {
            POSTGRES: `postgres://postgres@127.0.0.1:${ports.PostgreSQL}/postgres`,
            REDIS: `redis://127.0.0.1:${ports.Redis}`,
            CERTIFICATE: JSON.stringify({ ...certificate(), name: certifiedName })
          }
        }).ended
        const line = stdout.split("\n").find((line) => line.startsWith("{"))
        assert.isDefined(line, stdout + stderr)
        assert.deepStrictEqual(JSON.parse(line), {
          pool: { answers: ["ping"], atMostThree: true, allEnded: true, open: 0 },
          tls: { trusted: "ping", untrusted: ["DialFailed", false], open: 0 },
          interruption: 0,
          refusal: ["DialFailed", true, "ECONNREFUSED"],
          retry: ["done", 3],
          monitor: { used: "Known", limit: "Known", second: "ResourceExhausted", opened: 1, open: 0 },
          postgres: { rows: [1, 2, 3, 4], rolledBack: "SqlError", most: 2, left: 0 },
          redis: [1, 2, 3],
          http: { answers: ["/1", "/2", "/3", "/4", "/5", "/6"], form: true, atMostTwo: true, open: 0 },
          operations: { statuses: [200, 200, 200, 200], shown: true }
        })
      },
      90_000
    )

    it("asks a server through each client and in a function of Lambda, and leaves no socket", async () => {
      const { stderr, stdout } = await Runtimes.start(runtime, ["clients.ts"], {
        cwd: project.path,
        env: {
          POSTGRESQL: String(ports.PostgreSQL),
          MARIADB: String(ports.MariaDB),
          REDIS: String(ports.Redis)
        }
      }).ended
      const line = stdout.split("\n").find((line) => line.startsWith("{"))
      assert.isDefined(line, stdout + stderr)
      assert.deepStrictEqual(JSON.parse(line), {
        mysql: { answer: 7, left: 0 },
        ioredis: { answer: "seven", left: 0 },
        nodePostgres: { answer: 7, left: 0 },
        redis: { answer: "seven", left: 0 },
        lambda: { answer: [7, 8], left: 0 }
      })
    }, 90_000)

    it.live(
      "ends the connection of a program under Main at SIGTERM, with the exit status of the signal",
      () =>
        Effect.gen(function*() {
          const server = yield* make(() => {})
          const { child, ended } = Runtimes.start(runtime, ["service.ts"], {
            cwd: project.path,
            env: { PORT: String(server.endpoint.port) }
          })
          yield* Effect.promise(() =>
            Promise.race([ended, new Promise((resolve) => child.stdout?.once("data", resolve))])
          )
          child.kill("SIGTERM")
          const { code, signal, stderr, stdout } = yield* Effect.promise(() => ended)
          assert.deepStrictEqual({ code, signal, stdout, stderr }, {
            code: 143,
            signal: null,
            stdout: "leased\n",
            stderr: ""
          })
          yield* eventually(() => server.sockets.size === 0)
          assert.deepInclude(server.account, { opened: 1, graceful: 1, broken: 0 })
        }),
      90_000
    )

    it("runs the command", async () => {
      const command = ["node_modules/effect-sluice/dist/Cli/main.js", "probe", `127.0.0.1:${ports.Redis}`]
      const { code, stderr, stdout } = await Runtimes.start(
        runtime,
        [...command, "--send", "PING\\r\\n", "--expect", "PONG", "--json"],
        { cwd: project.path }
      ).ended
      assert.strictEqual(code, 0, stdout + stderr)
    }, 90_000)
  })

  it.each([Runtimes.bun, Runtimes.deno])("has a demo that keeps every promise on $name", async (runtime) => {
    const demo = ["examples/demo/main.ts", "--quick", "--rate", "30", "--json"]
    const { code, stderr, stdout } = await Runtimes.start(runtime, demo, { cwd: project.path }).ended
    assert.strictEqual(code, 0, stdout + stderr)
    const { contenders: [ours], ok } = JSON.parse(stdout)
    assert.isTrue(ok)
    assert.strictEqual(ours.name, "effect-sluice")
    assert.isAbove(ours.figures.answered, 0)
    assert.strictEqual(ours.figures.left, 0)
    // A runtime that still loads has some open before that it has not afterwards.
    assert.isAtMost(ours.figures.descriptors.after, ours.figures.descriptors.before)
  }, 90_000)
})
