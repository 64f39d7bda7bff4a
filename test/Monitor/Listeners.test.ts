import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Scope, Stream } from "effect"
import * as Listeners from "../../src/Monitor/Listeners.ts"

const started = { startImmediately: true } as const

const setup = (bufferSize: number, first?: () => ReadonlyArray<number>) =>
  Effect.gen(function*() {
    const scope = yield* Scope.make()
    const listeners = yield* Scope.provide(Listeners.make<number>(bufferSize, first), scope)
    return { ...listeners, end: Scope.close(scope, Exit.void) }
  })

describe("Listeners", () => {
  it.effect("tells each of those who listen everything from when they began, in order, and then the end", () =>
    Effect.gen(function*() {
      const { end, stream, tell } = yield* setup(10)
      tell(0)
      const early = yield* Effect.forkChild(Stream.runCollect(stream), started)
      tell(1)
      const late = yield* Effect.forkChild(Stream.runCollect(stream), started)
      tell(2)
      yield* Effect.yieldNow
      tell(3)
      yield* end
      tell(4)
      assert.deepStrictEqual(yield* Fiber.join(early), [1, 2, 3])
      assert.deepStrictEqual(yield* Fiber.join(late), [2, 3])
      assert.deepStrictEqual(yield* Stream.runCollect(stream), [])
    }))

  it.effect("begins with what is told first, unless it has ended", () =>
    Effect.gen(function*() {
      const { end, stream, tell } = yield* setup(10, () => [7, 8])
      const fiber = yield* Effect.forkChild(Stream.runCollect(stream), started)
      tell(9)
      yield* end
      assert.deepStrictEqual(yield* Fiber.join(fiber), [7, 8, 9])
      assert.deepStrictEqual(yield* Stream.runCollect(stream), [])
    }))

  it.effect("runs nobody before it has told, and lets who is slow miss the oldest", () =>
    Effect.gen(function*() {
      const { end, stream, tell } = yield* setup(3)
      const heard: Array<number> = []
      const fiber = yield* Effect.forkChild(
        Stream.runForEach(stream, (value) => Effect.sync(() => heard.push(value))),
        started
      )
      for (const value of [1, 2, 3, 4, 5]) tell(value)
      assert.deepStrictEqual(heard, [])
      yield* end
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(heard, [3, 4, 5])
    }))

  it.effect("keeps what a reader that is interrupted has not taken", () =>
    Effect.gen(function*() {
      const { stream, tell } = yield* setup(10)
      yield* Effect.scoped(Effect.gen(function*() {
        const pull = yield* Stream.toPull(stream)
        const waiting = yield* Effect.forkChild(pull, started)
        tell(1)
        yield* Fiber.interrupt(waiting)
        tell(2)
        assert.deepStrictEqual(yield* pull, [1, 2])
      }))
    }))

  it.effect("forgets who listens no more", () =>
    Effect.gen(function*() {
      const { end, stream, tell } = yield* setup(10)
      const fiber = yield* Effect.forkChild(Stream.runCollect(stream), started)
      yield* Fiber.interrupt(fiber)
      tell(1)
      const one = yield* Effect.forkChild(Stream.runCollect(Stream.take(stream, 1)), started)
      tell(2)
      assert.deepStrictEqual(yield* Fiber.join(one), [2])
      yield* end
    }))
})
