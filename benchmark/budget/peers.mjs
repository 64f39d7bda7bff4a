/**
 * Runs one crowd on a semaphore of another package, and prints what it took.
 *
 * Usage: node peers.mjs redis-semaphore|effect-distributed-lock REDIS-PORT CONTENDERS PERMITS ROUNDS HOLD
 */
import { Redis } from "ioredis"
import { crowd } from "./crowd.mjs"

const [name, port, ...numbers] = process.argv.slice(2)
const [contenders, permits, rounds, hold] = numbers.map(Number)
const redis = new Redis(Number(port), "127.0.0.1")

const redisSemaphore = async () => {
  const { Semaphore } = await import("redis-semaphore")
  return async (use) => {
    const semaphore = new Semaphore(redis, "peer", permits, {
      acquireTimeout: 60_000,
      lockTimeout: 10_000,
      retryInterval: 10
    })
    await semaphore.acquire()
    await use()
    await semaphore.release()
  }
}

const effectDistributedLock = async () => {
  const { Effect } = await import("effect")
  const { DistributedSemaphore, RedisBacking } = await import("effect-distributed-lock")
  const layer = RedisBacking.layer(redis, { keyPrefix: "peer:" })
  const made = DistributedSemaphore.make("peer", { limit: permits, ttl: "10 seconds" })
  const semaphore = await Effect.runPromise(Effect.provide(made, layer))
  return (use) => Effect.runPromise(semaphore.withPermits(1)(Effect.promise(use)))
}

const withPermit = await (name === "redis-semaphore" ? redisSemaphore() : effectDistributedLock())
await withPermit(async () => {})
const before = await redis.info("commandstats")
const result = await crowd(withPermit, { contenders, rounds, hold })
const evals = (text) =>
  [...text.matchAll(/cmdstat_eval(?:sha)?:calls=(\d+)/g)].reduce((sum, [, calls]) => sum + Number(calls), 0)
const scripts = evals(await redis.info("commandstats")) - evals(before)
process.stdout.write(JSON.stringify({ ...result, scripts }))
process.exit(0)
