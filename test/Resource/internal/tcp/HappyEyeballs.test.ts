/**
 * The order and the end of connection attempts, with sockets that a test connects by hand.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import * as Net from "node:net"
import { interleaved } from "../../../../src/Resource/internal/tcp/AddressLookup.ts"
import { combinedError } from "../../../../src/Resource/internal/tcp/CombinedError.ts"
import type { SocketReservation } from "../../../../src/Resource/internal/tcp/ConnectAttempt.ts"
import { HappyEyeballs } from "../../../../src/Resource/internal/tcp/HappyEyeballs.ts"

const coded = (code: string) => Object.assign(new Error(code), { code })

/** Claims that count: how many stand for a descriptor that does not exist, and how many have ended. */
const counting = () => {
  const counts = { claimed: 0, ended: 0 }
  const claim = (): SocketReservation => {
    counts.claimed++
    let isOpen = false
    return {
      claim: {
        descriptorOpened: () => {
          if (!isOpen) counts.claimed--
          isOpen = true
          return () => {
            if (isOpen) counts.claimed++
            isOpen = false
          }
        }
      },
      end: () => {
        if (!isOpen) counts.claimed--
        counts.ended++
      }
    }
  }
  return { counts, claim }
}

const setUp = (options: { readonly reserveMore?: () => SocketReservation | undefined } = {}) => {
  const sockets: Array<Net.Socket> = []
  const { claim, counts } = counting()
  const main = claim()
  const attempts = new HappyEyeballs<Net.Socket>({
    connect: () => {
      const socket = new Net.Socket()
      sockets.push(socket)
      return socket
    },
    adopt: (raw) => raw,
    claim: main.claim,
    reserveMore: options.reserveMore ?? claim
  })
  const hosts = (count: number) => Array.from({ length: count }, (_, index) => ({ host: `10.0.0.${index}`, port: 1 }))
  const run = (count: number) => Effect.forkChild(attempts.run(hosts(count)), { startImmediately: true })
  const socket = (index: number): Net.Socket => {
    const found = sockets[index]
    assert(found !== undefined, `no attempt ${index}`)
    return found
  }
  /** Node announces an attempt, and gives it its descriptor in the same step. */
  const announce = (index: number) => {
    socket(index).emit("connectionAttempt")
    return Effect.promise(() => Promise.resolve())
  }
  return {
    attempts,
    counts,
    sockets,
    run,
    socket,
    announce,
    destroyed: () => sockets.map(({ destroyed }) => destroyed),
    fail: (index: number, code: string) => {
      socket(index).emit("error", coded(code))
      socket(index).destroy()
    }
  }
}

