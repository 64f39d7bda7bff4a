/**
 * The contract of all clients, each directly and through a proxy that breaks connections, against real servers. An adapter says how to
 * open a client and what the server counts; the cases are the same for all.
 */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Duration, Effect, Exit, Fiber, Layer, Option, Scope } from "effect"
import * as Endpoint from "effect-sluice/Endpoint"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import { FaultProxy, LeakCheck } from "effect-sluice/Testing"
import * as Fs from "node:fs"
import { describeWith } from "../support/LiveServers.ts"
import { needs } from "../support/Servers.ts"
import * as TcpServer from "../support/TcpServer.ts"
import { type Adapter, Failed, type Opened, type OpenOptions, type TestServer, type Within } from "./Adapter.ts"

const cap = 3

let labels = 0
/** It is also the name of a database. */
const newLabel = () => `sluice_contract_${process.pid}_${++labels}`

/** Sockets of this process that are connected, or connecting, to a port. */
const socketsTo = (port: number): number => {
  const own = new Set(
    Fs.readdirSync("/proc/self/fd").map((fd) => {
      try {
        return Fs.readlinkSync(`/proc/self/fd/${fd}`)
      } catch {
        return ""
      }
    })
  )
  const table = Fs.readFileSync("/proc/net/tcp", "utf8").split("\n").slice(1).map((line) => line.trim().split(/\s+/))
  return table.filter((fields) => {
    const [, , remote = ""] = fields
    return Number.parseInt(remote.split(":")[1] ?? "", 16) === port && own.has(`socket:[${fields[9]}]`)
  }).length
}

/** Waits until a condition holds, at most for so long, and says whether it does. */
const eventually = (condition: Effect.Effect<boolean>, within: Duration.Input = "3 seconds") =>
  Effect.gen(function*() {
    const end = performance.now() + Duration.toMillis(within)
    while (!(yield* condition)) {
      if (performance.now() > end) return false
      yield* Effect.sleep("5 millis")
    }
    return true
  })

/** The sockets to a port as soon as their number stays the same: the test before may still be closing some. */
const settledSockets = (port: number) =>
  Effect.gen(function*() {
    let before: number
    let now = socketsTo(port)
    do {
      before = now
      yield* Effect.sleep("50 millis")
      now = socketsTo(port)
    } while (now !== before)
    return now
  })

interface World {
  readonly server: TestServer
  readonly proxy: FaultProxy.FaultProxy | undefined
  readonly label: string
  readonly client: Opened
  /** Ends the scope of the client. */
  readonly close: Effect.Effect<void>
  readonly sessions: Effect.Effect<number>
}

type Via = "directly" | "through a proxy"

const usual = { connectTimeout: "2 seconds", acquireTimeout: "10 seconds", drainTimeout: "200 millis", cap } as const

const fork = Effect.forkChild({ startImmediately: true })

/** Opens a client of a server, runs the case, ends the client, and looks for what is left of it. */
const inWorld = <A, E>(
  adapter: Adapter,
  via: Via,
  server: TestServer,
  run: (world: World) => Effect.Effect<A, E, Scope.Scope | ResourceMonitor.ResourceMonitor>,
  options: Partial<OpenOptions> = {}
) =>
  Effect.gen(function*() {
    const label = newLabel()
    yield* server.prepare(label)
    const proxy = via === "directly" ? undefined : yield* FaultProxy.make(Endpoint.tcp("127.0.0.1", server.port))
    const port = proxy?.endpoint.port ?? server.port
    const before = yield* settledSockets(port)
    const scope = yield* Scope.make()
    const client = yield* Scope.provide(adapter.open({ ...usual, port, label, ...options }), scope)
    const sessions = server.sessions(label)
    yield* run({ server, proxy, label, client, close: Scope.close(scope, Exit.void), sessions })
    yield* Scope.close(scope, Exit.void)
    assert.isTrue(yield* eventually(Effect.map(sessions, (count) => count === 0)), "the server has sessions left")
    assert.isTrue(yield* eventually(Effect.sync(() => socketsTo(port) <= before)), "this process has sockets left")
  })

