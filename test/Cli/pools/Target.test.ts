import { assert, describe, it } from "@effect/vitest"
import { controlUrl, parseTarget, snapshotUrl } from "../../../src/Cli/pools/Target.ts"

describe("the address of a program", () => {
  const cases: ReadonlyArray<readonly [text: string, snapshot: string]> = [
    ["localhost:9464", "http://localhost:9464/pools.json"],
    ["http://10.0.0.1:9464", "http://10.0.0.1:9464/pools.json"],
    ["http://10.0.0.1:9464/pools.json", "http://10.0.0.1:9464/pools.json"],
    ["https://ops.example.com/orders", "https://ops.example.com/orders/pools.json"],
    ["ops.example.com/orders/", "http://ops.example.com/orders/pools.json"],
    ["[::1]:9464", "http://[::1]:9464/pools.json"]
  ]
  for (const [text, snapshot] of cases) {
    it(`${text} is that of ${snapshot}`, () => assert.strictEqual(snapshotUrl(parseTarget(text)).href, snapshot))
  }

  for (const text of ["", "ftp://host", "http://", "host:99999", "http://user:secret@host", "host?x=1", "host#x"]) {
    it(`${JSON.stringify(text)} is none`, () => assert.throws(() => parseTarget(text)))
  }
})

describe("the address of a control endpoint", () => {
  it("has the name of the pool and the endpoint, encoded", () => {
    const target = parseTarget("host:1/ops")
    const url = controlUrl(target, { action: "evict", pool: "a/b ?", endpoint: "db:1 & é" })
    assert.strictEqual(url.pathname, "/ops/pools/a%2Fb%20%3F/evict")
    assert.strictEqual(url.searchParams.get("endpoint"), "db:1 & é")
    assert.strictEqual(
      controlUrl(target, { action: "drain", pool: "a", endpoint: undefined }).href,
      "http://host:1/ops/pools/a/drain"
    )
  })
})
