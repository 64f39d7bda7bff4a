import { assert, describe, it } from "@effect/vitest"
import { Ranks } from "../../../benchmark/fleet/ranks.ts"
import { seeded } from "../../support/random.ts"

describe("Ranks", () => {
  it("counts the entries before each one as a plain list does, beyond its first size", () => {
    const random = seeded(1)
    const ranks = new Ranks()
    let plain: ReadonlyArray<number> = []
    for (let step = 0; step < 6000; step++) {
      if (random() < 0.7) plain = [...plain, ranks.push(`i${step}`)]
      else {
        const chosen = plain[Math.floor(random() * plain.length)]
        if (chosen !== undefined) ranks.remove(chosen)
        plain = plain.filter((number) => number !== chosen)
      }
      if (step % 50 === 0) assert.deepStrictEqual(plain.map((number) => ranks.rank(number)), [...plain.keys()])
    }
    assert.strictEqual(ranks.size, plain.length)
    assert.strictEqual(ranks.all.length, plain.length)
    assert.strictEqual(ranks.head, ranks.all[0])
  })

  it("has no head when all have left, also if one leaves twice", () => {
    const ranks = new Ranks()
    const [one, other] = [ranks.push("a"), ranks.push("b")]
    ranks.remove(one)
    ranks.remove(one)
    assert.deepStrictEqual([ranks.head, ranks.size], ["b", 1])
    ranks.remove(other)
    assert.deepStrictEqual([ranks.head, ranks.size], [undefined, 0])
  })
})
