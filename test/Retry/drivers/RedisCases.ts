/**
 * ioredis and node-redis, against Redis and against peers that answer in its protocol.
 */
import { Cluster, type CommonRedisOptions, Redis } from "ioredis"
import { createClient, type RedisClientOptions } from "redis"
import { call, type Case, dial } from "./Peers.ts"
import * as Peers from "./Peers.ts"

/** Options of ioredis, of which those of its replies take part in its types. */
type IoOptions = Omit<CommonRedisOptions, "replyMapping"> & { readonly tls?: object }

export const need: Peers.Need = { name: "Redis", port: 6379 }

/** A server that answers what clients say of themselves, and anything else with this. */
const answering = (reply: string) =>
  Peers.peer((socket) => {
    socket.on("data", (data) => {
      for (const [command] of data.toString().matchAll(/\*\d+\r\n\$\d+\r\n[A-Za-z]+/g)) {
        socket.write(/(HELLO|CLIENT|INFO|AUTH|SELECT)$/i.test(command) ? "+OK\r\n" : `-${reply}\r\n`)
      }
    })
  })

/** A server that answers everything with this, also what clients say of themselves. */
const refusing = (reply: string) => Peers.peer((socket) => void socket.on("data", () => socket.write(`-${reply}\r\n`)))

const plain: IoOptions = {
  lazyConnect: true,
  retryStrategy: null,
  enableReadyCheck: false,
  protocol: 2,
  disableClientInfo: true
}

const io = async (
  port: number | Promise<number>,
  f: (client: Redis) => Promise<unknown>,
  options: IoOptions = {}
) => {
  const client = new Redis(await port, "127.0.0.1", { ...plain, ...options })
  client.on("error", () => {})
  return Peers.closing(Peers.errorOf(f(client)), () => client.disconnect())
}

const dialling = (port: number | Promise<number>, options?: IoOptions) =>
  io(port, (client) => client.connect(), options)

const command = (
  port: number | Promise<number>,
  f: (client: Redis) => Promise<unknown>,
  options?: IoOptions
): Promise<unknown> =>
  io(port, async (client) => {
    await client.connect()
    await f(client)
  }, options)

const replies = (reply: string) => () => command(answering(reply), (client) => client.get("key"))

const cut = (port: Promise<number>, options?: IoOptions) => () => command(port, (client) => client.get("key"), options)

const wrongType = (client: { readonly call: (...args: Array<string>) => Promise<unknown> }) => async () => {
  const key = `sluice:${process.pid}:${Math.random()}`
  await client.call("SET", key, "value", "PX", "2000")
  await client.call("LPUSH", key, "value")
}

const everySlot = async () => {
  const cluster = new Cluster([{ host: "127.0.0.1", port: Peers.refusing }], {
    lazyConnect: true,
    clusterRetryStrategy: () => null
  })
  cluster.on("error", () => {})
  return Peers.closing(Peers.errorOf(cluster.connect()), () => cluster.disconnect())
}

const twice = () =>
  command(answering("ERR"), async (client) => {
    await client.connect()
  })

/** The promise of `connect` is rejected with no more than "Connection is closed.". */
const tlsEvent = async () => {
  const client = new Redis(await Peers.garbage, "127.0.0.1", { ...plain, tls: {} })
  const told = new Promise((resolve) => client.once("error", resolve))
  client.connect().catch(() => {})
  return Peers.closing(told, () => client.disconnect())
}

/** What needs no server. */
const ioredis: ReadonlyArray<Case> = [
  dial.Transient("a closed port", () => dialling(Peers.refusing)),
  dial.Transient(
    "silence in the TLS handshake, connectTimeout",
    () => dialling(Peers.silent, { connectTimeout: 30, tls: {} })
  ),
  dial.Transient("an end at once", () => dialling(Peers.ending, { enableReadyCheck: true })),
  dial.Transient("a reset", () => dialling(Peers.resetting, { enableReadyCheck: true })),
  dial.Transient("another protocol", () => dialling(Peers.garbage, { enableReadyCheck: true })),
  dial.Fatal("TLS of a server without it, as it tells its listeners", tlsEvent),
  dial.RemoteSaturated(
    "max number of clients",
    () => command(refusing("ERR max number of clients reached"), (client) => client.ping())
  ),
  dial.Fatal("NOAUTH", () => command(answering("NOAUTH Authentication required."), (client) => client.ping())),
  dial.Transient("a cluster of which nothing listens", everySlot),
  dial.Fatal("connecting twice", twice),
  call.Ambiguous(
    "maxRetriesPerRequest, at a closed port",
    () => io(Peers.refusing, (client) => client.get("key"), { retryStrategy: () => 1, maxRetriesPerRequest: 2 })
  ),
  call.Ambiguous("an end under a command", cut(Peers.endingLater)),
  call.Ambiguous("a reset under a command", cut(Peers.resetting)),
  call.Ambiguous("silence, commandTimeout", cut(Peers.silent, { commandTimeout: 30 })),
  call.Ambiguous("silence, socketTimeout", cut(Peers.silent, { socketTimeout: 30 })),
  call.Unsent("no connection and no queue", () =>
    io(Peers.silent, (client) => {
      void client.connect().catch(() => {})
      return client.get("key")
    }, { enableOfflineQueue: false })),
  call.Ambiguous("a command after disconnect", () =>
    command(Peers.silent, async (client) => {
      client.disconnect()
      await Peers.sleep(20)
      await client.get("key")
    })),
  call.Transient("LOADING", replies("LOADING Redis is loading the dataset in memory")),
  call.RemoteSaturated("BUSY", replies("BUSY Redis is busy running a script.")),
  call.RemoteSaturated("OOM", replies("OOM command not allowed when used memory > 'maxmemory'.")),
  call.RemoteSaturated("MISCONF", replies("MISCONF Redis is configured to save RDB snapshots")),
  call.Transient("CLUSTERDOWN", replies("CLUSTERDOWN Hash slot not served")),
  call.Transient("TRYAGAIN", replies("TRYAGAIN Multiple keys request during rehashing of slot")),
  call.Transient("MASTERDOWN", replies("MASTERDOWN Link with MASTER is down")),
  call.Transient("NOREPLICAS", replies("NOREPLICAS Not enough good replicas to write.")),
  call.Redirect("MOVED", replies("MOVED 3999 127.0.0.1:6381")),
  call.Redirect("ASK", replies("ASK 3999 127.0.0.1:6381")),
  call.Redirect("READONLY", replies("READONLY You can't write against a read only replica.")),
  call.Redirect("Valkey's REDIRECT", replies("REDIRECT 127.0.0.1:6380")),
  call.Fatal("NOPERM", replies("NOPERM this user has no permissions to run the 'get' command")),
  call.Fatal("CROSSSLOT", replies("CROSSSLOT Keys in request don't hash to the same slot")),
  call.Fatal("EXECABORT", replies("EXECABORT Transaction discarded because of previous errors."))
]