describe("attempts", () => {
  it.effect("a second address starts 250 ms after the first, and the first may still win a second later", () =>
    Effect.gen(function*() {
      const { attempts, destroyed, fail, run, socket, sockets } = setUp()
      const fiber = yield* run(2)
      yield* TestClock.adjust("249 millis")
      assert.strictEqual(sockets.length, 1)
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(sockets.length, 2)
      fail(1, "ECONNREFUSED")
      yield* TestClock.adjust("750 millis")
      assert.deepStrictEqual(destroyed(), [false, true])
      socket(0).emit("connect")
      yield* Fiber.join(fiber)
      assert.strictEqual(attempts.winner, socket(0))
      assert.isFalse(socket(0).destroyed)
      socket(0).destroy()
    }))

  it.effect("an address that fails is followed by the next one at once, and the winner ends all others", () =>
    Effect.gen(function*() {
      const { attempts, destroyed, fail, run, socket, sockets } = setUp()
      const fiber = yield* run(4)
      yield* TestClock.adjust("250 millis")
      fail(1, "ECONNREFUSED")
      assert.strictEqual(sockets.length, 3)
      // The failure of an address that was tried before says nothing of the one that is tried now.
      fail(0, "ETIMEDOUT")
      assert.strictEqual(sockets.length, 3)
      yield* TestClock.adjust("250 millis")
      assert.strictEqual(sockets.length, 4)
      socket(2).emit("connect")
      yield* Fiber.join(fiber)
      assert.strictEqual(attempts.winner, socket(2))
      assert.deepStrictEqual(destroyed(), [true, true, false, true])
      socket(2).destroy()
    }))

  it.effect("all failures are kept when no address answers", () =>
    Effect.gen(function*() {
      const { attempts, fail, run } = setUp()
      const fiber = yield* run(3)
      fail(0, "ENETUNREACH")
      fail(1, "ECONNREFUSED")
      fail(2, "ETIMEDOUT")
      yield* Fiber.join(fiber)
      const cause = combinedError(attempts.failures)
      assert(cause instanceof AggregateError)
      assert.propertyVal(cause, "code", "ECONNREFUSED")
      assert.deepStrictEqual(cause.errors.map(({ code }) => code), ["ECONNREFUSED", "ETIMEDOUT", "ENETUNREACH"])
    }))

  it.effect("an interruption at any time, and an end from outside, destroy every socket", () =>
    Effect.gen(function*() {
      for (const millis of [0, 250, 500, 750]) {
        const { destroyed, run } = setUp()
        const fiber = yield* run(3)
        yield* TestClock.adjust(millis)
        yield* Fiber.interrupt(fiber)
        assert.deepStrictEqual(destroyed(), destroyed().map(() => true), `after ${millis} ms`)
      }
      const { attempts, destroyed, run } = setUp()
      const fiber = yield* run(3)
      yield* TestClock.adjust("250 millis")
      attempts.end()
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(destroyed(), [true, true])
      assert.isUndefined(attempts.winner)
    }))

  it.effect("two at once have a claim each, and one is left for the winner, whichever it is", () =>
    Effect.gen(function*() {
      for (const winner of [0, 1]) {
        const { announce, attempts, counts, run, socket } = setUp()
        const fiber = yield* run(2)
        yield* announce(0)
        assert.deepStrictEqual(counts, { claimed: 0, ended: 0 })
        yield* TestClock.adjust("250 millis")
        assert.deepStrictEqual(counts, { claimed: 1, ended: 0 })
        yield* announce(1)
        assert.deepStrictEqual(counts, { claimed: 0, ended: 0 })
        socket(winner).emit("connect")
        yield* Fiber.join(fiber)
        assert.deepStrictEqual(counts, { claimed: 0, ended: 1 }, `winner ${winner}`)
        attempts.reclaim()
        assert.deepStrictEqual(counts, { claimed: 1, ended: 1 })
        socket(winner).destroy()
      }
    }))

  it.effect("an attempt that failed leaves its claim to the next one", () =>
    Effect.gen(function*() {
      const { announce, counts, fail, run, socket, sockets } = setUp()
      const fiber = yield* run(2)
      yield* announce(0)
      fail(0, "ECONNREFUSED")
      assert.deepStrictEqual([sockets.length, counts.claimed, counts.ended], [2, 1, 0])
      yield* announce(1)
      socket(1).emit("connect")
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(counts, { claimed: 0, ended: 0 })
      socket(1).destroy()
    }))

  it.effect("without room for two descriptors the addresses are tried one after the other", () =>
    Effect.gen(function*() {
      const { attempts, fail, run, socket, sockets } = setUp({ reserveMore: () => undefined })
      const fiber = yield* run(2)
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(sockets.length, 1)
      fail(0, "ETIMEDOUT")
      assert.strictEqual(sockets.length, 2)
      socket(1).emit("connect")
      yield* Fiber.join(fiber)
      assert.strictEqual(attempts.winner, socket(1))
      socket(1).destroy()
    }))

  it.effect("an address for which there was no descriptor beside another is tried again alone", () =>
    Effect.gen(function*() {
      const { attempts, fail, run, socket, sockets } = setUp()
      const fiber = yield* run(2)
      yield* TestClock.adjust("250 millis")
      fail(1, "EMFILE")
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(sockets.length, 2)
      fail(0, "ETIMEDOUT")
      assert.strictEqual(sockets.length, 3)
      socket(2).emit("connect")
      yield* Fiber.join(fiber)
      assert.strictEqual(attempts.winner, socket(2))
      assert.deepStrictEqual(attempts.failures.length, 1)
      socket(2).destroy()
    }))
})

describe("addresses", () => {
  it("of both families take turns, and keep their order within a family", () => {
    const of = (text: string) => text.split("").map((name) => ({ name, family: name === name.toUpperCase() ? 6 : 4 }))
    const names = (text: string) => interleaved(of(text)).map(({ name }) => name).join("")
    assert.deepStrictEqual(["ABcd", "aBC", "ABCd", "abC", "abc", "A", ""].map(names), [
      "AcBd",
      "aBC",
      "AdBC",
      "aCb",
      "abc",
      "A",
      ""
    ])
  })
})