/** So many requests at once, and how many of them have failed. */
const failuresOf = (request: Effect.Effect<unknown, Failed>, count: number) =>
  Effect.map(
    Effect.all(Array.from({ length: count }, () => Effect.exit(request)), { concurrency: "unbounded" }),
    (exits) => exits.filter(Exit.isFailure).length
  )

const fill = ({ client }: World) => failuresOf(client.slow("60 millis"), cap)

/** Makes requests in a loop by so many fibers until the scope ends. */
const load = (client: Opened, count: number) =>
  Effect.gen(function*() {
    const fibers = Array.from({ length: count }, () => ({ succeededAt: -1, since: -1 }))
    const failures: Array<number> = []
    for (const fiber of fibers) {
      yield* Effect.forkScoped(Effect.forever(Effect.gen(function*() {
        fiber.since = performance.now()
        const exit = yield* Effect.exit(client.request)
        if (Exit.isSuccess(exit)) fiber.succeededAt = fiber.since
        else failures.push(performance.now())
        yield* Effect.sleep("2 millis")
      })))
    }
    return {
      failures,
      /** Whether every fiber has made a request since then that has succeeded. */
      isWhole: (since: number) => fibers.every(({ succeededAt }) => succeededAt >= since)
    }
  })

type Leave = (world: World, within: Within) => Effect.Effect<void>

/** Enters the middle, and stays there. */
const staying = (within: Within) =>
  Effect.gen(function*() {
    const entered = yield* Deferred.make<void>()
    const stay = Effect.andThen(Deferred.succeed(entered, undefined), Effect.never)
    const fiber = yield* fork(Effect.exit(within(stay)))
    yield* Deferred.await(entered)
    return fiber
  })

const leavingWith =
  (body: Effect.Effect<void, Failed>, isRight: (exit: Exit.Exit<unknown, Failed>) => boolean): Leave => (_, within) =>
    Effect.gen(function*() {
      const exit = yield* Effect.exit(within(body))
      assert.isTrue(isRight(exit), String(exit))
    })

/** The ways out of the middle of something. */
const ways: Readonly<Record<string, Leave>> = {
  "success": leavingWith(Effect.void, Exit.isSuccess),
  "failure": leavingWith(Effect.fail(new Failed({ cause: "on purpose" })), Exit.hasFails),
  "a defect": leavingWith(Effect.die("on purpose"), Exit.hasDies),
  "interruption": (_, within) => Effect.flatMap(staying(within), Fiber.interrupt),
  "the end of the scope": ({ close, sessions }, within) =>
    Effect.gen(function*() {
      const fiber = yield* staying(within)
      yield* close
      assert.isTrue(yield* eventually(Effect.map(sessions, (count) => count === 0)), "a session has outlived the scope")
      yield* Fiber.interrupt(fiber)
    })
}

