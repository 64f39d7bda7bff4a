/**
 * A hundred fibers over ten endpoints whose network delays, freezes, cuts, resets and refuses, while borrows end in every way
 * there is: each answer carries its question, so that one that reaches another borrower is seen. Half of the endpoints speak
 * lines over `TcpConnection`, half JSON-RPC with several requests on one connection.
 *
 * It runs for two minutes, or for as many seconds as SOAK_SECONDS says. What is drawn at random comes from SOAK_SEED.
 */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Data, Effect, Fiber, Option } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import type * as Endpoint from "effect-sluice/Endpoint"
import * as JsonRpcClient from "effect-sluice/JsonRpcClient"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import * as RetryPolicy from "effect-sluice/RetryPolicy"
import * as TcpConnection from "effect-sluice/TcpConnection"
import { FaultProxy } from "effect-sluice/Testing"
import type * as Net from "node:net"
import * as Readline from "node:readline"
import { countSockets } from "../support/descriptors.ts"
import { seeded } from "../support/random.ts"
import * as TcpServer from "../support/TcpServer.ts"

const seconds = Number(process.env["SOAK_SECONDS"] ?? 120)
const seed = Number(process.env["SOAK_SEED"] ?? 12)
const endpointsOfKind = 5
const fibers = 100
const maxPerEndpoint = 4

class GaveUp extends Data.TaggedError("GaveUp") {}

type Random = () => number

const pick = <A>(random: Random, choices: ReadonlyArray<A>): A => {
  const choice = choices[Math.floor(random() * choices.length)]
  if (choice === undefined) throw new Error("there is nothing to pick from")
  return choice
}

const between = (random: Random, least: number, most: number): number => least + random() * (most - least)

/** Answers each line after a moment, in the order of the questions; now and then it ends the connection together with an answer. */
const answering = (random: Random, answer: (line: string) => string) => (socket: Net.Socket): void => {
  let queue = Promise.resolve()
  Readline.createInterface({ input: socket }).on("error", () => {}).on("line", (line) => {
    const delay = random() < 0.1 ? between(random, 30, 80) : between(random, 0, 5)
    const ends = random() < 0.02
    queue = queue.then(() => new Promise((resolve) => setTimeout(resolve, delay))).then(() => {
      if (!socket.writable) return
      if (ends) socket.end(answer(line))
      else socket.write(answer(line))
    })
  })
}

const jsonAnswer = (line: string): string => {
  const { id, params } = JSON.parse(line)
  return id === undefined ? "" : `${JSON.stringify({ jsonrpc: "2.0", id, result: params })}\n`
}

/** One fault after another, for as long as the fiber lives. */
const troubles = (proxy: FaultProxy.FaultProxy, random: Random) =>
  Effect.forever(Effect.suspend(() => {
    const pause = Effect.sleep(between(random, 50, 400))
    const lasting = Effect.sleep(between(random, 20, 300))
    const fault = pick(random, [
      Effect.andThen(Effect.andThen(proxy.freeze, lasting), proxy.thaw),
      Effect.andThen(Effect.andThen(proxy.delay(between(random, 1, 60)), lasting), proxy.delay(0)),
      proxy.cut,
      proxy.reset,
      Effect.andThen(proxy.cut, proxy.reset),
      Effect.andThen(Effect.andThen(proxy.refuse, lasting), Effect.orDie(proxy.accept))
    ])
    return Effect.andThen(pause, fault)
  })).pipe(Effect.ensuring(proxy.thaw))

interface Tally {
  right: number
  wrong: number
  failed: number
  gaveUp: number
  deadWhenLeased: number
}

/** Whether an effect such as `dead` has completed by now. */
const isDone = (effect: Effect.Effect<void>): boolean => {
  const fiber = Effect.runFork(effect)
  const done = fiber.pollUnsafe() !== undefined
  fiber.interruptUnsafe()
  return done
}

