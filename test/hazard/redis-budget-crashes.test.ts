/**
 * Processes that share a budget of 5 sessions and end in each way, at a server that counts its own sessions. Half of their clocks are 11
 * seconds ahead, the other half behind.
 */
import { assert, describe } from "@effect/vitest"
import { Effect, type Scope } from "effect"
import * as ChildProcess from "node:child_process"
import * as Path from "node:path"
import { Client } from "pg"
import { budget } from "../support/Budgets.ts"
import * as Servers from "../support/Servers.ts"

const it = Servers.needs("redis-server", "postgres")

const child = Path.join(import.meta.dirname, "redis-budget-child.ts")
const limit = 5
const lease = 4000
/** For so long, a place in the queue is kept for a process that has ended. It may get a permit in this time. */
const kept = 6000

const name = `sluice-budget-${process.pid}`
const [here, there] = [`slb${process.pid % 100_000}`, `slc${process.pid % 100_000}`]
const net = `10.203.${process.pid % 200}`

const ip = (command: string): boolean =>
  ChildProcess.spawnSync("ip", command.split(" "), { stdio: "ignore" }).status === 0

/** A namespace whose network can be cut. Only root may make one. */
const namespace: Effect.Effect<boolean, never, Scope.Scope> = Effect.acquireRelease(
  Effect.sync(() => {
    const commands = [
      `netns add ${name}`,
      `link add ${here} type veth peer name ${there}`,
      `link set ${there} netns ${name}`,
      `addr add ${net}.1/24 dev ${here}`,
      `link set ${here} up`,
      `netns exec ${name} ip addr add ${net}.2/24 dev ${there}`,
      `netns exec ${name} ip link set ${there} up`
    ]
    const isMade = process.platform === "linux" && commands.every(ip)
    if (!isMade) process.stderr.write("skipped in part: no network namespace can be made here, so no network is cut\n")
    return isMade
  }),
  () => Effect.sync(() => void [ip(`link del ${here}`), ip(`netns del ${name}`)])
)

interface Running {
  readonly process: ChildProcess.ChildProcess
  readonly holder: string
}

const start = (argv: ReadonlyArray<string>, inside: boolean): Effect.Effect<Running, never, Scope.Scope> => {
  const [command, ...rest] = [
    ...(inside ? ["ip", "netns", "exec", name] : []),
    process.execPath,
    "--no-warnings",
    child
  ]
  const spawn = () => ChildProcess.spawn(command, [...rest, ...argv], { stdio: ["ignore", "pipe", "inherit"] })
  return Effect.gen(function*() {
    const running = yield* Effect.acquireRelease(
      Effect.sync(spawn),
      (started) => Effect.sync(() => started.kill("SIGKILL"))
    )
    const holder = yield* Effect.promise(() =>
      new Promise<string>((resolve) => running.stdout.once("data", (text) => resolve(String(text).trim())))
    )
    return { process: running, holder }
  })
}

/** Asks the server for its sessions until the scope ends, and remembers what must not be. */
const watch = (port: number) =>
  Effect.gen(function*() {
    const client = yield* Effect.acquireRelease(
      Effect.promise(async () => {
        const client = new Client({ host: "127.0.0.1", port, user: "sluice", database: "postgres" })
        await client.connect()
        return client
      }),
      (client) => Effect.promise(() => client.end())
    )
    const seen = { most: 0, samples: 0, doubles: 0, tokens: new Set<string>() }
    yield* Effect.forkScoped(Effect.forever(Effect.andThen(
      Effect.promise(async () => {
        const { rows } = await client.query<{ name: string }>(
          "select application_name as name from pg_stat_activity where application_name like 'fleet%'"
        )
        const names = rows.map((row) => row.name)
        seen.samples++
        seen.most = Math.max(seen.most, names.length)
        if (new Set(names).size < names.length) seen.doubles++
        for (const name of names) seen.tokens.add(name)
      }),
      Effect.sleep("15 millis")
    )))
    return seen
  })

describe("processes with wrong clocks that are killed, stopped and cut off", () => {
  it(
    "have never more sessions than permits and no permit twice, and lose none for longer than its lease",
    () =>
      Effect.gen(function*() {
        const hasNetwork = yield* namespace
        const host = hasNetwork ? `${net}.1` : "127.0.0.1"
        const redis = yield* Servers.redis("--bind", "0.0.0.0", "--protected-mode", "no")
        const postgres = yield* Servers.postgresWith({
          access: ["host all all 0.0.0.0/0 trust"],
          settings: ["listen_addresses=*", "max_connections=20"]
        })
        const operator = yield* budget({ port: redis.port, key: "fleet", connections: limit })
        const seen = yield* watch(postgres.port)
        const fleet: Array<Running> = []
        for (let index = 0; index < 6; index++) {
          const skew = index % 2 === 0 ? 11_000 : -11_000
          const argv = [host, `${redis.port}`, `${postgres.port}`, `${skew}`]
          fleet.push(yield* start(argv, hasNetwork && index === 2))
        }
        yield* Effect.sleep("2 seconds")
        const [killed, stopped, cut] = fleet
        assert(killed && stopped && cut)
        killed.process.kill("SIGKILL")
        stopped.process.kill("SIGSTOP")
        if (hasNetwork) ip(`link set ${here} down`)
        else cut.process.kill("SIGKILL")
        const end = performance.now() + kept + lease + 1000
        const dead = [killed, stopped, cut].map(({ holder }) => holder)
        let longest = 0
        let last: ReadonlyArray<string> = []
        let used = 0
        while (performance.now() < end) {
          const snapshot = yield* operator.inspect
          assert.isAtMost(snapshot.used, limit)
          used = snapshot.used
          const lost = snapshot.holders.filter((each) => dead.includes(each.process))
          // A permit that was renewed is held for longer than its lease, so what counts is the time since these processes ended.
          for (const { expiresIn } of lost) longest = Math.max(longest, -expiresIn)
          last = lost.map(({ id }) => id)
          yield* Effect.sleep("25 millis")
        }
        assert.deepStrictEqual(last, [], "permits that are still lost")
        // A lease that is over is given to another by the next request of any process.
        assert.isAtMost(longest, 1000)
        assert.isAtLeast(used, limit - 1, "permits that are used again")
        const before = seen.tokens.size
        stopped.process.kill("SIGCONT")
        if (hasNetwork) ip(`link set ${here} up`)
        yield* Effect.sleep("4 seconds")
        process.stdout.write(`${JSON.stringify({ ...seen, tokens: seen.tokens.size, hasNetwork })}\n`)
        assert.isAbove(seen.tokens.size, before)
        assert.isAbove(seen.samples, 100)
        assert.strictEqual(seen.most, limit)
        assert.strictEqual(seen.doubles, 0)
        const processes = new Set<string>()
        for (let index = 0; index < 60; index++) {
          for (const each of (yield* operator.inspect).holders) processes.add(each.process)
          yield* Effect.sleep("25 millis")
        }
        assert.isTrue(processes.has(stopped.holder), "the stopped process works again")
      }).pipe(Effect.scoped),
    60_000
  )
})
