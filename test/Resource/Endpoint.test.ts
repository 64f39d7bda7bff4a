import { assert, describe, it } from "@effect/vitest"
import { Effect, Equal, Hash, HashMap, Option, Result } from "effect"
import * as Endpoint from "effect-sluice/Endpoint"

const refusal = (text: string) =>
  Result.match(Endpoint.parseResult(text), {
    onSuccess: (endpoint) => assert.fail(`${text} was taken as ${endpoint}`),
    onFailure: (error) => error
  })

describe("Endpoint", () => {
  describe("parse", () => {
    it.each([
      ["localhost:9500", "localhost:9500"],
      ["Multi-Agent-Container:9500", "multi-agent-container:9500"],
      ["localhost.:80", "localhost:80"],
      ["Db.Example.COM.:80", "db.example.com:80"],
      ["10.0.0.5:80", "10.0.0.5:80"],
      ["[::1]:6379", "[::1]:6379"],
      ["[2001:DB8:0:0::1]:443", "[2001:db8::1]:443"],
      ["[fe80::1%eth0]:80", "[fe80::1%eth0]:80"],
      ["unix:/run/db.sock", "unix:/run/db.sock"],
      ["/run/db.sock", "unix:/run/db.sock"],
      ["./db.sock", "unix:./db.sock"],
      ["host:1", "host:1"],
      ["host:65535", "host:65535"]
    ])("takes %s as %s, and its text parses to itself", (text, expected) => {
      const endpoint = Result.getOrThrow(Endpoint.parseResult(text))
      assert.strictEqual(String(endpoint), expected)
      assert.isTrue(Equal.equals(Result.getOrThrow(Endpoint.parseResult(String(endpoint))), endpoint))
    })

    it.each([
      ["", 0],
      ["host", 4],
      ["host:", 5],
      ["localhost:notaport", 10],
      ["host:80x", 7],
      ["host:0", 5],
      ["host:70000", 5],
      ["host:-1", 5],
      [":80", 0],
      ["ex ample:80", 2],
      ["1.2.3:80", 0],
      ["::1:80", 0],
      [".:80", 0],
      ["a..:80", 0],
      ["[::1]", 5],
      ["[::1:80", 7],
      ["[::1]80", 5],
      ["[localhost]:80", 1],
      ["unix:", 5],
      ["unix:/a\0b", 7],
      [`unix:/${"x".repeat(107)}`, 5]
    ])("refuses %j at position %i, naming the text and the rule", (text, position) => {
      const error = refusal(text)
      assert.strictEqual(error.position, position)
      assert.include(error.message, JSON.stringify(text))
      assert.include(error.message, `position ${position}: expected `)
    })

    it.effect("fails as an Effect with EndpointError", () =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(Endpoint.parse("localhost:notaport"))
        assert.strictEqual(error._tag, "EndpointError")
        assert.strictEqual(
          error.message,
          "invalid endpoint \"localhost:notaport\" at position 10: expected a port, a whole number from 1 to 65535"
        )
      }))
  })

  describe("fromUrl", () => {
    it.each([
      ["postgres://app:secret@db.example.com/orders", "db.example.com:5432"],
      ["postgresql://db:6432/orders?sslmode=require", "db:6432"],
      ["postgres://[::1]/orders", "[::1]:5432"],
      ["postgres:///orders", "localhost:5432"],
      ["postgres:///orders?host=/run/postgresql", "unix:/run/postgresql/.s.PGSQL.5432"],
      ["postgres:///orders?host=/tmp&port=6543", "unix:/tmp/.s.PGSQL.6543"],
      ["postgres://%2Fvar%2Frun:5433/orders", "unix:/var/run/.s.PGSQL.5433"],
      ["postgres://db/orders?host=other&port=5555", "other:5555"],
      ["redis://LOCALHOST", "localhost:6379"],
      ["rediss://:secret@cache:6380/3", "cache:6380"],
      ["redis://cache/?host=other&port=1", "cache:6379"],
      ["mysql://root@[2001:DB8:0:0::1]:3307/app", "[2001:db8::1]:3307"],
      ["mysql://db", "db:3306"],
      ["http://Example.COM./path", "example.com:80"],
      ["https://example.com", "example.com:443"],
      ["https://user:secret@[::1]:8443/a?b#c", "[::1]:8443"],
      ["http://127.1", "127.0.0.1:80"]
    ])("takes %s as %s", (url, expected) => {
      const endpoint = Result.getOrThrow(Endpoint.fromUrlResult(url))
      assert.isTrue(Equal.equals(endpoint, Result.getOrThrow(Endpoint.parseResult(expected))))
    })

    it.each([
      ["ftp://app:secret@host/", "ftp://host"],
      ["db:5432", "db:5432"],
      ["app:secret@host:5432", "host:5432"],
      ["postgres://app:secret", "postgres://app"],
      ["postgres://app:sec/ret@host:5432/orders", "postgres://host:5432"],
      ["postgres://app:sec?re#t@[::1]:5432/orders", "postgres://[::1]:5432"],
      ["redis://app:secret@host:70000/0", "redis://host:70000"],
      ["http://app:secret@host:0/secret?secret=secret", "http://host:0"],
      ["postgres://app:secret@h1,h2/orders?password=secret", "postgres://h1,h2"],
      ["postgres://app:secret@host/orders?port=secret", "postgres://host"],
      [`postgres://app:secret@/orders?host=/${"x".repeat(100)}`, "postgres://"]
    ])("refuses %s and says no more of it than %s", (url, shown) => {
      const error = Result.match(Endpoint.fromUrlResult(url), {
        onSuccess: (endpoint) => assert.fail(`${url} was taken as ${endpoint}`),
        onFailure: (error) => error
      })
      assert.strictEqual(error.input, shown)
      assert.isAtMost(error.position, shown.length)
      assert.notMatch(JSON.stringify(error) + error.message + String(error.stack), /sec|ret/)
    })

    it.effect("takes a URL object, and fails as an Effect with EndpointError", () =>
      Effect.gen(function*() {
        const endpoint = yield* Endpoint.fromUrl(new URL("https://user:secret@example.com"))
        assert.isTrue(Equal.equals(endpoint, Endpoint.tcp("example.com", 443)))
        assert.notInclude(JSON.stringify(endpoint), "secret")
        const error = yield* Effect.flip(Endpoint.fromUrl("gopher://host"))
        assert.strictEqual(error._tag, "EndpointError")
        assert.strictEqual(
          error.message,
          "invalid endpoint \"gopher://host\" at position 0: expected a URL whose scheme is postgres, postgresql, " +
            "redis, rediss, mysql, http or https"
        )
      }))
  })

  it("endpoints are equal by value and serve as keys", () => {
    assert.isTrue(Equal.equals(Endpoint.tcp("LOCALHOST", 80), Endpoint.tcp("localhost", 80)))
    assert.strictEqual(Hash.hash(Endpoint.unix("/a")), Hash.hash(Endpoint.unix("/a")))
    assert.isFalse(Equal.equals(Endpoint.tcp("a", 80), Endpoint.tcp("a", 81)))
    const map = HashMap.make([Endpoint.tcp("::1", 80), "value"])
    assert.deepStrictEqual(HashMap.get(map, Endpoint.tcp("0:0:0:0:0:0:0:1", 80)), Option.some("value"))
  })

  it("constructors throw EndpointError on nonsense", () => {
    for (const port of [0, -1, 1.5, 65536, Number.NaN]) {
      assert.throws(() => Endpoint.tcp("host", port), /expected a port/)
    }
    assert.throws(() => Endpoint.tcp("", 80), /expected a domain name/)
    assert.throws(() => Endpoint.unix(""), /the path of a Unix socket/)
  })
})
