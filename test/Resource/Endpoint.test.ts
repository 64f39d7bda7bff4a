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
