import { assert, describe, it } from "@effect/vitest"
import { ResolvedName } from "../../../../src/Resource/internal/tcp/ResolvedNames.ts"

const interval = 30_000

const answers = (...found: ReadonlyArray<ReadonlyArray<string>>): ResolvedName => {
  const name = new ResolvedName(interval)
  found.forEach((addresses, index) => name.found(addresses, index * interval))
  return name
}

describe("ResolvedName", () => {
  it("keeps an address that is in one of the last two answers", () => {
    assert.isTrue(answers(["a"]).mayLease("a"))
    assert.isTrue(answers(["a"], ["b"]).mayLease("a"))
    assert.isTrue(answers(["a"], ["b"], ["a"]).mayLease("b"))
  })

  it("gives up one connection to an address that is gone, and the others when a dial elsewhere has succeeded", () => {
    const name = answers(["a"], ["b"], ["b"])
    assert.isFalse(name.mayLease("a"))
    assert.isTrue(name.mayLease("a"))
    assert.isTrue(name.mayLease("a"))
    name.connected("b")
    assert.isFalse(name.mayLease("a"))
    assert.isFalse(name.mayLease("a"))
    assert.isTrue(name.mayLease("b"))
  })

  it("tries the new addresses once for each interval while nothing answers there", () => {
    const name = answers(["a"], ["b"], ["b"])
    const given = [3, 4, 5].map((index) => {
      name.found(["b"], index * interval)
      return [name.mayLease("a"), name.mayLease("a"), name.mayLease("a")]
    })
    assert.deepStrictEqual(given, Array.from({ length: 3 }, () => [false, true, true]))
  })

  it("counts the answers of one interval as one, so that addresses in turns stay", () => {
    const name = new ResolvedName(interval)
    for (let index = 0; index < 40; index++) name.found([["a"], ["b"], ["c"]][index % 3] ?? [], index * interval / 10)
    for (const address of ["a", "b", "c"]) assert.isTrue(name.mayLease(address))
  })

  it("takes the answer of a timer that fires a little early for the next one", () => {
    const name = new ResolvedName(interval)
    name.found(["a"], 0)
    name.found(["b"], interval - 1)
    name.found(["b"], 2 * interval - 2)
    assert.isFalse(name.mayLease("a"))
  })

  it("does not take a dial to an address that is gone for a proof", () => {
    const name = answers(["a"], ["b"], ["b"])
    name.connected("a")
    assert.isFalse(name.mayLease("a"))
    assert.isTrue(name.mayLease("a"))
  })
})
