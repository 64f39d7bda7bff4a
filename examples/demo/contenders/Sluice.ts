/**
 * A pool of this library, with its retry policy and the monitor's gate.
 */
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Connector from "effect-sluice/Connector"
import * as Endpoint from "effect-sluice/Endpoint"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import * as RetryPolicy from "effect-sluice/RetryPolicy"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as ManagedRuntime from "effect/ManagedRuntime"
import { Client, mostHeld } from "./Client.ts"
import type { Contender, Setting } from "./Contender.ts"
import type { Limits } from "./Limits.ts"

const poolOptions = ({ acquireTimeout, checkAfterIdle, connections, connectTimeout }: Limits) => ({
  maxConnections: connections,
  connectTimeout,
  acquireTimeout,
  checkAfterIdle
})

/** The retries of a dial. One is made at a time for all requests, until each of them has got its connection or has given up. */
export const dialOptions = ({ initialDelay }: Limits) => ({
  initialDelay,
  maxDelay: initialDelay * 4,
  jitter: "full" as const,
  maxAttempts: Infinity
})

/** The retries of a request. */
export const retryOptions = ({ attempts, deadline, initialDelay, maxDelay }: Limits) => ({
  initialDelay,
  maxDelay,
  factor: 2,
  jitter: "full" as const,
  maxAttempts: attempts,
  deadline,
  // A request that was cut off may have been executed, and only the caller knows that this may happen twice.
  idempotent: true,
  // A request opens no descriptor: the pool reserves room for each dial.
  descriptors: 0
})

/** Options as texts for the report. */
export const texts = (prefix: string, options: object): Readonly<Record<string, string>> =>
  Object.fromEntries(Object.entries(options).map(([name, value]) => [prefix + name, String(value)]))

/** The options of the retries for the report. */
export const retryTexts = (limits: Limits): Readonly<Record<string, string>> =>
  texts("RetryPolicy ", retryOptions(limits))

export const optionsOf = (limits: Limits): Readonly<Record<string, string>> => ({
  ...texts("", poolOptions(limits)),
  ...texts("retry ", dialOptions(limits)),
  check: "a request is answered",
  requestTimeout: `${limits.requestTimeout} ms; a connection that has failed is closed`,
  ...retryTexts(limits)
})

const connectorOf = ({ connectTimeout, requestTimeout }: Limits) =>
  Connector.fromPromise<Endpoint.TcpEndpoint, Client>({
    create: () => new Client(),
    connect: (client, { host, port }) => client.connect(port, host, connectTimeout),
    close: (client) => client.close(),
    destroy: (client) => client.destroy(),
    closed: (client, onClosed) => client.onClosed(onClosed),
    check: (client) => client.request(requestTimeout),
    isReusable: (client) => client.usable
  })

/**
 * One question. It ends by its own timeout, and not with its caller: an interruption would cost the connection, and after an outage the
 * first connections go to those who have waited longest and are about to give up.
 */
const question = (client: Client, { requestTimeout }: Limits) =>
  Effect.uninterruptible(Effect.tryPromise(() => client.request(requestTimeout)))

export const open = async ({ host, limits, port }: Setting): Promise<Contender> => {
  class Server extends ConnectionPool.Service<Server>()("demo/Server", {
    ...poolOptions(limits),
    retry: RetryPolicy.make(dialOptions(limits)),
    endpoint: Endpoint.tcp(host, port),
    connector: connectorOf(limits)
  }) {}
  const policy = RetryPolicy.make(retryOptions(limits))
  const ask = Effect.suspend(() =>
    RetryPolicy.retry(
      Server.withConnection((client) => question(client, limits)),
      policy
    )
  )
  // Standard output is for messages to the parent, so logs go nowhere.
  const services = Layer.provide(Layer.provideMerge(Server.layer, ResourceMonitor.layer), Logger.layer([]))
  const runtime = ManagedRuntime.make(services)
  return { answer: (signal) => runtime.runPromise(ask, { signal }), close: () => runtime.dispose(), mostHeld }
}
