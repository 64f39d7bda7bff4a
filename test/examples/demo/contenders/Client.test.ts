import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { FaultProxy } from "effect-sluice/Testing"
import * as Server from "../../../../examples/demo/backend/Server.ts"
import { Client, mostHeld } from "../../../../examples/demo/contenders/Client.ts"

const fixture = Effect.flatMap(Server.make, FaultProxy.make)

/** Each test in one client, which is destroyed at its end. */
const client = Effect.acquireRelease(
  Effect.sync(() => new Client()),
  (client) => Effect.sync(() => client.destroy())
)

/** The code of the error with which a promise is rejected. */
const failure = (promise: () => Promise<void>): Effect.Effect<string | undefined> =>
  Effect.promise(() => promise().then(() => undefined, (error: NodeJS.ErrnoException) => error.code))

describe("the client of the demo's server", () => {
  it.live("is usable once the server has answered, and after each answer", () =>
    Effect.gen(function*() {
      const { endpoint } = yield* fixture
      const made = yield* client
      assert.isFalse(made.usable)
      yield* Effect.promise(() => made.connect(endpoint.port, endpoint.host, 1000))
      assert.isTrue(made.usable)
      yield* Effect.promise(() => made.request(1000))
      assert.isTrue(made.usable)
    }))

  it.live("cannot be used after a timeout, since the answer may still arrive", () =>
    Effect.gen(function*() {
      const proxy = yield* fixture
      const made = yield* client
      yield* Effect.promise(() => made.connect(proxy.endpoint.port, proxy.endpoint.host, 1000))
      yield* proxy.freeze
      assert.strictEqual(yield* failure(() => made.request(50)), "ETIMEDOUT")
      assert.isFalse(made.usable)
      yield* proxy.thaw
    }))

  it.live("does not connect to a server that accepts and does not answer", () =>
    Effect.gen(function*() {
      const proxy = yield* fixture
      const made = yield* client
      yield* proxy.freeze
      assert.strictEqual(yield* failure(() => made.connect(proxy.endpoint.port, proxy.endpoint.host, 50)), "ETIMEDOUT")
      yield* proxy.thaw
    }))

  it.live("fails with the error of the system when the dial is refused or the connection is reset", () =>
    Effect.gen(function*() {
      const proxy = yield* fixture
      const made = yield* client
      yield* Effect.promise(() => made.connect(proxy.endpoint.port, proxy.endpoint.host, 1000))
      const reset = yield* Effect.forkChild(failure(() => made.request(1000)), { startImmediately: true })
      yield* Effect.andThen(proxy.refuse, proxy.reset)
      assert.strictEqual(yield* Fiber.join(reset), "ECONNRESET")
      const other = yield* client
      const refused = yield* failure(() => other.connect(proxy.endpoint.port, proxy.endpoint.host, 1000))
      assert.strictEqual(refused, "ECONNREFUSED")
    }))

  it.live("counts the connections that are held at once, a destroyed one no longer", () =>
    Effect.gen(function*() {
      const { endpoint } = yield* fixture
      const connect = (made: Client) => Effect.promise(() => made.connect(endpoint.port, endpoint.host, 1000))
      const before = mostHeld()
      for (let i = 0; i < before + 3; i++) {
        const made = new Client()
        yield* connect(made)
        made.destroy()
        made.destroy()
      }
      assert.isAtMost(mostHeld(), Math.max(before, 1))
      const many = yield* Effect.forEach(Array.from({ length: before + 2 }), () => client)
      yield* Effect.forEach(many, connect)
      assert.strictEqual(mostHeld(), before + 2)
      yield* Effect.promise(() => Promise.all(many.map((made) => made.close())))
    }))
})
