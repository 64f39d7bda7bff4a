import { assert, describe, it } from "@effect/vitest"
import { tcp } from "effect-sluice/Endpoint"
import * as Result from "effect/Result"
import { endpointOf } from "../../../../src/Clients/internal/postgres/Address.ts"

describe("the address of a server", () => {
  it("is that of a host, also if its name is `unix`", () => {
    for (const host of ["db.example", "unix"]) {
      assert.deepStrictEqual(endpointOf({ host, port: 5433 }), Result.succeed(tcp(host, 5433)))
    }
    assert.isTrue(Result.isFailure(endpointOf({ host: "unix", port: 0 })))
  })
})
