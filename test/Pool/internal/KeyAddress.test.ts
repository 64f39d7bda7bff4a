import { assert, describe, it } from "@effect/vitest"
import * as Endpoint from "effect-sluice/Endpoint"
import { addressOf } from "../../../src/Pool/internal/KeyAddress.ts"

describe("the address in a key", () => {
  it("is that of a TCP endpoint, or of an object with a host and a port", () => {
    assert.deepStrictEqual(addressOf(new Endpoint.TcpEndpoint({ host: "db", port: 5432 })), { host: "db", port: 5432 })
    assert.deepStrictEqual(addressOf({ host: "db", port: 1, user: "me" }), { host: "db", port: 1 })
  })

  it("is missing in all other keys", () => {
    const throwing = {
      port: 1,
      get host(): string {
        throw new Error("no")
      }
    }
    const unix = new Endpoint.UnixEndpoint({ path: "/run/db" })
    for (const key of ["db:5432", 1, null, undefined, {}, { host: "db" }, { host: "", port: 1 }, throwing, unix]) {
      assert.isUndefined(addressOf(key))
    }
    assert.isUndefined(addressOf({ host: "db", port: "5432" }))
  })

  it("has no control characters and no secrets", () => {
    assert.deepStrictEqual(addressOf({ host: "a\n\u001b[31mb", port: 1 }), { host: "a\\x0a\\x1b[31mb", port: 1 })
    assert.notInclude(addressOf({ host: "user:geheim@db", port: 1 })?.host, "geheim")
  })
})
