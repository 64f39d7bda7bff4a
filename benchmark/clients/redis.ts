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
import { type Contestant, interleaved, median, ratio, type Rounds, show, type Values } from "../measure.ts"
import { crowdOfFibers, opened } from "../peers/fibers.ts"
import type { Table } from "../report.ts"

const borrowers = 64
const key = "sluice-benchmark"
const [ours, node, plain, pipelined] = ["effect-sluice", "NodeRedis", "ioredis", "ioredis, auto-pipelining"] as const
/** Ours takes at most this many times as long as `NodeRedis`, which is 0.95 of its throughput. */
const bound = 1 / 0.95

interface Client {
  readonly get: () => Effect.Effect<unknown, RedisError | Cause.UnknownError>
  readonly close: () => Promise<void>
}

const ofLayer = async (layer: Layer.Layer<Service, RedisError>): Promise<Client> => {
  const { close, pool } = await opened(Effect.map(Layer.build(layer), Context.get(Service)))
  return { get: () => pool.send("GET", key), close }
}

const ofIoRedis = (enableAutoPipelining: boolean): Client => {
  const client = new IoRedis({ host: "127.0.0.1", enableAutoPipelining })
  return { get: () => Effect.tryPromise(() => client.get(key)), close: async () => void (await client.quit()) }
}

/** Milliseconds of each command of one round, and processor time of the whole process per command. */
interface Round {
  readonly latencies: Array<number>
  cpu: number
}

const timed = (get: Client["get"], { latencies }: Round) => () =>
  Effect.suspend(() => {
    const start = performance.now()
    return Effect.map(get(), () => {
      latencies.push(performance.now() - start)
    })
  })

const contestantOf = (name: string, { get }: Client, times: number, rounds: Map<string, Array<Round>>): Contestant => ({
  name,
  operations: borrowers * times,
  run: async () => {
    const round: Round = { latencies: [], cpu: 0 }
    const before = process.cpuUsage()
    await crowdOfFibers(timed(get, round))(borrowers, times)
    const { system, user } = process.cpuUsage(before)
    round.cpu = (system + user) / (borrowers * times)
    rounds.set(name, [...rounds.get(name) ?? [], round])
  }
})

const percentile = (rounds: ReadonlyArray<Round>, share: number): string => {
  const each = rounds.map(({ latencies }) => {
    const sorted = Float64Array.from(latencies).sort()
    return sorted[Math.floor(sorted.length * share)] ?? Number.NaN
  })
  return median(each).toFixed(2)
}

/** Commands per second of each, in turns within one process. */
export const redis = async (rounds: Rounds, times: number): Promise<Table> => {
  const clients = new Map<string, Client>([
    [ours, await ofLayer(Layer.provide(Redis.layer(), ResourceMonitor.layer))],
    [node, await ofLayer(NodeRedis.layer())],
    [plain, ofIoRedis(false)],
    [pipelined, ofIoRedis(true)]
  ])
  const seen = new Map<string, Array<Round>>()
  const contestants = [...clients].map(([name, client]) => contestantOf(name, client, times, seen))
  const of = await interleaved(contestants, rounds)
  await Promise.all([...clients.values()].map(({ close }) => close()))
  const row = (name: string): ReadonlyArray<string> => {
    const values: Values = of(name)
    const counted = (seen.get(name) ?? []).slice(-rounds.measured)
    const cpu = median(counted.map(({ cpu }) => cpu)).toFixed(1)
    return [
      name,
      show(values),
      ratio(of(node), values).toFixed(2),
      cpu,
      percentile(counted, 0.5),
      percentile(counted, 0.99)
    ]
  }
  return {
    title: `Redis: GET, ${borrowers} fibers at once`,
    columns: ["client", "ns per command", "throughput to NodeRedis", "us of CPU", "p50 ms", "p99 ms"],
    rows: [ours, node, plain, pipelined].map(row),
    targets: [{ what: `${ours} to ${node}`, ratio: ratio(of(ours), of(node)), atMost: bound }]
  }
}
