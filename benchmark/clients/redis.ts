/**
 * What a `GET` costs with 64 fibers at once: ours against `NodeRedis` of `@effect/platform-node`, and beside them ioredis with and
 * without its automatic pipelines. It needs a Redis server on port 6379 of this machine.
 */
import * as NodeRedis from "@effect/platform-node/NodeRedis"
import type * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Redis as Service, type RedisError } from "effect/persistence/Redis"
import { Redis as IoRedis } from "ioredis"
import * as Redis from "../../src/Clients/Redis.ts"
import * as ResourceMonitor from "../../src/Monitor/ResourceMonitor.ts"
import { interleaved, ratio, type Rounds, show, type Values } from "../measure.ts"
import { opened } from "../peers/fibers.ts"
import type { Table } from "../report.ts"
import { type Client, ClientRounds } from "./latency.ts"

const borrowers = 64
const key = "sluice-benchmark"
const [ours, node, plain, pipelined] = ["effect-sluice", "NodeRedis", "ioredis", "ioredis, auto-pipelining"] as const
/** Ours takes at most this many times as long as `NodeRedis`, which is 0.95 of its throughput. */
const bound = 1 / 0.95

type Commands = Client<Cause.UnknownError | RedisError>

const ofLayer = async (layer: Layer.Layer<Service, RedisError>): Promise<Commands> => {
  const { close, pool } = await opened(Effect.map(Layer.build(layer), Context.get(Service)))
  return { request: () => pool.send("GET", key), close }
}

const ofIoRedis = (enableAutoPipelining: boolean): Commands => {
  const client = new IoRedis({ host: "127.0.0.1", enableAutoPipelining })
  return { request: () => Effect.tryPromise(() => client.get(key)), close: async () => void (await client.quit()) }
}

/** Commands per second of each, in turns within one process. */
export const redis = async (rounds: Rounds, times: number): Promise<Table> => {
  const clients = new Map<string, Commands>([
    [ours, await ofLayer(Layer.provide(Redis.layer(), ResourceMonitor.layer))],
    [node, await ofLayer(NodeRedis.layer())],
    [plain, ofIoRedis(false)],
    [pipelined, ofIoRedis(true)]
  ])
  const seen = new ClientRounds(borrowers, rounds)
  const contestants = [...clients].map(([name, client]) => seen.contestant(name, client, times))
  const of = await interleaved(contestants, rounds)
  await Promise.all([...clients.values()].map(({ close }) => close()))
  const row = (name: string): ReadonlyArray<string> => {
    const values: Values = of(name)
    return [
      name,
      show(values),
      ratio(of(node), values).toFixed(2),
      seen.cpu(name),
      seen.percentile(name, 0.5),
      seen.percentile(name, 0.99)
    ]
  }
  return {
    title: `Redis: GET, ${borrowers} fibers at once`,
    columns: ["client", "ns per command", "throughput to NodeRedis", "us of CPU", "p50 ms", "p99 ms"],
    rows: [ours, node, plain, pipelined].map(row),
    targets: [{ what: `${ours} to ${node}`, ratio: ratio(of(ours), of(node)), atMost: bound }]
  }
}