/** All ways of giving up that are at hand inside of a borrow. */
const givingUp = <A, E>(random: Random, asking: Effect.Effect<A, E>): Effect.Effect<Option.Option<A>, E | GaveUp> => {
  const time = between(random, 1, 40)
  const late = Effect.andThen(Effect.sleep(time), Effect.fail(new GaveUp()))
  return pick<() => Effect.Effect<Option.Option<A>, E | GaveUp>>(random, [
    () => Effect.asSome(asking),
    () => Effect.asSome(asking),
    () => Effect.timeoutOption(asking, time),
    () => Effect.asSome(Effect.timeoutOrElse(asking, { duration: time, orElse: () => Effect.fail(new GaveUp()) })),
    () => Effect.catchTag(Effect.asSome(Effect.timeout(asking, time)), "TimeoutError", () => Effect.succeedNone),
    // A race that is lost is one of the ways of giving up.
    // oxlint-disable-next-line effecttsgo/race-first-with-sleep-to-timeout
    () => Effect.raceFirst(Effect.asSome(asking), Effect.as(Effect.sleep(time), Option.none())),
    () => Effect.map(Effect.all([asking, late], { concurrency: 2 }), ([answer]) => Option.some(answer)),
    () => Effect.catchTag(Effect.asSome(Effect.raceFirst(asking, late)), "GaveUp", () => Effect.succeedNone)
  ])()
}

type AskError = TcpConnection.TcpConnectionError | JsonRpcClient.JsonRpcError | GaveUp

/** Asks one question on a connection of its own kind. */
interface Kind<A> {
  readonly pool: ConnectionPool.ConnectionPool<Endpoint.Endpoint, A>
  readonly isDead: (connection: A) => boolean
  readonly ask: (connection: A, question: string, random: Random) => Effect.Effect<string, AskError>
}

const decoder = new TextDecoder()

/** A line, and the answer to it; now and then it gives up between the two by an error of its own. */
const askLine: Kind<TcpConnection.TcpConnection>["ask"] = (connection, question, random) =>
  Effect.gen(function*() {
    yield* connection.write(`${question}\n`)
    if (random() < 0.03) return yield* new GaveUp()
    let text = ""
    while (!text.endsWith("\n")) text += decoder.decode(yield* connection.read)
    return text.slice("answer to ".length, -1)
  })

const askRpc: Kind<JsonRpcClient.JsonRpcClient>["ask"] = (client, question, random) =>
  client.request("echo", { question }, { timeout: between(random, 20, 400) }).pipe(
    Effect.map((result) => (result as { readonly question: string }).question)
  )

const borrow = <A>(kind: Kind<A>, endpoint: Endpoint.Endpoint, question: string, random: Random, tally: Tally) => {
  const body = (connection: A) => {
    if (kind.isDead(connection)) tally.deadWhenLeased++
    return givingUp(random, kind.ask(connection, question, random))
  }
  const used = random() < 0.8
    ? ConnectionPool.use(kind.pool, endpoint, body)
    : Effect.scoped(Effect.flatMap(ConnectionPool.get(kind.pool, endpoint), body))
  const outer = random() < 0.2 ? Effect.timeout(used, between(random, 1, 100)) : used
  return Effect.match(outer, {
    onFailure: () => void tally.failed++,
    onSuccess: (answer) => {
      if (Option.isNone(answer)) tally.gaveUp++
      else if (answer.value === question) tally.right++
      else tally.wrong++
    }
  })
}

const options = {
  maxPerEndpoint,
  maxTotal: 12,
  acquireTimeout: "2 seconds",
  connectTimeout: "500 millis",
  closeTimeout: "100 millis",
  maxLifetime: "10 seconds",
  leakThreshold: "30 seconds",
  retry: RetryPolicy.make({ maxAttempts: 20, initialDelay: 5, maxDelay: 100 })
} as const

