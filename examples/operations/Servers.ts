/**
 * The servers of the demo, in place of yours: JSON-RPC servers in this process, each behind a proxy that breaks its connections on
 * schedule. No other program is needed.
 */
import { Context, Effect, Layer, type Scope } from "effect"
import * as Endpoint from "effect-sluice/Endpoint"
import { FaultProxy } from "effect-sluice/Testing"
import * as Net from "node:net"
import * as Readline from "node:readline"

/** Where the servers are. */
export class Servers extends Context.Service<Servers, {
  readonly orders: readonly [Endpoint.Endpoint, Endpoint.Endpoint, Endpoint.Endpoint]
  readonly search: Endpoint.Endpoint
  readonly mail: Endpoint.Endpoint
}>()("operations/Servers") {}

/** All names of servers are names of this machine. */
export const lookup: Net.LookupFunction = (_name, _options, done) => done(null, [{ address: "127.0.0.1", family: 4 }])

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

/** A server behind a proxy, under a name. */
const named = (name: string) =>
  Effect.map(Effect.flatMap(server, FaultProxy.make), (proxy) => ({
    proxy,
    endpoint: Endpoint.tcp(name, proxy.endpoint.port)
  }))

/** A server that refuses connections for a time. It loses those that it has. */
const outage = (proxy: FaultProxy.FaultProxy, seconds: number) =>
  Effect.andThen(proxy.refuse, proxy.reset).pipe(
    Effect.andThen(Effect.sleep(`${seconds} seconds`)),
    Effect.andThen(proxy.accept)
  )

/** A server that accepts connections and does not answer. */
const silence = (proxy: FaultProxy.FaultProxy, seconds: number) =>
  Effect.andThen(proxy.freeze, Effect.sleep(`${seconds} seconds`)).pipe(Effect.andThen(proxy.thaw))

interface Proxies {
  readonly orders: FaultProxy.FaultProxy
  readonly search: FaultProxy.FaultProxy
  readonly mail: FaultProxy.FaultProxy
}

/** Two minutes of trouble, again and again. */
const schedule = ({ mail, orders, search }: Proxies) =>
  Effect.gen(function*() {
    yield* Effect.sleep("15 seconds")
    yield* outage(orders, 20)
    yield* Effect.sleep("15 seconds")
    yield* silence(search, 15)
    yield* Effect.sleep("15 seconds")
    yield* Effect.all([outage(mail, 25), Effect.andThen(Effect.sleep("10 seconds"), search.reset)], { concurrency: 2 })
    yield* Effect.sleep("15 seconds")
  }).pipe(Effect.forever)

export const layer = Layer.effect(
  Servers,
  Effect.gen(function*() {
    const [first, second, third] = yield* Effect.all([named("orders-1"), named("orders-2"), named("orders-3")])
    const [search, mail] = yield* Effect.all([named("search"), named("mail")])
    yield* Effect.forkScoped(schedule({ orders: second.proxy, search: search.proxy, mail: mail.proxy }))
    return Servers.of({
      orders: [first.endpoint, second.endpoint, third.endpoint],
      search: search.endpoint,
      mail: mail.endpoint
    })
  })
)
