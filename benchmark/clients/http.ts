/**
 * What a `GET` costs with 64 fibers at once on 10 connections: Effect's `HttpClient` on our layer against the same on undici's `Agent`. The
 * server has a process of its own.
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import { fork } from "node:child_process"
import { once } from "node:events"
import * as Http from "../../src/Clients/Http.ts"
import * as ResourceMonitor from "../../src/Monitor/ResourceMonitor.ts"
import { type Contestant, interleaved, median, ratio, type Rounds, show } from "../measure.ts"
import { crowdOfFibers, opened } from "../peers/fibers.ts"
import type { Table } from "../report.ts"

const fibers = 64
const connections = 10
const [ours, agent] = ["effect-sluice", "undici's Agent"] as const
/** Ours takes at most this many times as long, which is 0.95 of the throughput. */
const bound = 1 / 0.95

const clientOf = (layer: Layer.Layer<HttpClient.HttpClient>) =>
  opened(Effect.map(Layer.build(layer), Context.get(HttpClient.HttpClient)))

/** Microseconds of processor time for each request of a round, and the latencies of its requests in milliseconds. */
interface Round {
  cpu: number
  readonly latencies: Array<number>
}

const contestantOf = (
  name: string,
  client: HttpClient.HttpClient,
  { times, url }: { readonly times: number; readonly url: string },
  rounds: Array<Round>
): Contestant => {
  const get = (round: Round) => () =>
    Effect.suspend(() => {
      const start = performance.now()
      return Effect.map(Effect.flatMap(client.get(url), (response) => response.text), () => {
        round.latencies.push(performance.now() - start)
      })
    })
  return {
    name,
    operations: fibers * times,
    run: async () => {
      const round: Round = { cpu: 0, latencies: [] }
      const before = process.cpuUsage()
      await crowdOfFibers(get(round))(fibers, times)
      const { system, user } = process.cpuUsage(before)
      round.cpu = (system + user) / (fibers * times)
      rounds.push(round)
    }
  }
}

const percentile = (rounds: ReadonlyArray<Round>, share: number): string =>
  median(rounds.map(({ latencies }) => {
    const sorted = latencies.toSorted((one, other) => one - other)
    return sorted[Math.floor(sorted.length * share)] ?? Number.NaN
  })).toFixed(2)

/** Requests of both, in turns within one process. */
export const http = async (rounds: Rounds, times: number): Promise<Table> => {
  const server = fork(new URL("http-server.mjs", import.meta.url))
  const [port] = await once(server, "message")
  const load = { times, url: `http://127.0.0.1:${port}/` }
  const clients = {
    [ours]: await clientOf(Layer.provide(Http.layer({ maxPerOrigin: connections }), ResourceMonitor.layer)),
    [agent]: await clientOf(NodeHttpClient.layerUndiciOptions({ connections }))
  }
  const seen: Record<string, Array<Round>> = { [ours]: [], [agent]: [] }
  const values = await interleaved(
    [ours, agent].map((name) => contestantOf(name, clients[name].pool, load, seen[name] ?? [])),
    rounds
  )
  await Promise.all([ours, agent].map((name) => clients[name].close()))
  server.disconnect()
  const row = (name: string): ReadonlyArray<string> => {
    const counted = (seen[name] ?? []).slice(-rounds.measured)
    const cpu = median(counted.map(({ cpu }) => cpu)).toFixed(1)
    const throughput = ratio(values(agent), values(name)).toFixed(2)
    return [name, show(values(name)), throughput, cpu, percentile(counted, 0.5), percentile(counted, 0.99)]
  }
  return {
    title: `HTTP: GET, ${fibers} fibers on ${connections} connections`,
    columns: ["client", "ns per request", "throughput to the Agent", "us of CPU", "p50 ms", "p99 ms"],
    rows: [ours, agent].map(row),
    targets: [{ what: `${ours} to ${agent}`, ratio: ratio(values(ours), values(agent)), atMost: bound }]
  }
}
