/**
 * Names of products, in Redis. A cache that does not answer is a cache without entries.
 */
import { Context, Effect, Layer, Option } from "effect"
import { Redis, type RedisError } from "effect/persistence/Redis"

export class Cache extends Context.Service<Cache, {
  readonly get: (id: number) => Effect.Effect<Option.Option<string>>
  readonly set: (id: number, name: string) => Effect.Effect<void>
  readonly remove: (id: number) => Effect.Effect<void>
}>()("api/Cache") {}

const seconds = "60"

const orElse = <A>(fallback: A) => (command: Effect.Effect<A, RedisError>): Effect.Effect<A> =>
  Effect.catch(command, (error) => Effect.as(Effect.logDebug("the cache has not answered", error), fallback))

export const layer = (prefix: string): Layer.Layer<Cache, never, Redis> =>
  Layer.effect(
    Cache,
    Effect.map(Redis, ({ send }) => {
      const key = (id: number) => `${prefix}:product:${id}`
      return Cache.of({
        get: (id) => Effect.map(orElse<string | null>(null)(send("GET", key(id))), Option.fromNullishOr),
        set: (id, name) => Effect.asVoid(orElse<unknown>(undefined)(send("SET", key(id), name, "EX", seconds))),
        remove: (id) => Effect.asVoid(orElse<unknown>(undefined)(send("DEL", key(id))))
      })
    })
  )

/** The cache of a test, in the place of Redis. */
export const layerTest: Layer.Layer<Cache> = Layer.sync(Cache, () => {
  const names = new Map<number, string>()
  return Cache.of({
    get: (id) => Effect.sync(() => Option.fromNullishOr(names.get(id))),
    set: (id, name) => Effect.sync(() => void names.set(id, name)),
    remove: (id) => Effect.sync(() => void names.delete(id))
  })
})