const cases = (adapter: Adapter, via: Via) => {
  type Case = (world: World) => Effect.Effect<void, Failed, Scope.Scope | ResourceMonitor.ResourceMonitor>

  const test = (name: string, run: Case, options: Partial<OpenOptions> = {}) =>
    it.live(name, () =>
      Effect.flatMap(adapter.server, (server) => inWorld(adapter, via, server, run, options)).pipe(
        Effect.scoped,
        Effect.provide(Layer.fresh(ResourceMonitor.layer))
      ))

  const besides = adapter.besides ?? 0

  test("opens a connection on the first request, and uses it again", ({ client, sessions }) =>
    Effect.gen(function*() {
      assert.strictEqual(yield* sessions, 0)
      const ids = new Set<number>()
      for (let request = 0; request < 20; request++) ids.add(yield* client.request)
      assert.strictEqual(ids.size, 1)
      assert.deepInclude(yield* client.stats, { opened: 1 })
      assert.strictEqual(yield* sessions, 1)
    }))

  test("never has more connections than the cap, as the server counts them", ({ client, sessions }) =>
    Effect.gen(function*() {
      let peak = 0
      const watching = yield* fork(Effect.forever(Effect.map(sessions, (count) => peak = Math.max(peak, count))))
      assert.strictEqual(yield* failuresOf(client.slow("20 millis"), 40), 0)
      yield* Fiber.interrupt(watching)
      assert.isAtMost(peak, cap + besides)
      assert.isAtLeast(peak, 1)
    }))

  test("leases none whose session the server has ended", (world) =>
    Effect.gen(function*() {
      const { client, label, server } = world
      assert.strictEqual(yield* fill(world), 0)
      yield* server.terminate(label)
      yield* Effect.sleep("100 millis")
      assert.strictEqual(yield* failuresOf(client.request, 20), 0)
    }))

  test("finishes on a drain what is under way, and refuses the rest", (world) =>
    Effect.gen(function*() {
      const { client, sessions } = world
      // These open the connections, so that the next ones are soon under way.
      assert.strictEqual(yield* fill(world), 0)
      const running = yield* fork(failuresOf(client.slow("300 millis"), cap))
      const isUnderWay = Effect.map(client.stats, ({ active, waiting }) => active > 0 && waiting === 0)
      assert.isTrue(yield* eventually(isUnderWay))
      yield* client.drain("5 seconds")
      assert.strictEqual(yield* Fiber.join(running), 0)
      assert.isTrue(Exit.isFailure(yield* Effect.exit(client.request)))
      assert.deepInclude(yield* client.stats, { total: 0, leftBehind: 0 })
      assert.isTrue(yield* eventually(Effect.map(sessions, (count) => count === 0)))
    }))

  it.live("shows a leak check the lease that is left open", () =>
    Effect.gen(function*() {
      const server = yield* adapter.server
      const careless = inWorld(
        adapter,
        via,
        server,
        ({ client }) => Effect.provideService(client.lease, Scope.Scope, Scope.makeUnsafe()),
        { drainTimeout: 0 }
      )
      const error = yield* Effect.flip(LeakCheck.check(careless, { within: "50 millis" }))
      assert.include(String(error), "a lease of ")
      assert.include(String(error), "was left open")
    }).pipe(Effect.scoped, Effect.provide(Layer.fresh(ResourceMonitor.layer))))

  it.live("leaves no socket at a server that accepts and says nothing", () =>
    Effect.gen(function*() {
      const hole = yield* TcpServer.make((socket) => void socket.pause(), { allowHalfOpen: true, pauseOnConnect: true })
      const proxy = via === "directly" ? undefined : yield* FaultProxy.make(hole.endpoint)
      yield* proxy?.freeze ?? Effect.void
      const { port } = proxy?.endpoint ?? hole.endpoint
      const scope = yield* Scope.make()
      const times = { connectTimeout: "100 millis", acquireTimeout: "30 seconds" } as const
      const client = yield* Scope.provide(adapter.open({ ...usual, ...times, port, label: newLabel() }), scope)
      const borrowers = yield* fork(failuresOf(client.request, cap))
      const dials = () => proxy === undefined ? Effect.succeed(hole.account.opened) : proxy.accepted
      assert.isTrue(yield* eventually(Effect.map(Effect.suspend(dials), (count) => count >= 2), "10 seconds"))
      yield* Scope.close(scope, Exit.void)
      yield* Effect.sleep("300 millis")
      assert.strictEqual(socketsTo(port), 0)
      assert.strictEqual(yield* Fiber.join(borrowers), cap)
    }).pipe(Effect.scoped, Effect.provide(Layer.fresh(ResourceMonitor.layer))))

  if (via === "through a proxy") {
    test("leases none that was reset", (world) =>
      Effect.gen(function*() {
        const { client, proxy } = world
        assert.strictEqual(yield* fill(world), 0)
        yield* proxy?.reset ?? Effect.void
        yield* Effect.sleep("100 millis")
        assert.strictEqual(yield* failuresOf(client.request, 20), 0)
      }))

    test("fails only what was under way when all connections are reset", ({ client, proxy }) =>
      Effect.scoped(Effect.gen(function*() {
        const fibers = 10
        const { failures, isWhole } = yield* load(client, fibers)
        yield* Effect.sleep("150 millis")
        yield* proxy?.reset ?? Effect.void
        const resetAt = performance.now()
        assert.isTrue(yield* eventually(Effect.sync(() => isWhole(resetAt + 200))))
        assert.isAtMost(failures.length, adapter.isShared === true ? fibers : cap)
      })))

    test("gives a request to a silent server up in time, and goes on when it answers again", ({ client, proxy }) =>
      Effect.gen(function*() {
        yield* client.request
        yield* proxy?.freeze ?? Effect.void
        const start = performance.now()
        assert.isTrue(Option.isNone(yield* Effect.timeoutOption(Effect.exit(client.request), "200 millis")))
        assert.isBelow(performance.now() - start, 3000)
        yield* proxy?.thaw ?? Effect.void
        assert.strictEqual(yield* failuresOf(client.request, 10), 0)
      }))
  }
}

