import { assert, describe, it } from "@effect/vitest"
import { fit, line, span, styledOf, table, textOf } from "../../../src/Cli/pools/Line.ts"
import { bar, linesOf, summaryOf } from "../../../src/Cli/pools/View.ts"
import * as Program from "./program.ts"

const target = "http://localhost:9464/"

const texts = (rows?: number) => linesOf(target, Program.outage, rows).map(textOf)

/** The lines below a title. */
const below = (title: string): ReadonlyArray<string> => {
  const all = texts()
  const at = all.findIndex((text) => text.startsWith(title))
  const end = all.indexOf("", at)
  return all.slice(at + 2, end < 0 ? undefined : end)
}

describe("the view of a snapshot", () => {
  it("says what is down, for how long, and why", () => {
    const [first = "", second = ""] = texts().filter((text) => /^OUTAGE|ECONNREFUSED/.test(text))
    assert.match(
      first,
      /^OUTAGE {2}db:5432 is down \(pool orders\) {2}for 12\.0 s, since \d\d:\d\d:\d\d - 12 borrowers wait, the longest 8\.1 s - 9 failed attempts in all/
    )
    assert.strictEqual(second.trim(), "ECONNREFUSED: connect ECONNREFUSED 10.0.0.5:5432")
    assert.include(texts(), "not ready: pool orders: db:5432 is down")
  })

  it("says what the log says of an endpoint that accepts connections and serves no borrower, and counts the attempts of this outage", () => {
    const stalled = Program.pool("orders", {
      endpoints: [{
        ...Program.endpoint("db:5432"),
        health: "Unavailable",
        failedAttempts: 30,
        attemptsOfOutage: 2,
        outage: "NotServing"
      }],
      endpointsByHealth: { Healthy: 0, Degraded: 0, Unavailable: 1 }
    })
    const text = linesOf(target, Program.snapshot({ pools: [stalled] })).map(textOf).join("\n")
    assert.include(text, "OUTAGE  db:5432 serves no borrower (pool orders)  2 failed attempts\n")
  })

  it("shows levels against limits", () => {
    assert.include(texts(), "descriptors  [##################+.....] Warning   96 of 128 (75 %), 2 reserved")
  })

  it("shows pools with their connections against the cap, and who waits", () => {
    assert.match(below("Pools")[1] ?? "", /^orders \* {2}Unavailable {2}\[#{17}\+{7}\] +7 +0 +1 +10 +12 +8\.1 s +17$/)
  })

  it("shows the worst endpoints first", () => {
    assert.deepStrictEqual(below("Endpoints").map((text) => /\S+:\d+/.exec(text.slice(23))?.[0]), [
      "db:5432",
      "replica:5432",
      "mail:25"
    ])
  })

  it("shows holders by age, with route and call site, and those that hold on purpose last", () => {
    const holders = below("Holders")
    assert.match(holders[0] ?? "", /^1 min 35 s +GET \/report user=7 +orders +db:5432 +report \(.*Report\.ts:41:18\)$/)
    assert.match(holders[3] ?? "", /listen \(standing\)/)
    assert.strictEqual(holders[4], "and 4 more")
  })

  it("shows leaks and failures", () => {
    assert.match(below("Leaks")[0] ?? "", /3 +held too long +1 min 35 s/)
    assert.match(below("Failures")[0] ?? "", /9 +orders +db:5432 +ECONNREFUSED/)
  })

  it("says that all is well", () => {
    assert.include(linesOf(target, Program.snapshot()).map(textOf), "All is well: nothing is down, full or suspended")
  })

  it("does not say that all is well while the program is not ready", () => {
    const message = "pool orders: borrowers run out of time, and none has got a connection for 2 s"
    const readiness = { isReady: false, reasons: [{ reason: "PoolStalled" as const, pool: "orders", message }] }
    const stalled = Program.snapshot({ readiness })
    const lines = linesOf(target, stalled).map(textOf)
    assert.include(lines, `not ready: ${message}`)
    assert.include(lines, "WARNING The program is not ready")
    assert.notInclude(lines.join(), "All is well")
    assert.strictEqual(summaryOf(stalled), "0 outages; 1 warning; The program is not ready")
  })

  it("has the time of the day with 24 hours, as logs have it", () => {
    for (const [hour, text] of [[0, "00:05:00"], [15, "15:05:00"]] as const) {
      const at = new Date(2026, 10, 23, hour, 5).getTime()
      assert.isTrue(linesOf(target, Program.snapshot({ at })).map(textOf)[0]?.endsWith(`  ${text}`))
    }
  })

  it("has at most as many lines as the terminal, and shows all that there is room for", () => {
    for (const rows of [1, 5, 10, 20, 28, 35]) assert.isAtMost(texts(rows).length, rows)
    assert.deepStrictEqual(texts(100), texts())
    const many = Array.from({ length: 20 }, (_, at) => Program.holder(at, { age: 1000 - at }))
    const full = Program.snapshot({
      pools: [Program.pool("a", { counts: Program.counts({ active: 20 }), holders: many })]
    })
    const shown = linesOf(target, full, 24).map(textOf)
    assert.strictEqual(shown.length, 24)
    assert.match(shown.at(-1) ?? "", /^and \d+ more$/)
  })

  it("is a line where the output is no terminal", () => {
    assert.strictEqual(
      summaryOf(Program.outage),
      "level Warning; 1 outage; 1 warning; db:5432 is down (pool orders); mail 1 of 10 used; " +
        "orders 7 of 10 used, 12 wait"
    )
  })
})

describe("a bar", () => {
  it("has a part for all that there is, and never more than the cap", () => {
    assert.strictEqual(bar([["#", 1]], 1000), `#${".".repeat(23)}`)
    assert.strictEqual(bar([["#", 10], ["=", 10]], 10), "#".repeat(24))
    assert.strictEqual(bar([["#", 5], ["=", 5]], 10), "#".repeat(12) + "=".repeat(12))
    assert.strictEqual(bar([["#", 5]], 0), ".".repeat(24))
  })
})

describe("a line", () => {
  it("is cut to the columns of the terminal, without its colours", () => {
    const parts = line(span("down", "down"), " and ", span("out", "bold"))
    assert.strictEqual(textOf(fit(parts, 6)), "down a")
    assert.strictEqual(styledOf(fit(parts, 3)), "\u001b[1;31mdow\u001b[0m")
    assert.strictEqual(textOf(fit(line("日本語"), 2)), "日本")
  })

  it("of a table is as wide as its widest cell", () => {
    const rows = [[{ text: "a" }, { text: "10", isNumber: true }], [{ text: "long" }, { text: "1", isNumber: true }]]
    assert.deepStrictEqual(table(["x", "n"], rows).map(textOf), ["x      n", "a     10", "long   1"])
  })
})
