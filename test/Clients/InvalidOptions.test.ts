/**
 * What a caller of a client reads about an invalid option: the name and the value that the caller has written, and no secret. Nothing is
 * opened, so no server is needed.
 */
import { afterEach, assert, describe, it, vi } from "@effect/vitest"
import { Effect, Layer, Redacted } from "effect"
import * as Endpoint from "effect-sluice/Endpoint"
import * as Http from "effect-sluice/Http"
import * as Mysql from "effect-sluice/Mysql"
import * as Postgres from "effect-sluice/Postgres"
import * as Redis from "effect-sluice/Redis"
import * as RedisBudget from "effect-sluice/RedisBudget"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import { invalidOption } from "../support/InvalidOption.ts"

/** A value that only a caller without types can give. */
const untyped = (value: unknown) => value as never

const messageOf = <A, E>(layer: Layer.Layer<A, E, ResourceMonitor.ResourceMonitor>) =>
  Effect.map(
    invalidOption(Effect.scoped(Layer.build(Layer.provide(layer, ResourceMonitor.layerUnlimited)))),
    ({ message }) => message
  )

const aRedacted = "but it must be a Redacted, such as Redacted.make(text)"
const aPort = "but it must be a whole number from 1 to 65535"

describe("an invalid option of a client", () => {
  it.effect.each<readonly [string, Layer.Layer<never, never, ResourceMonitor.ResourceMonitor>]>([
    [`Postgres: option url is <redacted>, ${aRedacted}`, Postgres.layer({ url: untyped("postgres://a:secret@db/c") })],
    [`Postgres: option password is ***, ${aRedacted}`, Postgres.layer({ password: untyped("secret") })],
    [`Postgres: option port is 0, ${aPort}`, Postgres.layer({ host: "db", port: 0 })],
    [`Postgres: option port is "5432", ${aPort}`, Postgres.layer({ host: "db", port: untyped("5432") })],
    [`Mysql: option url is <redacted>, ${aRedacted}`, Mysql.layer({ url: untyped("mysql://a:secret@db/c") })],
    [`Mysql: option password is ***, ${aRedacted}`, Mysql.layer({ password: untyped("secret") })],
    [
      "Mysql: option url is <redacted>, but it must be a URL that begins with mysql: and names a server",
      Mysql.layer({ url: Redacted.make("postgres://a:secret@db/c") })
    ],
    [`Mysql: option port is "3306", ${aPort}`, Mysql.layer({ host: "db", port: untyped("3306") })],
    ["Mysql: option host is \"a b\", but it must be a domain name", Mysql.layer({ host: "a b" })],
    ["Mysql: option connectionTTL is 0, but it must be a duration above 0", Mysql.layer({ connectionTTL: 0 })],
    [
      "Redis: option url is \"postgres://...\", but it must be a URL such as redis://",
      Redis.layer({ url: "postgres://a:secret@db/c" })
    ],
    [`Redis: option port is 0, ${aPort}`, Redis.layer({ host: "db", port: 0 })],
    ["Redis: option host is \"a b\", but it must be a domain name", Redis.layer({ host: "a b" })],
    [
      "RedisBudget: option url is \"http://...\", but it must be a URL such as redis://",
      RedisBudget.layer({ key: "a", connections: 1, url: "http://a:secret@db" })
    ],
    [`RedisBudget: option port is 0, ${aPort}`, RedisBudget.layer({ key: "a", connections: 1, port: 0 })],
    [
      "RedisBudget: option clientName is \"a b\", but it must be printable",
      RedisBudget.layer({ key: "a", connections: 1, clientName: "a b" })
    ],
    ["Http: option maxPerOrigin is 0, but it must be a whole number of at least 1", Http.layer({ maxPerOrigin: 0 })],
    ["Http: option maxTotal is 0, but it must be a whole number of at least 1", Http.layer({ maxTotal: 0 })],
    [
      "Http: option maxPerOrigin is 9, but it must be at most maxTotal, which is 3",
      Http.layer({ maxPerOrigin: 9, maxTotal: 3 })
    ],
    ["Postgres: option acquireTimeout is 0, but it must be a finite duration", Postgres.layer({ acquireTimeout: 0 })],
    ["Mysql: option acquireTimeout is 0, but it must be a finite duration", Mysql.layer({ acquireTimeout: 0 })],
    ["Redis: option acquireTimeout is 0, but it must be a finite duration", Redis.layer({ acquireTimeout: 0 })],
    ["Http: option acquireTimeout is 0, but it must be a finite duration", Http.layer({ acquireTimeout: 0 })],
    ["Http: option connectTimeout is 0, but it must be a finite duration", Http.layer({ connectTimeout: 0 })],
    [
      "Postgres: option retry is [object Object], but it must be a policy, such as RetryPolicy.make(options)",
      Postgres.layer({ retry: untyped({ maxAttempts: 3 }) })
    ]
  ])("is told as it was written: %s", ([expected, layer]) =>
    Effect.gen(function*() {
      const message = yield* messageOf(layer)
      assert.isTrue(message.startsWith(expected), message)
      assert.notInclude(message, "secret")
    }))
})

describe("a user name for PostgreSQL", () => {
  afterEach(() => vi.unstubAllEnvs())

  it.effect("that neither the options nor the environment have is told before anything is dialed", () =>
    Effect.gen(function*() {
      vi.stubEnv("USER", undefined)
      vi.stubEnv("USERNAME", undefined)
      const open = Postgres.connector({}).open(Endpoint.tcp("127.0.0.1", 1))
      const { message } = yield* invalidOption(Effect.scoped(open))
      assert.include(message, "Postgres: option username is undefined, but it must be given")
    }))
})
