/**
 * The monitor in real processes under a real `ulimit -n`.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import type { Reading } from "effect-sluice/Reading"
import * as TcpServer from "../support/TcpServer.ts"
import { runUnderLimit } from "./children/run.ts"

const valueOf = (reading: Reading): number => {
  assert(reading._tag === "Known", reading._tag)
  return reading.value
}

describe("the limit of the process", () => {
  it.live("is the soft limit that the process was started with, less what stays free", () =>
    Effect.gen(function*() {
      const { limit, used } = yield* runUnderLimit(128, "limit")
      assert.deepStrictEqual([valueOf(limit), limit.source], [104, "/proc/self/limits"])
      assert.isAbove(valueOf(used), 10)
      assert.isBelow(valueOf(used), 60)
    }))

  it.live("is the configured one when that is smaller", () =>
    Effect.gen(function*() {
      const { limit } = yield* runUnderLimit(4096, "conservative")
      assert.deepStrictEqual([valueOf(limit), limit.source], [1000, "options"])
    }))
})

describe("when no descriptor is left", () => {
  it.live("every reading is Known or Saturated, none is 0, nothing throws, and it recovers", () =>
    Effect.gen(function*() {
      const { after, code, opened, readings, refusals } = yield* runUnderLimit(128, "exhausted")
      assert.strictEqual(code, "EMFILE")
      const [held, fallbacks] = readings
      assert.isAbove(valueOf(held.descriptors.used), opened)
      assert.isAbove(valueOf(held.memory.used), 10_000_000)
      assert.strictEqual(fallbacks.descriptors.used._tag, "Saturated")
      assert.strictEqual(fallbacks.memory.used._tag, "Saturated")
      assert.deepStrictEqual([held.level, fallbacks.level], ["Exhausted", "Exhausted"])
      for (const refusal of refusals) assert.match(refusal, /no room to open .* \(level Exhausted\)/)
      for (const usage of after) {
        assert.isAbove(valueOf(usage.descriptors.used), 0)
        assert.strictEqual(usage.level, "Normal")
      }
    }))
})

describe("without a headroom", () => {
  it.live("the monitor takes no descriptor that its gate has granted", () =>
    Effect.gen(function*() {
      const { granted, opened } = yield* runUnderLimit(520, "granted")
      assert.isAbove(granted, 400)
      assert.isAtLeast(opened, granted)
    }))
})

const burst = (limit: number, ...args: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    const server = yield* TcpServer.make(() => {}, {})
    return yield* runUnderLimit(limit, "burst", [String(server.endpoint.port), ...args])
  })

describe("500 connects in one tick under ulimit -n 128", () => {
  it.live("meet EMFILE without the gate", () =>
    Effect.gen(function*() {
      const { inOneTick, outcomes } = yield* burst(128, "ungated")
      assert.isTrue(inOneTick)
      assert.isAbove(outcomes.emfile, 300)
      assert.strictEqual(outcomes.connected + outcomes.emfile, 500)
    }))

  it.live("meet no EMFILE through the gate: about 80 connect, every other one is refused", () =>
    Effect.gen(function*() {
      const { after, atPeak, before, inOneTick, open, outcomes } = yield* burst(128, "gated")
      assert.isTrue(inOneTick)
      assert.deepStrictEqual([outcomes.emfile, outcomes.other], [0, []])
      assert.isAtLeast(outcomes.connected, 75)
      assert.isAtMost(outcomes.connected, 104)
      assert.strictEqual(outcomes.connected + outcomes.refused, 500)
      assert.strictEqual(atPeak.reserved, outcomes.connected)
      assert.strictEqual(open.reserved, 0)
      assert.strictEqual(valueOf(open.descriptors.used), valueOf(before.descriptors.used) + outcomes.connected)
      assert.strictEqual(valueOf(after.descriptors.used), valueOf(before.descriptors.used))
    }))

  it.live("end every reservation when half of them are interrupted", () =>
    Effect.gen(function*() {
      const { after, before, open, outcomes } = yield* burst(128, "gated", "interrupt")
      assert.deepStrictEqual([outcomes.emfile, outcomes.other], [0, []])
      assert.isAbove(outcomes.interrupted, 30)
      assert.isAbove(outcomes.connected, 30)
      assert.strictEqual(outcomes.connected + outcomes.refused + outcomes.interrupted, 500)
      assert.strictEqual(open.reserved, 0)
      assert.strictEqual(valueOf(open.descriptors.used), valueOf(before.descriptors.used) + outcomes.connected)
      assert.strictEqual(valueOf(after.descriptors.used), valueOf(before.descriptors.used))
    }))

  it.live("still let some connect under ulimit -n 64", () =>
    Effect.gen(function*() {
      const { outcomes } = yield* burst(64, "gated")
      assert.deepStrictEqual([outcomes.emfile, outcomes.other], [0, []])
      assert.isAtLeast(outcomes.connected, 15)
    }))
})
