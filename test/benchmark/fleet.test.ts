/**
 * The simulation of a fleet against what is known.
 */
import { assert, describe, it } from "@effect/vitest"
import { closedForms, simulatedCrowd } from "../../benchmark/fleet.ts"
import { lostPermits, waitForOne, waitOfFleet } from "../../benchmark/fleet/theory.ts"

describe("the closed forms", () => {
  it("have the values of the books", () => {
    assert.strictEqual(waitForOne(0.5, 2), 1)
    assert.strictEqual(lostPermits(10, 0.1, 5), 5)
    // One permit for two instances: none, one or both want it with the weights 1, 2, 2, and 0.8 a second come to want it.
    assert.closeTo(waitOfFleet(2, 1, 1, 1), 0.5, 1e-9)
    assert.closeTo(waitOfFleet(50, 50, 1, 1), 0, 1e-9)
  })

  it("agree with the simulation within 5 %", () => {
    for (const { known, simulated, what } of closedForms()) assert.closeTo(simulated / known, 1, 0.05, what)
  }, 120_000)
})

/**
 * A real crowd of `npm run bench -- --only budget`, with messages, on two processors with 18 other processes that wanted to run. How long the process and
 * Redis had work for a script, waiting for a processor included, was measured in the same run.
 */
const real = {
  took: 4534,
  p50: 1779,
  p99: 2661,
  scripts: 4352,
  times: { loopback: 0.04, script: 1099.4 / 4352, process: 3190.1 / 4352 }
}

describe("1000 contenders for 50 permits in one process", () => {
  it("take as long in the simulation as they took in a real run, within 25 %, and as many scripts", () => {
    const { scriptsEach, took, wait } = simulatedCrowd("subscribe", real.times)
    for (const [simulated, known] of [[took, real.took], [wait.p50, real.p50], [wait.p99, real.p99]] as const) {
      assert.closeTo(simulated / known, 1, 0.25)
    }
    assert.closeTo(scriptsEach, real.scripts / 2000, 0.2)
    // What takes the time is the work of the one process, not the budget.
    assert.isBelow(simulatedCrowd("subscribe", { ...real.times, process: 0, script: 0.04 }).took, 1.02 * 2000)
  }, 60_000)
})
