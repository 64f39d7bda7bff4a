/**
 * Programs for Effect's `Redis`, with the layer of `@effect/platform-node` and with ours.
 */
import * as NodeRedis from "@effect/platform-node/NodeRedis"
import { assert, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import * as Redis from "effect-sluice/Redis"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import { describeWith } from "../support/LiveServers.ts"
import { host, observe, uniqueName } from "../support/RedisClients.ts"
import * as RedisProgram from "../support/RedisProgram.ts"

const expected: unknown = {
  hash: [["field", "value"]],
  counted: [1, 3, 6],
  transaction: [7, "7"],
  popped: ["list", "element"],
  message: { channel: "channel", message: "hello" },
  error: "Error: WRONGTYPE Operation against a key holding the wrong kind of value",
  nothing: null
}

const persisted: unknown = {
  cached: [[9, 16, 9], [9, 16, 9]],
  lookups: 2,
  taken: [[1, 1], [2, 1], [3, 1], [4, 1]],
  limited: [true, true, false]
}

/** The names of a run differ, so they are taken out of its result. */
const without = (name: string, result: unknown): unknown =>
  JSON.parse(JSON.stringify(result).replaceAll(`${name}:`, ""))

const withRedis = await describeWith("Redis")

withRedis("a program that was written for NodeRedis", () => {
  const url = `redis://${host}:6379`
  const native = NodeRedis.layer({ url })
  const ours = (clientName: string) => Redis.layer({ url, clientName }).pipe(Layer.provide(ResourceMonitor.layer))

  it.live("does the same with its own layer and with ours", () =>
    Effect.gen(function*() {
      const observer = yield* observe()
      const [one, other] = [uniqueName(), uniqueName()]
      assert.deepStrictEqual(without(one, yield* Effect.provide(RedisProgram.commands(one), native)), expected)
      assert.deepStrictEqual(without(other, yield* Effect.provide(RedisProgram.commands(other), ours(other))), expected)
      assert.strictEqual(yield* observer.settled(other, 0), 0)
    }))

  it.live("keeps caches, queues and limits in Redis with both", () =>
    Effect.gen(function*() {
      const [one, other] = [uniqueName(), uniqueName()]
      assert.deepStrictEqual(yield* Effect.provide(RedisProgram.persistence(one), native), persisted)
      assert.deepStrictEqual(yield* Effect.provide(RedisProgram.persistence(other), ours(other)), persisted)
    }))

  it.live("breaks its circuit for all processes with both", () =>
    Effect.gen(function*() {
      const [one, other] = [uniqueName(), uniqueName()]
      assert.strictEqual(yield* Effect.provide(RedisProgram.breaker(one), native), 2)
      assert.strictEqual(yield* Effect.provide(RedisProgram.breaker(other), ours(other)), 2)
    }))
})