describe("soak", () => {
  it.live(
    "no answer reaches another borrower, no dead connection is leased, and everything is closed",
    () =>
      Effect.gen(function*() {
        const random = seeded(seed)
        const tally: Tally = { right: 0, wrong: 0, failed: 0, gaveUp: 0, deadWhenLeased: 0 }
        const before = countSockets()
        const servers: Array<TcpServer.TcpServer> = []
        const proxyOf = (answer: (line: string) => string) =>
          Effect.gen(function*() {
            const server = yield* TcpServer.make(answering(random, answer), { allowHalfOpen: false })
            servers.push(server)
            const proxy = yield* FaultProxy.make(server.endpoint)
            yield* Effect.forkScoped(troubles(proxy, random))
            return proxy.endpoint
          })
        const soaking = Effect.gen(function*() {
          const lines = yield* Effect.replicateEffect(proxyOf((line) => `answer to ${line}\n`), endpointsOfKind)
          const rpcs = yield* Effect.replicateEffect(proxyOf(jsonAnswer), endpointsOfKind)
          const tcp: Kind<TcpConnection.TcpConnection> = {
            pool: yield* ConnectionPool.make({ ...options, connector: TcpConnection.connector() }),
            isDead: ({ dead }) => isDone(dead),
            ask: askLine
          }
          const rpc: Kind<JsonRpcClient.JsonRpcClient> = {
            pool: yield* ConnectionPool.make({ ...options, connector: JsonRpcClient.connector(), concurrency: 4 }),
            isDead: ({ dead }) => isDone(dead),
            ask: askRpc
          }
          const until = (yield* Clock.currentTimeMillis) + seconds * 1000
          const borrower = (number: number) =>
            Effect.gen(function*() {
              for (let turn = 0; (yield* Clock.currentTimeMillis) < until; turn++) {
                const question = `${number}-${turn}`
                yield* number % 2 === 0
                  ? borrow(tcp, pick(random, lines), question, random, tally)
                  : borrow(rpc, pick(random, rpcs), question, random, tally)
                if (random() < 0.1) yield* Effect.sleep(between(random, 0, 50))
              }
            })
          // Some borrowers are interrupted from outside, and begin anew.
          const restless = (number: number) =>
            Effect.gen(function*() {
              while ((yield* Clock.currentTimeMillis) < until) {
                const fiber = yield* Effect.forkChild(borrower(number))
                yield* Effect.sleep(between(random, 5, 200))
                yield* Fiber.interrupt(fiber)
              }
            })
          yield* Effect.forEach(
            Array.from({ length: fibers }, (_, number) => number),
            (number) => number % 10 < 8 ? borrower(number) : restless(number),
            { concurrency: "unbounded", discard: true }
          )
          const stats = [yield* ConnectionPool.stats(tcp.pool), yield* ConnectionPool.stats(rpc.pool)]
          for (const { active, waiting } of stats) assert.deepStrictEqual([active, waiting], [0, 0])
        })
        yield* Effect.scoped(soaking)
        yield* TcpServer.eventually(() =>
          servers.every(({ sockets }) => sockets.size === 0) && countSockets() <= before
        )
        process.stderr.write(`soak: ${JSON.stringify({ seed, seconds, ...tally })}\n`)
        assert.deepInclude(tally, { wrong: 0, deadWhenLeased: 0 })
        // There is something to count. Borrowers give up after 1 to 40 ms, so that a busy machine answers a thirtieth of what a free one does.
        assert.isAbove(tally.right, 10 * seconds)
        assert.isAbove(tally.gaveUp, seconds)
        for (const { account, sockets } of servers) {
          assert.strictEqual(sockets.size, 0)
          assert.isAtLeast(account.opened, 2)
        }
        assert.isAtMost(countSockets(), before)
      }).pipe(Effect.provide(ResourceMonitor.layer)),
    { timeout: (seconds + 60) * 1000, retry: 0 }
  )
})
