/**
 * RabbitMQ over a pool: connections are shared, and each borrow has a channel of its own.
 *
 * Run it with `node examples/amqp.ts` after `npm run build`. It needs `npm install amqplib`, and a RabbitMQ server on 127.0.0.1:5672 or
 * the one of `AMQP_URL`.
 */
import { type Channel, type ChannelModel, connect } from "amqplib"
import { Console, Data, Effect, type Scope } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Connector from "effect-sluice/Connector"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"

class AmqpError extends Data.TaggedError("AmqpError")<{ readonly cause: unknown }> {}

const call = <A>(f: () => PromiseLike<A>) =>
  Effect.tryPromise({ try: () => Promise.resolve(f()), catch: (cause) => new AmqpError({ cause }) })

/** A dial of amqplib is a promise, which cannot be cancelled, but the signal of its socket can be aborted. */
class Client {
  readonly socket = new AbortController()
  model: ChannelModel | undefined

  async connect(url: string): Promise<void> {
    // Options of a socket reach Node as they are; the types of amqplib have not all of them.
    const options: object = { signal: this.socket.signal }
    this.model = await connect(url, options)
    // A connection that breaks says so by `error`, one that ends by `close`.
    for (const event of ["error", "close"]) this.model.once(event, () => this.socket.abort())
  }

  get channel(): Effect.Effect<Channel, AmqpError, Scope.Scope> {
    const { model } = this
    const created = call(() => model?.createChannel() ?? Promise.reject(new Error("not connected")))
    return Effect.acquireRelease(created, (channel) => Effect.ignore(call(() => channel.close())))
  }
}

const connector = Connector.fromPromise({
  create: (_url: string) => new Client(),
  connect: (client, url) => client.connect(url),
  close: ({ model }) => model?.close(),
  destroy: ({ socket }) => socket.abort(),
  closed: ({ socket }, onClosed) => socket.signal.addEventListener("abort", onClosed),
  // Nothing is left on a connection by a borrow whose channel is closed.
  reuseAfterInterruption: true
})

const { AMQP_URL: url = "amqp://guest:guest@127.0.0.1:5672" } = process.env

const echo = (client: Client, text: string) =>
  Effect.scoped(Effect.gen(function*() {
    const channel = yield* client.channel
    const { queue } = yield* call(() => channel.assertQueue("", { exclusive: true }))
    channel.sendToQueue(queue, Buffer.from(text))
    const message = yield* call(() => channel.get(queue, { noAck: true }))
    return message === false ? "nothing" : message.content.toString()
  }))

const program = Effect.gen(function*() {
  const pool = yield* ConnectionPool.make({
    connector,
    concurrency: 100,
    connectTimeout: "1 second",
    acquireTimeout: "2 seconds"
  })
  const texts = Array.from({ length: 50 }, (_, index) => `message ${index}`)
  const one = (text: string) => ConnectionPool.use(pool, url, (client) => echo(client, text))
  const answers = yield* Effect.forEach(texts, one, { concurrency: "unbounded" })
  const right = answers.filter((answer, index) => answer === texts[index]).length
  const { opened } = yield* ConnectionPool.stats(pool)
  yield* Console.log(`${right} of ${texts.length} messages came back, over ${opened} connections`)
}).pipe(
  Effect.scoped,
  // Without a server there is nothing to show.
  Effect.catchTag("PoolError", ({ message }) => Console.log(`skipped: ${message}`))
)

await Effect.runPromise(Effect.provide(program, ResourceMonitor.layer))
