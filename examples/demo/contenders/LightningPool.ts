/**
 * A tuned pool of promises: `lightning-pool` with validation and acquire timeout, and `p-retry` around it.
 */
import { Pool, type PoolConfiguration } from "lightning-pool"
import { Client, mostHeld } from "./Client.ts"
import type { Contender, Setting } from "./Contender.ts"
import type { Limits } from "./Limits.ts"
import * as Retries from "./Retries.ts"

const configuration = ({ acquireTimeout, connections }: Limits) =>
  ({
    max: connections,
    min: 0,
    maxQueue: 100_000,
    acquireTimeoutMillis: acquireTimeout,
    // A dial that fails is repeated by p-retry, with its delays.
    acquireMaxRetries: 0,
    idleTimeoutMillis: 60_000,
    // The connection that was used last is the one that is least likely to be dead.
    fifo: false,
    validation: true
  }) satisfies PoolConfiguration

export const optionsOf = (limits: Limits): Readonly<Record<string, string>> => ({
  ...Object.fromEntries(Object.entries(configuration(limits)).map(([name, value]) => [name, String(value)])),
  "validate": `the socket is open; after ${limits.checkAfterIdle} ms idle, a request is answered too`,
  "connectTimeout": `${limits.connectTimeout} ms`,
  "requestTimeout": `${limits.requestTimeout} ms; a connection that has failed is destroyed`,
  ...Retries.textOf(limits)
})

const create = async ({ host, limits, port }: Setting): Promise<Client> => {
  const client = new Client()
  try {
    await client.connect(port, host, limits.connectTimeout)
    return client
  } catch (error) {
    client.destroy()
    throw error
  }
}

const validate = async (client: Client, { checkAfterIdle, requestTimeout }: Limits): Promise<boolean> => {
  if (!client.usable) return false
  if (performance.now() - client.lastUsed > checkAfterIdle) await client.request(requestTimeout)
  return client.usable
}

const once = async (pool: Pool<Client>, { requestTimeout }: Limits, signal: AbortSignal): Promise<void> => {
  const client = await pool.acquire()
  try {
    // After the deadline there is no caller: the connection is for the next one.
    if (!signal.aborted) await client.request(requestTimeout)
    pool.release(client)
  } catch (error) {
    pool.destroy(client)
    throw error
  }
}

export const open = (setting: Setting): Promise<Contender> => {
  const { limits } = setting
  const pool = new Pool<Client>({
    create: () => create(setting),
    destroy: (client) => client.destroy(),
    validate: (client) => validate(client, limits)
  }, configuration(limits))
  // It emits `error` for each dial that fails, which would end the process without a listener.
  pool.on("error", () => {})
  return Promise.resolve({
    answer: (gone) => Retries.retrying(limits, gone, (signal) => once(pool, limits, signal)),
    close: () => pool.closeAsync(limits.deadline),
    mostHeld
  })
}