/** To make a client costs much, and to make another one like it little. */
const model = createClient({ RESP: 2, disableClientInfo: true })

const nodeRedis = (port: number, options: RedisClientOptions = {}) => {
  const socket = { host: "127.0.0.1", port, reconnectStrategy: false, ...options.socket } as const
  const client = model.duplicate({ ...options, socket: socket as never })
  client.on("error", () => {})
  return client
}
type NodeRedis = ReturnType<typeof nodeRedis>

const connecting = async (port: number | Promise<number>, options?: RedisClientOptions) => {
  const client = nodeRedis(await port, options)
  return Peers.closing(Peers.errorOf(client.connect()), () => client.destroy())
}

const sending = async (
  port: number | Promise<number>,
  f: (client: NodeRedis) => Promise<unknown>,
  options?: RedisClientOptions
): Promise<unknown> => {
  const client = nodeRedis(await port, options)
  await client.connect()
  return Peers.closing(Peers.errorOf(f(client)), () => client.destroy())
}

const get = (client: NodeRedis) => client.sendCommand(["GET", "key"])

const node: ReadonlyArray<Case> = [
  dial.Transient("a closed port", () => connecting(Peers.refusing)),
  dial.Transient("a name that is not known", () => connecting(1, { socket: { host: "no-such-host.invalid" } })),
  dial.Transient(
    "silence in the TLS handshake, connectTimeout",
    () => connecting(Peers.silent, { socket: { tls: true, connectTimeout: 30 } as never })
  ),
  dial.Transient("an end of the login", () => connecting(Peers.endingLater, { password: "x" })),
  dial.Transient("a reset of the login", () => connecting(Peers.resetting, { password: "x" })),
  dial.RemoteSaturated(
    "max number of clients",
    () => connecting(refusing("ERR max number of clients reached"), { password: "x" })
  ),
  dial.Fatal(
    "WRONGPASS",
    () => connecting(refusing("WRONGPASS invalid username-password pair or user is disabled."), { password: "x" })
  ),
  dial.Fatal("a URL of another protocol", () => Peers.thrownBy(() => createClient({ url: "http://x" }))),
  call.Ambiguous("an end under a command", () => sending(Peers.endingLater, get)),
  call.Ambiguous("a reset under a command", () => sending(Peers.resetting, get)),
  call.Ambiguous(
    "silence, socketTimeout",
    () => sending(Peers.silent, get, { socket: { socketTimeout: 30 } as never })
  ),
  call.RemoteSaturated("BUSY", () => sending(answering("BUSY Redis is busy"), get)),
  call.Redirect("MOVED", () => sending(answering("MOVED 1 127.0.0.1:1"), get)),
  call.Redirect("REDIRECT of Valkey", () => sending(answering("REDIRECT 127.0.0.1:1"), get)),
  call.Fatal("a client that was closed", () =>
    sending(Peers.silent, async (client) => {
      client.destroy()
      await get(client)
    })),
  call.Unsent("no connection and no queue", async () => {
    const client = nodeRedis(await Peers.silent, { disableOfflineQueue: true, socket: { tls: true } as never })
    client.connect().catch(() => {})
    return Peers.closing(Peers.errorOf(get(client)), () => client.destroy())
  })
]

/** What only Redis itself can say. */
const realIoredis: ReadonlyArray<Case> = [
  call.Fatal("WRONGTYPE", () => command(need.port, (client) => wrongType(client)())),
  call.Fatal("an unknown command", () => command(need.port, (client) => client.call("NOTHING"))),
  call.Ambiguous("a connection that was killed", () =>
    command(need.port, async (client) => {
      const id = await client.client("ID")
      const blocked = client.blpop(`sluice:none:${process.pid}`, 5)
      blocked.catch(() => {})
      await command(need.port, async (other) => {
        await Peers.sleep(20)
        await other.client("KILL", "ID", id)
        throw new Error("done")
      })
      await blocked
    }))
]

const realNode: ReadonlyArray<Case> = [
  call.Fatal(
    "WRONGTYPE",
    () => sending(need.port, (client) => wrongType({ call: (...args) => client.sendCommand(args) })())
  ),
  call.Transient("a transaction whose key has changed", () =>
    sending(need.port, async (client) => {
      const key = `sluice:${process.pid}:watched`
      await client.watch(key)
      await client.set(key, "other", { expiration: { type: "PX", value: 1000 } })
      await client.multi().set(key, "mine").exec()
    }))
]

export const ofIoredis = { cases: ioredis, real: realIoredis, need }
export const ofNodeRedis = { cases: node, real: realNode, need }
