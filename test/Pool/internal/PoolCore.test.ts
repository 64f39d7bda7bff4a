/**
 * The pool's core alone, without a fiber: every state that so many events lead to, and random histories of the same events. It asks
 * plain pools for the items of its endpoints, which are shown to lead to the same states as Effect's.
 *
 * Where `HISTORIES` is set, as `npm run test:long` does, there are more of each.
 */
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { Context, Exit } from "effect"
import { Lease } from "../../../src/Pool/internal/PoolState.ts"
import * as Explorer from "./PoolCoreExplorer.ts"
import { step } from "./PoolCoreInvariants.ts"
import { type Event, format, plain, type Rules, World } from "./PoolCoreWorld.ts"

const isLong = process.env["HISTORIES"] !== undefined
const histories = isLong ? 100_000 : 1000

/** Alone on a machine each test takes a minute at most. */
const timeout = isLong ? 1_200_000 : 120_000

const { stackTraceLimit } = Error
// Thousands of refusals need no stacks.
beforeAll(() => void (Error.stackTraceLimit = 0))
afterAll(() => void (Error.stackTraceLimit = stackTraceLimit))

interface Case {
  readonly what: string
  readonly rules: Rules
  /** How many events there are, in a short run and in a long one. */
  readonly depth: readonly [short: number, long: number]
}

const cases: ReadonlyArray<Case> = [
  { what: "borrowers and dials", rules: plain, depth: [5, 8] },
  {
    what: "borrowers and dials, one connection for each endpoint",
    rules: { ...plain, options: { maxPerEndpoint: 1, maxTotal: 2 } },
    depth: [5, 8]
  },
  {
    what: "borrowers that go on later, and dials at the gate",
    rules: { ...plain, pauses: true, hasGate: true },
    depth: [5, 8]
  },
  { what: "connections that die", rules: { ...plain, deaths: true }, depth: [5, 8] },
  { what: "an operator", rules: { ...plain, operator: true }, depth: [4, 7] },
  {
    what: "checks, deaths and an operator, one connection for each endpoint",
    rules: {
      ...plain,
      options: { maxPerEndpoint: 1, maxTotal: 2, checkAfterIdle: 0 },
      checks: true,
      deaths: true,
      operator: true
    },
    depth: [4, 7]
  }
]

/** Runs these events, each of which has to leave everything right. */
const afterEvents = (rules: Rules, events: ReadonlyArray<Event>): World => {
  const world = new World(rules)
  for (const event of events) assert.isUndefined(step(world, event), format(event))
  return world
}

/** How each borrower stands: it waits, or has a connection and uses it or not. */
const standing = ({ borrowers }: World) =>
  borrowers.map(({ lease }) => lease && (lease.isWaiting ? "waits" : [lease.connection?.value, lease.isInUse]))

describe("the pool's core, without a fiber", () => {
  it("keeps the order of borrowers when one whose connection has died was served in the first millisecond of the pool", () => {
    const rules = { ...plain, options: { maxPerEndpoint: 1, maxTotal: 1, idleTimeout: 30 }, deaths: true }
    const world = afterEvents(rules, [
      { do: "ask", key: "a" },
      { do: "open", dial: 0 },
      { do: "end", borrower: 0, how: "Success" },
      // The first one gets the connection and waits for the loop to turn, and the second waits in the queue.
      { do: "ask", key: "a" },
      { do: "ask", key: "a" },
      { do: "pass time" },
      { do: "die", connection: 0 },
      { do: "close", connection: 0 },
      { do: "open", dial: 1 }
    ])
    assert.deepStrictEqual(standing(world), [[1, true], "waits", undefined])
  })

  it("counts a borrower whose endpoint was forgotten before it waits as one that came before the next", () => {
    const { core } = new World(plain)
    // Nothing else is asked of its fiber.
    const fiber = { context: Context.empty() } as never
    const makeLease = () => new Lease(core.endpoint("a"), fiber, 1, undefined)
    const [first, second] = [makeLease(), makeLease()]
    core.end(first, Exit.void)
    assert.isTrue(second.owner.isForgotten)
    assert.isUndefined(core.wait(second))
    const third = makeLease()
    assert.strictEqual(third.owner, second.owner)
    assert.isBelow(second.arrival, third.arrival)
  })

  it("keeps a shared connection for a borrower that has it, when another endpoint needs its slot", () => {
    const rules = { ...plain, options: { maxPerEndpoint: 1, maxTotal: 1, concurrency: 2 }, deaths: true }
    const world = afterEvents(rules, [
      { do: "ask", key: "a" },
      { do: "open", dial: 0 },
      { do: "end", borrower: 0, how: "Success" },
      // Both wait for the loop to turn.
      { do: "ask", key: "a" },
      { do: "ask", key: "a" },
      { do: "ask", key: "b" },
      { do: "end", borrower: 0, how: "Interruption" },
      { do: "turn loop" }
    ])
    assert.deepStrictEqual(standing(world), [undefined, [0, true], "waits"])
    assert.isUndefined(step(world, { do: "ask", key: "a" }))
    assert.deepStrictEqual(standing(world)[0], "waits", "it takes no further borrower")
    assert.isUndefined(Explorer.finish(world))
  })

  it.each(cases)("is right in every state that a few events lead to: $what", ({ depth, rules, what }) => {
    const { found, states, steps } = Explorer.explore(rules, depth[isLong ? 1 : 0])
    // oxlint-disable-next-line effecttsgo/global-console
    console.log(`${what}: ${states} states after at most ${depth[isLong ? 1 : 0]} events, ${steps} steps`)
    assert.isUndefined(found && Explorer.formatFound(found))
  }, timeout)

  it("comes to the same states with plain pools as with Effect's", () => {
    for (let seed = 1; seed <= 200; seed++) {
      const difference = Explorer.firstDifference(seed)
      if (difference !== undefined) assert.fail(`seed ${seed}: ${difference}`)
    }
  })

  it(`is right in ${histories} random histories`, () => {
    for (let seed = 1; seed <= histories; seed++) {
      const found = Explorer.runHistory(seed)
      if (found === undefined) continue
      const shortest = Explorer.shorten(found.rules, found)
      assert.fail(`seed ${seed}, ${JSON.stringify(found.rules)}: ${Explorer.formatFound(shortest)}`)
    }
  }, timeout)
})