const exits = (adapter: Adapter, via: Via, middles: ReadonlyArray<string>) => {
  for (const middle of middles) {
    for (const [way, leave] of Object.entries(ways)) {
      it.live(`leaves nothing in the middle of ${middle} by ${way}`, () =>
        Effect.flatMap(adapter.server, (server) =>
          inWorld(adapter, via, server, (world) =>
            Effect.gen(function*() {
              const { client, label } = world
              const within = client.middles[middle]
              if (within === undefined) return
              yield* leave(world, within)
              if (way === "the end of the scope") return
              assert.isTrue(
                yield* eventually(Effect.map(server.transactions(label), (count) => count === 0)),
                "a transaction was left open"
              )
              assert.strictEqual(yield* failuresOf(client.request, 5), 0)
              assert.deepInclude(yield* client.stats, { active: 0 })
            }))).pipe(Effect.scoped, Effect.provide(Layer.fresh(ResourceMonitor.layer))))
    }
  }
}

const restarts = (adapter: Adapter) => {
  needs(...adapter.commands)(
    "is whole within two seconds of a restart under load, and leaves nothing",
    () =>
      Effect.gen(function*() {
        const server = yield* adapter.ownServer
        for (const via of ["directly", "through a proxy"] as const) {
          yield* inWorld(adapter, via, server, ({ client }) =>
            Effect.scoped(Effect.gen(function*() {
              const { failures, isWhole } = yield* load(client, 20)
              yield* Effect.sleep("300 millis")
              assert.lengthOf(failures, 0)
              yield* server.restart
              const acceptsAt = performance.now()
              const isInService = eventually(Effect.sync(() => isWhole(acceptsAt)), "2 seconds")
              assert.isTrue(yield* isInService, `whole, ${via}`)
              const wholeAt = performance.now()
              yield* Effect.sleep("300 millis")
              assert.lengthOf(failures.filter((at) => at > wholeAt), 0)
            })))
        }
      }).pipe(Effect.scoped, Effect.provide(Layer.fresh(ResourceMonitor.layer))),
    60_000
  )
}

/** Holds a client to the contract. `middles` are the names of what it can be in the middle of. */
export const contract = async (adapter: Adapter, middles: ReadonlyArray<string>): Promise<void> => {
  const described = adapter.needs.length === 0 ? describe : await describeWith(...adapter.needs)
  for (const via of ["directly", "through a proxy"] as const) {
    described(`${adapter.name}, ${via}`, () => {
      cases(adapter, via)
      exits(adapter, via, middles)
    })
  }
  describe(`${adapter.name}, with a server of its own`, () => restarts(adapter))
}
