/**
 * NATS over a pool: requests of all fibers share one connection, which pairs answers with requests by itself.
 *
 * Run it with `node examples/nats.ts` after `npm run build`. It needs `npm install @nats-io/transport-node`, and a NATS server on
 * 127.0.0.1:4222 or the one of `NATS_SERVER`.
 */
import { connect, type NatsConnection } from "@nats-io/transport-node"
import { Console, Data, Effect } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Connector from "effect-sluice/Connector"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import { AsyncLocalStorage } from "node:async_hooks"
import { subscribe } from "node:diagnostics_channel"
import { Socket } from "node:net"

class NatsError extends Data.TaggedError("NatsError")<{ readonly cause: unknown }> {}

/** A dial of this client cannot be cancelled, and one that it gives up keeps its socket. Node says which sockets a dial has opened. */
const dialing = new AsyncLocalStorage<Client>()

subscribe("net.client.socket", (message) => {
  if (message instanceof Object && "socket" in message && message.socket instanceof Socket) {
    dialing.getStore()?.sockets.push(message.socket)
  }
})

class Client {
  readonly sockets: Array<Socket> = []
  connection: NatsConnection | undefined

  async connect(servers: string): Promise<void> {
    this.connection = await dialing.run(this, () => connect({ servers, reconnect: false }))
  }

  destroy(): void {
    for (const socket of this.sockets) socket.destroy()
  }

  get live(): NatsConnection {
    if (this.connection === undefined) throw new Error("not connected")
    return this.connection
  }
}

const connector = Connector.fromPromise({
  create: (_server: string) => new Client(),
  connect: (client, server) => client.connect(server),
  close: ({ live }) => live.drain(),
  destroy: (client) => client.destroy(),
  check: ({ live }) => live.flush(),
  isReusable: ({ live }) => !live.isClosed(),
  reuseAfterInterruption: true
})

const { NATS_SERVER: server = "127.0.0.1:4222" } = process.env

const program = Effect.gen(function*() {
  const pool = yield* ConnectionPool.make({
    connector: { ...connector, closed: ({ live }) => Effect.promise(() => live.closed()) },
    concurrency: Infinity,
    connectTimeout: "1 second",
    acquireTimeout: "2 seconds"
  })
  const subject = `sluice.example.${process.pid}`
  // A subscriber holds its connection for as long as it lives.
  const { live } = yield* ConnectionPool.get(pool, server, { standing: true })
  live.subscribe(subject, { callback: (_, message) => void message.respond(message.data) })
  const ask = (text: string) =>
    ConnectionPool.use(pool, server, (client) =>
      Effect.tryPromise({
        try: () => client.live.request(subject, text, { timeout: 1000 }),
        catch: (cause) => new NatsError({ cause })
      }))
  const texts = Array.from({ length: 50 }, (_, index) => `message ${index}`)
  const answers = yield* Effect.forEach(texts, ask, { concurrency: "unbounded" })
  const right = answers.filter((answer, index) => answer.string() === texts[index]).length
  const { opened } = yield* ConnectionPool.stats(pool)
  yield* Console.log(`${right} of ${texts.length} requests were answered, over ${opened} connection`)
}).pipe(
  Effect.scoped,
  // Without a server there is nothing to show.
  Effect.catchTag("PoolError", ({ message }) => Console.log(`skipped: ${message}`))
)

await Effect.runPromise(Effect.provide(program, ResourceMonitor.layer))
