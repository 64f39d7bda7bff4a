/**
 * What a simulated fleet shows. Its times are virtual, so that the same seed has the same outcome everywhere.
 */
import { assert, describe, it } from "@effect/vitest"
import { type Setting, usual } from "../../../benchmark/fleet/setting.ts"
import { simulate } from "../../../benchmark/fleet/simulation.ts"

const service = { acquire: 0.04, wait: 0.025, release: 0.04, renew: 0.02 }

/** 20 permits, of which 18 are used on average. */
const busy: Setting = { ...usual, service, permits: 20, instances: 370, patience: 3000, warmUp: 1000, end: 6000 }

describe("a simulated fleet", () => {
  it("has the same outcome with the same seed, and another with another", () => {
    const setting = { ...busy, instances: 100 }
    assert.deepStrictEqual(simulate(setting), simulate(setting))
    assert.notDeepEqual(simulate(setting), simulate({ ...setting, seed: 2 }))
  })

  it("has two scripts for a session where no instance waits, and never more sessions than permits", () => {
    const few = simulate({ ...busy, instances: 100 })
    assert.closeTo(few.scriptsEach, 2, 0.01)
    // Two ways over the network, and the script.
    assert.closeTo(few.wait.mean, 0.54, 0.05)
    const many = simulate(busy)
    assert.strictEqual(many.sessions, 20)
    assert.strictEqual(many.failed, 0)
    assert.isAbove(many.wait.mean, few.wait.mean)
  })

  it("shares one database in turns when all come at once: two scripts with messages, more without, and all are served", () => {
    const all: Setting = { ...busy, instances: 200, arrivals: { _tag: "Burst", rounds: 1, after: 1000 }, end: 60_000 }
    const told = simulate({ ...all, wake: "subscribe" })
    assert.deepStrictEqual([told.served, told.scriptsEach, told.sessions], [200, 2, 20])
    assert.isAtMost(told.took, 1.1 * 500)
    const polling = simulate(all)
    assert.deepStrictEqual([polling.served, polling.sessions], [200, 20])
    assert.isAbove(polling.scriptsEach, 4)
    assert.isAtMost(polling.took, 1.25 * 500)
  })
})

describe("a store that does not answer for a while", () => {
  const away = { ...busy, patience: 5000, away: { from: 2000, to: 10_000 }, end: 14_000 }

  it("costs service with fail, and the limit with allow", () => {
    const [failing, allowing] = [
      simulate({ ...away, onStoreError: "fail" }),
      simulate({ ...away, onStoreError: "allow" })
    ]
    assert.strictEqual(failing.sessions, 20)
    assert.isAbove(failing.failed, 100)
    assert.isAbove(allowing.sessions, 20)
    assert.strictEqual(allowing.failed, 0)
    assert.isAbove(allowing.served, 1.5 * failing.served)
  })

  it("is asked again afterwards by all", () => {
    const before = simulate({ ...busy, end: 9000 })
    const after = simulate({ ...away, onStoreError: "fail", warmUp: 16_000, end: 24_000 })
    assert.closeTo(after.served / before.served, 1, 0.05)
    assert.strictEqual(after.failed, 0)
  })
})

describe("the limits of one store", () => {
  it("answers late beyond what it can execute, and two stores do not", () => {
    const slow = { acquire: 0.4, wait: 0.25, release: 0.4, renew: 0.2 }
    const fleet: Setting = { ...usual, service: slow, instances: 1400, budgets: 2, warmUp: 1000, end: 3000 }
    const [one, two] = [
      simulate({ ...fleet, onStoreError: "fail" }),
      simulate({ ...fleet, stores: 2, onStoreError: "fail" })
    ]
    assert.isAbove(one.utilisation, 0.99)
    assert.isAbove(one.wait.p50, 20)
    assert.isBelow(two.utilisation, 0.7)
    assert.isBelow(two.wait.p99, 10)
  })

  it("executes far fewer scripts for processes that share what they take at once, whose instances wait longer", () => {
    const fleet: Setting = { ...usual, service, instances: 500, permits: 40, warmUp: 3000, end: 13_000 }
    const [alone, sharing] = [simulate(fleet), simulate({ ...fleet, shares: { size: 50, permits: 4, tenure: 5000 } })]
    assert.isBelow(sharing.scripts, alone.scripts / 50)
    assert.isAbove(sharing.wait.mean, alone.wait.mean)
    assert.isAtMost(sharing.sessions, 40)
    assert.closeTo(sharing.served / alone.served, 1, 0.03)
  })
})

describe("holders that are lost", () => {
  it("keep their permits for a lease, and no connection is opened above the limit if the server ends their sessions before", () => {
    const lossy: Setting = { ...usual, permits: 50, instances: 400, lease: 3000, warmUp: 4000, end: 14_000 }
    const ended = simulate({ ...lossy, losses: { share: 0.01, sessionLives: 2000 } })
    assert.closeTo(ended.lost, 12, 3)
    assert.isAtMost(ended.sessions, 50)
    const kept = simulate({ ...lossy, losses: { share: 0.01, sessionLives: 20_000 } })
    assert.isAbove(kept.sessions, 50)
  })

  it("renew nothing, while those that hold for long renew after a third of their lease", () => {
    const long: Setting = {
      ...usual,
      instances: 90,
      lease: 3000,
      arrivals: { _tag: "Think", mean: 10 },
      hold: { mean: 30_000, isExponential: false },
      warmUp: 2000,
      end: 12_000
    }
    // 90 processes, each once a second.
    assert.closeTo(simulate(long).scripts, 90, 25)
    const lost = simulate({ ...long, losses: { share: 1, sessionLives: 60 } })
    assert.strictEqual(lost.scripts, 0)
  })
})
