/**
 * An endpoint is out of order for five seconds while requests go on: an operator reads one line when that begins, and one when it ends.
 */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Layer, type Scope } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import type * as Endpoint from "effect-sluice/Endpoint"
import * as TcpConnection from "effect-sluice/TcpConnection"
import { FaultProxy } from "effect-sluice/Testing"
import type * as Net from "node:net"
import { collect, operated } from "../Operations/Program.ts"
import * as TcpServer from "../support/TcpServer.ts"

/** How long the endpoint is out of order. */
const outage = 5000

/** Each line comes at most this long after its reason, in milliseconds. */
const soon = 1000

/** What a server does with a new connection. */
type Mode = "Answer" | "End" | "Reset"

interface Target {
  readonly proxy: FaultProxy.FaultProxy
  mode: Mode
}

const serve = (mode: Mode, socket: Net.Socket): void => {
  if (mode === "End") socket.end()
  else if (mode === "Reset") socket.resetAndDestroy()
  else socket.pipe(socket)
}

const target: Effect.Effect<Target, FaultProxy.FaultProxyError, Scope.Scope> = Effect.gen(function*() {
  const self: { mode: Mode } = { mode: "Answer" }
  const server = yield* TcpServer.make((socket) => serve(self.mode, socket), { noDelay: true })
  return Object.assign(self, { proxy: yield* FaultProxy.make(server.endpoint) })
})

interface Fault {
  readonly begin: (target: Target) => Effect.Effect<unknown>
  readonly end: (target: Target) => Effect.Effect<unknown, FaultProxy.FaultProxyError>
}

const switched = (mode: Mode) => (target: Target) => Effect.sync(() => void (target.mode = mode))

const faults: Readonly<Record<string, Fault>> = {
  refuse: {
    begin: ({ proxy }) => Effect.andThen(proxy.refuse, proxy.reset),
    end: ({ proxy }) => proxy.accept
  },
  reset: {
    begin: (target) => Effect.andThen(switched("Reset")(target), target.proxy.reset),
    end: switched("Answer")
  },
  freeze: { begin: ({ proxy }) => proxy.freeze, end: ({ proxy }) => proxy.thaw },
  FIN: {
    begin: (target) => Effect.andThen(switched("End")(target), target.proxy.cut),
    end: switched("Answer")
  }
}

interface Situation {
  readonly name: string
  readonly caps: { readonly maxPerEndpoint: number; readonly maxTotal: number }
  readonly borrowers: number
  /** Whether a borrower keeps its connection for ever, also when it is dead. */
  readonly leaks: boolean
}

const situations: ReadonlyArray<Situation> = [
  { name: "free", caps: { maxPerEndpoint: 10, maxTotal: 10 }, borrowers: 4, leaks: false },
  { name: "full", caps: { maxPerEndpoint: 3, maxTotal: 3 }, borrowers: 8, leaks: false },
  { name: "leaky", caps: { maxPerEndpoint: 4, maxTotal: 4 }, borrowers: 8, leaks: true }
]

const make = (name: string, { caps }: Situation) =>
  ConnectionPool.make({
    name,
    connector: TcpConnection.connector({
      readTimeout: "200 millis",
      connectTimeout: "500 millis",
      closeTimeout: "100 millis"
    }),
    ...caps,
    acquireTimeout: "1 second",
    // A dial finds out that the server is back. By default the next one may come a little more than a second later.
    maxRedialDelay: "500 millis",
    closeTimeout: "200 millis"
  })

/** Sends requests, one after another, as long as the scope is open. */
const load = (
  pool: ConnectionPool.ConnectionPool<Endpoint.Endpoint, TcpConnection.TcpConnection>,
  endpoint: Endpoint.Endpoint
) =>
  ConnectionPool.use(pool, endpoint, (connection) => Effect.andThen(connection.write("x"), connection.read)).pipe(
    Effect.exit,
    Effect.andThen(Effect.sleep("10 millis")),
    Effect.forever,
    Effect.forkScoped
  )

const run = (name: string, fault: Fault, situation: Situation) =>
  Effect.scoped(Effect.gen(function*() {
    const server = yield* target
    const { endpoint } = server.proxy
    const pool = yield* make(name, situation)
    if (situation.leaks) {
      yield* Effect.forkScoped(ConnectionPool.use(pool, endpoint, () => Effect.never))
    }
    for (let borrower = 0; borrower < situation.borrowers; borrower++) yield* load(pool, endpoint)
    yield* Effect.sleep(1000)
    const begin = yield* Clock.currentTimeMillis
    yield* fault.begin(server)
    yield* Effect.sleep(outage)
    const end = yield* Clock.currentTimeMillis
    yield* fault.end(server)
    yield* Effect.sleep(3000)
    return { name, begin, end, endpoint: String(endpoint) }
  }))

describe.concurrent("an outage of five seconds under load", () => {
  for (const [what, fault] of Object.entries(faults)) {
    const { layer, lines } = collect()
    it.live(
      `${what}: one line when it begins and one when it ends, each within a second`,
      () =>
        Effect.gen(function*() {
          const runs = yield* Effect.forEach(
            situations,
            (situation) => run(`${what}-${situation.name}`, fault, situation),
            { concurrency: "unbounded" }
          )
          for (const { begin, end, endpoint, name } of runs) {
            const own = lines.filter(({ annotations }) => annotations["db.client.connection.pool.name"] === name)
            const shown = own.map(({ at, level, text }) => `${at - begin} ms ${level} ${text}`).join("\n")
            console.log(shown)
            assert.deepStrictEqual(own.map(({ level }) => level), ["Warn", "Info"], `${name}:\n${shown}`)
            const [down, back] = own
            assert.include(down?.text, `ConnectionPool ${name}: ${endpoint} is down`)
            assert.isBelow((down?.at ?? 0) - begin, soon, shown)
            assert.include(back?.text, `ConnectionPool ${name}: ${endpoint} is back after`)
            assert.isBelow((back?.at ?? 0) - end, soon, shown)
            assert.isAtLeast((back?.at ?? 0) - end, 0, shown)
          }
        }).pipe(Effect.provide(Layer.provideMerge(operated(), layer))),
      40_000
    )
  }
})
