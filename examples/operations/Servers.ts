/**
 * The servers of the demo, in place of yours: JSON-RPC servers in this process, each behind a proxy that breaks its connections on
 * schedule. No other program is needed.
 */
import { Context, Effect, Layer, type Scope } from "effect"
import * as Endpoint from "effect-sluice/Endpoint"
import { FaultProxy } from "effect-sluice/Testing"
import * as Net from "node:net"
import * as Readline from "node:readline"

/** Where the servers are, and how to break them. */
export class Servers extends Context.Service<Servers, {
  readonly orders: readonly [FaultProxy.FaultProxy, FaultProxy.FaultProxy, FaultProxy.FaultProxy]
  readonly search: FaultProxy.FaultProxy
  readonly mail: FaultProxy.FaultProxy
}>()("operations/Servers") {}

/** Answers each request after as many milliseconds as the request says. */
const answer = (socket: Net.Socket): void => {
  socket.on("error", () => {})
  Readline.createInterface(socket).on("line", (line) => {
    const { id, params } = JSON.parse(line)
    setTimeout(() => {
      if (socket.writable) socket.write(`${JSON.stringify({ jsonrpc: "2.0", id, result: params.millis })}\n`)
    }, params.millis).unref()
  }).on("error", () => {})
}

const server: Effect.Effect<Endpoint.Endpoint, never, Scope.Scope> = Effect.acquireRelease(
  Effect.callback<Net.Server>((resume) => {
    const made = Net.createServer(answer).listen(0, "127.0.0.1", () => resume(Effect.succeed(made)))
  }),
  (made) => Effect.sync(() => made.close())
).pipe(Effect.map((made) => Endpoint.tcp("127.0.0.1", (made.address() as Net.AddressInfo).port)))

const broken = Effect.flatMap(server, FaultProxy.make)

/** A server that refuses connections for a time. It loses those that it has. */
const outage = (proxy: FaultProxy.FaultProxy, seconds: number) =>
  Effect.andThen(proxy.refuse, proxy.reset).pipe(
    Effect.andThen(Effect.sleep(`${seconds} seconds`)),
    Effect.andThen(proxy.accept)
  )

/** A server that accepts connections and does not answer. */
const silence = (proxy: FaultProxy.FaultProxy, seconds: number) =>
  Effect.andThen(proxy.freeze, Effect.sleep(`${seconds} seconds`)).pipe(Effect.andThen(proxy.thaw))

/** Two minutes of trouble, again and again. */
const schedule = ({ mail, orders, search }: Servers["Service"]) =>
  Effect.gen(function*() {
    yield* Effect.sleep("15 seconds")
    yield* outage(orders[1], 20)
    yield* Effect.sleep("15 seconds")
    yield* silence(search, 15)
    yield* Effect.sleep("15 seconds")
    yield* Effect.all([outage(mail, 25), Effect.andThen(Effect.sleep("10 seconds"), search.reset)], { concurrency: 2 })
    yield* Effect.sleep("15 seconds")
  }).pipe(Effect.forever)

export const layer = Layer.effect(
  Servers,
  Effect.gen(function*() {
    const [first, second, third, search, mail] = yield* Effect.all([broken, broken, broken, broken, broken])
    const servers = Servers.of({ orders: [first, second, third], search, mail })
    yield* Effect.forkScoped(schedule(servers))
    return servers
  })
)
