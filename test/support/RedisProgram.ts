/**
 * A program for Effect's `Redis` service, as it is written for `NodeRedis.layer`. It knows nothing of the layer that it runs on.
 */
import { Duration, Effect, Exit, Layer, Queue, Schema } from "effect"
import * as CircuitBreaker from "effect/persistence/CircuitBreaker"
import * as Persistable from "effect/persistence/Persistable"
import * as PersistedCache from "effect/persistence/PersistedCache"
import * as PersistedQueue from "effect/persistence/PersistedQueue"
import * as Persistence from "effect/persistence/Persistence"
import * as RateLimiter from "effect/persistence/RateLimiter"
import { Redis, script } from "effect/persistence/Redis"

const increase = script((key: string, by: number) => [key, by], {
  numberOfKeys: 1,
  lua: "return redis.call('INCRBY', KEYS[1], ARGV[1])"
}).withReturnType<number>()

/** Commands, scripts, a transaction, a blocking command, a subscription and an error, on keys that begin with `name`. */
export const commands = (name: string) =>
  Effect.gen(function*() {
    const redis = yield* Redis
    yield* redis.send("HSET", `${name}:hash`, "field", "value")
    const hash = yield* redis.send("HGETALL", `${name}:hash`)
    const counted = yield* Effect.forEach([1, 2, 3], (by) => redis.eval(increase)(`${name}:count`, by))
    const transaction = yield* Effect.scoped(Effect.gen(function*() {
      const connection = yield* redis.reserve
      yield* connection.send("WATCH", `${name}:count`)
      yield* connection.send("MULTI")
      yield* connection.send("INCR", `${name}:count`)
      yield* connection.send("GET", `${name}:count`)
      return yield* connection.send("EXEC")
    }))
    yield* redis.send("RPUSH", `${name}:list`, "element")
    const popped = yield* Effect.scoped(
      Effect.flatMap(redis.reserve, (connection) => connection.send("BLPOP", `${name}:list`, "1"))
    )
    const message = yield* Effect.scoped(Effect.gen(function*() {
      const queue = yield* redis.subscribe(`${name}:channel`)
      yield* redis.send("PUBLISH", `${name}:channel`, "hello")
      return yield* Queue.take(queue)
    }))
    const error = yield* Effect.flip(Effect.asVoid(redis.send("LPUSH", `${name}:hash`, "1")))
    const nothing = yield* redis.send("GET", `${name}:nothing`)
    yield* redis.send("DEL", `${name}:hash`, `${name}:count`)
    return {
      hash: Object.entries(Object(hash)),
      counted,
      transaction,
      popped,
      message,
      error: String(error.cause),
      nothing
    }
  })

class Square extends Persistable.Class<{ payload: { readonly of: number } }>()("Square", {
  primaryKey: ({ of }) => String(of),
  success: Schema.Finite
}) {}

/** Effect's modules that keep their state in Redis. */
export const persistence = (name: string) =>
  Effect.gen(function*() {
    let lookups = 0
    const lookup = ({ of }: Square) => Effect.sync(() => of * of + 0 * lookups++)
    const options = { storeId: name, timeToLive: () => Duration.seconds(10) }
    const cached = yield* Effect.forEach([1, 2], () =>
      Effect.scoped(Effect.gen(function*() {
        const cache = yield* PersistedCache.make(lookup, options)
        return yield* Effect.forEach([3, 4, 3], (of) => cache.get(new Square({ of })))
      })))

    const queue = yield* PersistedQueue.make({ name, schema: Schema.Finite })
    yield* Effect.forEach([1, 2, 3, 4], (value) => queue.offer(value, { id: `${name}-${value}` }))
    yield* queue.offer(5, { id: `${name}-1` })
    const taken = yield* Effect.forEach([1, 2, 3, 4], () =>
      queue.take((value, { attempts }) => Effect.succeed([value, attempts])))

    const limiter = yield* RateLimiter.RateLimiter
    const consume = Effect.exit(limiter.consume({ key: name, limit: 2, window: "1 minute", onExceeded: "fail" }))
    const limited = (yield* Effect.forEach([1, 2, 3], () =>
      consume)).map(Exit.isSuccess)

    const redis = yield* Redis
    const [, keys] = yield* redis.send<[string, Array<string>]>("SCAN", "0", "MATCH", `*${name}*`, "COUNT", "100000")
    yield* redis.send("DEL", ...keys)
    return { cached, lookups, taken, limited }
  }).pipe(Effect.provide(Layer.mergeAll(
    Persistence.layerRedis,
    Layer.provide(PersistedQueue.layer, PersistedQueue.layerStoreRedis({ pollInterval: "50 millis" })),
    Layer.provide(RateLimiter.layer, RateLimiter.layerStoreRedis({ prefix: `${name}:` }))
  )))

/** A breaker that opens after two failures, and refuses the third call without making it. */
export const breaker = (name: string) =>
  Effect.gen(function*() {
    let calls = 0
    const { execute } = yield* CircuitBreaker.CircuitBreaker
    const call = Effect.exit(execute(Effect.suspend(() => Effect.fail(`failure ${++calls}`)), { key: name }))
    yield* Effect.forEach([1, 2, 3], () => call)
    yield* Effect.flatMap(Redis, (redis) => redis.send("DEL", `${name}:${name}`))
    return calls
  }).pipe(Effect.provide(Layer.provide(
    CircuitBreaker.layer({ tripPolicy: CircuitBreaker.consecutive(2), openDuration: "10 seconds" }),
    CircuitBreaker.layerStoreRedis({ prefix: `${name}:` })
  )))
