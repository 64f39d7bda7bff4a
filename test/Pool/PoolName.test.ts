/**
 * The name of a pool: unique, and the same in spans, errors and log lines.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Logger, References, Scope, Tracer } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Endpoint from "effect-sluice/Endpoint"
import * as RetryPolicy from "effect-sluice/RetryPolicy"
import { TestClock } from "effect/testing"
import { TypeId } from "../../src/Pool/PoolRegistry.ts"
import { fork, id, settle, test } from "../support/Pools.ts"
import * as Scripted from "../support/ScriptedConnector.ts"

const nameOf = <K, A>(pool: ConnectionPool.ConnectionPool<K, A>) => pool[TypeId].registered.name

/** A connector for any key. */
const { connector } = Scripted.make()
const forEndpoints = {
  open: (endpoint: { readonly host: string; readonly port: number }) => Effect.succeed({ endpoint })
}

const collectSpans = () => {
  const spans: Array<Tracer.NativeSpan> = []
  const tracer = Tracer.make({
    span: (options) => {
      const span = new Tracer.NativeSpan(options)
      spans.push(span)
      return span
    }
  })
  const own = () => spans.filter(({ name }) => name.startsWith("ConnectionPool."))
  return { own, tracer }
}

describe("the name of a pool", () => {
  it.effect("is unique among the live pools", () =>
    test(Effect.gen(function*() {
      const scope = yield* Scope.make()
      const make = ConnectionPool.make({ connector, name: "unique" })
      const first = yield* Scope.provide(make, scope)
      const [second, third] = [yield* make, yield* make]
      assert.deepStrictEqual([first, second, third].map(nameOf), ["unique", "unique-2", "unique-3"])
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(nameOf(yield* make), "unique")
      assert.strictEqual(nameOf(yield* make), "unique-4")
    })))

  it.effect("is without an option the address of its only endpoint, or pool", () =>
    test(Effect.gen(function*() {
      const names = yield* Effect.forEach([
        Endpoint.tcp("name.test", 5432),
        Endpoint.tcp("2001:db8::1", 5432)
      ], (endpoint) => Effect.map(ConnectionPool.make({ connector: forEndpoints, endpoint }), nameOf))
      assert.deepStrictEqual(names, ["name.test:5432", "[2001:db8::1]:5432"])
      assert.match(nameOf(yield* ConnectionPool.make({ connector })), /^pool(-\d+)?$/)
      assert.match(nameOf(yield* ConnectionPool.make({ connector, endpoint: "db" })), /^pool(-\d+)?$/)
    })))

  it.effect("begins the message of its errors if it was given", () =>
    test(Effect.gen(function*() {
      const errorOf = (pool: ConnectionPool.ConnectionPool<string, Scripted.Scripted>) =>
        Effect.andThen(ConnectionPool.drain(pool, "1 second"), Effect.flip(ConnectionPool.use(pool, "a", id)))
      const given = yield* errorOf(yield* ConnectionPool.make({ connector, name: "named" }))
      assert.strictEqual(given.message, "named: the pool is closed: nothing is leased to a any more")
      assert.strictEqual(given.pool, "named")
      const other = yield* errorOf(yield* ConnectionPool.make({ connector }))
      assert.strictEqual(other.message, "the pool is closed: nothing is leased to a any more")
      assert.notProperty(other, "pool")
    })))

  it.effect("is in its log lines: in the text if it was given, and always as an annotation", () => {
    const lines: Array<readonly [string, unknown]> = []
    const logger = Logger.make(({ fiber, message }) => {
      const annotations = fiber.getRef(References.CurrentLogAnnotations)
      lines.push([String(message), annotations["db.client.connection.pool.name"]])
    })
    return test(Effect.gen(function*() {
      const { connector } = Scripted.make({ close: () => Effect.die(new Error("no")) })
      const named = yield* ConnectionPool.make({ connector, name: "logged" })
      const unnamed = yield* ConnectionPool.make({ connector })
      for (const pool of [named, unnamed]) {
        yield* ConnectionPool.use(pool, "a", id)
        yield* ConnectionPool.evict(pool)
        yield* settle
      }
      assert.deepStrictEqual(lines.map(([, name]) => name), ["logged", nameOf(unnamed)])
      assert.match(lines[0]?.[0] ?? "", /^ConnectionPool logged: closing a connection to a has failed/)
      assert.match(lines[1]?.[0] ?? "", /^ConnectionPool: closing a connection to a has failed/)
    })).pipe(Effect.provide(Logger.layer([logger])))
  })
})

describe("the spans of a pool", () => {
  it.effect("have its name, the address of the endpoint, and the kind of a failure", () => {
    const { own, tracer } = collectSpans()
    return test(Effect.gen(function*() {
      const { connector } = Scripted.make({ open: () => Effect.fail(new Scripted.ScriptedFailure("ECONNREFUSED")) })
      const pool = yield* ConnectionPool.make({
        name: "traced",
        retry: RetryPolicy.make({ maxAttempts: 1 }),
        connector: { open: ({ host }: Endpoint.TcpEndpoint) => connector.open(host) }
      })
      const endpoint = Endpoint.tcp("name.test", 5432)
      yield* Effect.flip(Effect.withSpan(ConnectionPool.use(pool, endpoint, Effect.succeed), "route"))
      const attributes = {
        "db.client.connection.pool.name": "traced",
        "sluice.pool.endpoint": "name.test:5432",
        "server.address": "name.test",
        "server.port": 5432
      }
      assert.deepStrictEqual(
        Object.fromEntries(own().map((span) => [span.name, Object.fromEntries(span.attributes)])),
        {
          "ConnectionPool.acquire": { ...attributes, "error.type": "ConnectFailed" },
          "ConnectionPool.connect": { ...attributes, "error.type": "ECONNREFUSED" }
        }
      )
    })).pipe(Effect.provideService(Tracer.Tracer, tracer))
  })

  it.effect("say which error a borrow that runs out of time has had, and nothing of one that is interrupted", () => {
    const { own, tracer } = collectSpans()
    return test(Effect.gen(function*() {
      const { connector } = Scripted.make({ open: () => Effect.never })
      const pool = yield* ConnectionPool.make({ connector, acquireTimeout: "1 second" })
      yield* fork(Effect.exit(Effect.withSpan(ConnectionPool.use(pool, "a", id), "route")))
      yield* fork(Effect.withSpan(Effect.timeoutOption(ConnectionPool.use(pool, "a", id), "500 millis"), "route"))
      yield* settle
      yield* TestClock.adjust("1 second")
      yield* settle
      const types = own().filter(({ name }) => name.endsWith("acquire")).map(({ attributes }) =>
        attributes.get("error.type")
      )
      assert.deepStrictEqual(types, ["AcquireTimeout", undefined])
    })).pipe(Effect.provideService(Tracer.Tracer, tracer))
  })
})

describe("a name with a secret", () => {
  it.effect("is masked where it is given, so that no text of the pool has the secret", () =>
    test(Effect.gen(function*() {
      const pool = yield* ConnectionPool.make({ connector, name: "postgres://u:hunter2@db/x" })
      assert.strictEqual(nameOf(pool), "postgres://***@db/x")
      const other = yield* ConnectionPool.make({ connector, name: "postgres://u:other@db/x" })
      assert.strictEqual(nameOf(other), "postgres://***@db/x-2")
    })))
})
