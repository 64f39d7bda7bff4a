/**
 * What tests of Redis have in common: a client of the test's own that knows what the server sees, and names that are the test's alone.
 */
import { Effect, Layer, type Scope } from "effect"
import * as Redis from "effect-sluice/Redis"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import type { RedisError } from "effect/persistence/Redis"
import { Redis as Service } from "effect/persistence/Redis"
import { createClient } from "redis"
import { ports } from "./LiveServers.ts"

export const host = "127.0.0.1"

let names = 0

/** A name that no other test uses, on whichever server. */
export const uniqueName = (): string => `sluice-${process.pid}-${++names}`

const connect = (port: number) =>
  createClient({ socket: { host, port }, name: "sluice-observer" }).on("error", () => {}).connect()

/** A session of the test's own. */
export interface Observer {
  readonly client: Awaited<ReturnType<typeof connect>>
  /** Connections with this name, as the server counts them. */
  readonly count: (name: string) => Effect.Effect<number>
  /** Ends those connections with this name whose line of `CLIENT LIST` has this text, and returns how many they were. */
  readonly kill: (name: string, having?: string) => Effect.Effect<number>
  /** Waits until the server has this many, for at most this many milliseconds; returns how many it has then. */
  readonly settled: (name: string, count: number, within?: number) => Effect.Effect<number>
}

const linesOf = (text: string, name: string): ReadonlyArray<string> =>
  text.split("\n").filter((line) => line.includes(` name=${name} `))

export const observe = (port: number = ports.Redis): Effect.Effect<Observer, never, Scope.Scope> =>
  Effect.gen(function*() {
    const client = yield* Effect.acquireRelease(
      Effect.promise(() => connect(port)),
      (client) => Effect.sync(() => client.destroy())
    )
    const lines = (name: string) =>
      Effect.map(Effect.promise(() => client.sendCommand<string>(["CLIENT", "LIST"])), (text) => linesOf(text, name))
    const count = (name: string) => Effect.map(lines(name), ({ length }) => length)
    const kill = (name: string, having = "") =>
      Effect.gen(function*() {
        const ids = (yield* lines(name)).filter((line) => line.includes(having)).map((line) =>
          /id=(\d+)/.exec(line)?.[1] ?? ""
        )
        yield* Effect.promise(() => Promise.all(ids.map((id) => client.sendCommand(["CLIENT", "KILL", "ID", id]))))
        return ids.length
      })
    const settled = (name: string, expected: number, within = 5000) =>
      Effect.gen(function*() {
        const until = performance.now() + within
        let found = yield* count(name)
        while (found !== expected && performance.now() < until) {
          yield* Effect.sleep("5 millis")
          found = yield* count(name)
        }
        return found
      })
    return { client, count, kill, settled }
  })

/** Runs an effect on a Redis layer and a monitor of its own. */
export const onRedis = <A, E>(
  options: Redis.Options,
  effect: Effect.Effect<A, E, Service | Redis.Pool | ResourceMonitor.ResourceMonitor | Scope.Scope>
): Effect.Effect<A, E> =>
  Effect.scoped(effect).pipe(
    Effect.provide(Layer.provideMerge(Redis.layer({ host, ...options }), Layer.fresh(ResourceMonitor.layer)))
  )

export const send = <A = unknown>(
  command: string,
  ...args: ReadonlyArray<string>
): Effect.Effect<A, RedisError, Service> => Effect.flatMap(Service, (redis) => redis.send<A>(command, ...args))

/** What a command fails with. */
export const failureOf = <E, R>(effect: Effect.Effect<unknown, E, R>): Effect.Effect<E, void, R> =>
  Effect.flip(Effect.asVoid(effect))
