import { assert, describe, it } from "@effect/vitest"
import * as Silence from "../../../src/Pool/internal/Silence.ts"

const usesOf = (...millis: ReadonlyArray<number>): Silence.UseTimes => {
  const uses = new Silence.UseTimes()
  millis.forEach((one, index) => uses.add(one, index))
  return uses
}

const hundred = (millis: number): ReadonlyArray<number> => Array.from({ length: 100 }, () => millis)

describe("how long a use of an endpoint lasts", () => {
  it("is the mean of the uses that are under way at any moment", () => {
    assert.strictEqual(usesOf(...hundred(5)).typical, 5)
    assert.approximately(usesOf(...hundred(5), 10_000).typical, 9524, 1)
    assert.strictEqual(new Silence.UseTimes().typical, 0)
  })

  it("is known after twenty answers", () => {
    assert.isFalse(usesOf(...hundred(5).slice(0, 19)).areKnown)
    assert.isTrue(usesOf(...hundred(5).slice(0, 20)).areKnown)
  })

  it("follows a change within minutes", () => {
    const uses = usesOf(...hundred(1000))
    for (let at = 0; at < 15 * 60_000; at += 100) uses.add(5, at)
    assert.isBelow(uses.typical, 10)
  })
})

describe("an endpoint for which borrowers wait", () => {
  /** The moment at which it counts as silent after 1000 ms with answers, if one look follows another as planned. */
  const silentAfter = (uses: Silence.UseTimes, connections: number, every = Silence.lookEvery): number => {
    let watch = Silence.watchFrom(0)
    for (let now = every; now < 100_000; now += every) {
      const facts = { now, answeredAt: Math.min(now, 1000), connections, uses }
      watch = Silence.looked(watch, facts)
      if (Silence.isSilent(watch, facts)) return now - 1000
    }
    return Infinity
  }

  it("is silent within a second if its uses are short", () => {
    assert.isAtMost(silentAfter(usesOf(...hundred(5)), 2), 800)
    assert.isAtMost(silentAfter(usesOf(...hundred(150)), 8), 800)
  })

  it("is given more time if its uses are long, and if only one connection is in use", () => {
    assert.isAtLeast(silentAfter(usesOf(...hundred(1000)), 2), 4000)
    assert.isAtLeast(silentAfter(usesOf(...hundred(5), 10_000), 2), 38_000)
    assert.isAtLeast(silentAfter(usesOf(...hundred(5)), 1), 2400)
  })

  it("is not judged before enough is known of it, or without a connection", () => {
    assert.strictEqual(silentAfter(usesOf(5, 5, 5), 2), Infinity)
    assert.strictEqual(silentAfter(usesOf(...hundred(5)), 0), Infinity)
  })

  it("is not silent right after an outage in which it had no connection", () => {
    const uses = usesOf(...hundred(5))
    const outage = Silence.looked({ silentSince: 0, lookedAt: 4900, looks: 49 }, {
      now: 5000,
      answeredAt: 0,
      connections: 0,
      uses
    })
    const back = { now: 5100, answeredAt: 0, connections: 2, uses }
    assert.isFalse(Silence.isSilent(Silence.looked(outage, back), back))
  })

  it("is not silent because the process stood still", () => {
    assert.isAtLeast(silentAfter(usesOf(...hundred(5)), 2, 5000), 15_000)
  })
})

describe("a borrower that ran out of time", () => {
  const late: Silence.LateWait = {
    now: 10_000,
    waitingSince: 5000,
    answeredAt: 4000,
    connections: 2,
    uses: usesOf(...hundred(5))
  }

  it("says something of an endpoint that has answered nothing meanwhile", () => {
    assert.isTrue(Silence.isTelling(late))
    assert.isTrue(Silence.isTelling({ ...late, answeredAt: -1, uses: usesOf() }), "it has never answered")
  })

  it("says nothing of an endpoint that has answered others, or usually takes as long", () => {
    assert.isFalse(Silence.isTelling({ ...late, answeredAt: 5000 }))
    assert.isFalse(Silence.isTelling({ ...late, uses: usesOf(...hundred(2000)) }))
  })
})
