import { assert, describe, it } from "@effect/vitest"
import * as OutageLog from "../../../src/Operations/internal/OutageLog.ts"
import { logLineOf } from "../../../src/Operations/internal/OutageText.ts"
import type { Health } from "../../../src/Pool/PoolStats.ts"

const refused = Object.assign(new Error("connect ECONNREFUSED 127.0.0.1:5432"), { code: "ECONNREFUSED" })

/** A pool whose endpoints are what the test says. */
class Script {
  state = OutageLog.initial
  at = 0
  readonly health = new Map<string, Health>()
  failed: OutageLog.Failed = { attempts: 7, borrows: 3, cause: refused }
  readonly lines: Array<OutageLog.Line> = []

  /** Looks again after some milliseconds. The result is what is new in the log. */
  look(after = 100, waiting = 2): ReadonlyArray<OutageLog.Line> {
    this.at += after
    const impaired = [...this.health].filter(([, health]) => health !== "Healthy")
      .map(([label, health]) => ({ label, health, waiting, cause: undefined }))
    const [state, lines] = OutageLog.step(this.state, {
      at: this.at,
      impaired,
      knows: (label) => this.health.has(label),
      failedAt: () => this.failed
    })
    this.state = state
    this.lines.push(...lines)
    return lines
  }

  set(label: string, health: Health, after = 100): ReadonlyArray<OutageLog.Line> {
    this.health.set(label, health)
    return this.look(after)
  }
}

const tagsOf = (lines: ReadonlyArray<OutageLog.Line>) => lines.map(({ _tag }) => _tag)

const textsOf = (lines: ReadonlyArray<OutageLog.Line>) =>
  lines.map((line) => {
    const { level, message } = logLineOf("orders", line, () => undefined)
    return `${level} ${message}`
  })

describe("OutageLog", () => {
  it("an outage has one line when it begins and one when it ends", () => {
    const script = new Script()
    script.set("db", "Unavailable")
    for (let look = 0; look < 49; look++) script.look()
    script.set("db", "Degraded")
    script.set("db", "Unavailable")
    script.set("db", "Degraded")
    script.set("db", "Healthy")
    script.look(60_000)
    assert.deepStrictEqual(textsOf(script.lines), [
      "Warn ConnectionPool orders: db is down: connect ECONNREFUSED 127.0.0.1:5432; 2 borrowers wait",
      "Info ConnectionPool orders: db is back after 5s 300ms; 7 attempts to connect and 3 borrowers failed"
    ])
    assert.isTrue(OutageLog.isQuiet(script.state), "nothing is remembered after a minute")
  })

  it("an outage that becomes another one has one more line, when it lasts, and at most one a minute", () => {
    const script = new Script()
    const silent = { attempts: 0, borrows: 4, cause: undefined }
    const dials = { attempts: 3, borrows: 4, cause: refused }
    script.failed = silent
    script.set("db", "Unavailable")
    // A short change has no line.
    script.failed = dials
    assert.lengthOf(script.look(4000), 0)
    script.failed = silent
    assert.lengthOf(script.look(4000), 0)
    script.failed = dials
    assert.lengthOf(script.look(2000), 0)
    assert.deepStrictEqual(textsOf(script.look(5000)), [
      "Warn ConnectionPool orders: db is down now, 15s after its outage began: connect ECONNREFUSED 127.0.0.1:5432; 2 borrowers wait"
    ])
    assert.lengthOf(script.look(5000), 0, "once")
    script.failed = silent
    for (let second = 0; second < 50; second++) script.look(1000)
    assert.lengthOf(script.lines, 2, "a minute has not passed")
    for (let second = 0; second < 10; second++) script.look(1000)
    assert.deepStrictEqual(tagsOf(script.lines), ["Down", "Changed", "Changed"])
    assert.match(textsOf(script.lines)[2] ?? "", /: db serves no borrower now, 1m/)
    assert.deepStrictEqual(tagsOf(script.set("db", "Healthy")), ["Back"])
  })

  it("an endpoint that is only degraded has no line", () => {
    const script = new Script()
    for (let turn = 0; turn < 100; turn++) script.set("db", turn % 2 === 0 ? "Degraded" : "Healthy", 1000)
    assert.lengthOf(script.lines, 0)
  })

  it("an endpoint that nobody uses any more is no longer down", () => {
    const script = new Script()
    script.set("db", "Unavailable")
    script.health.delete("db")
    assert.deepStrictEqual(textsOf(script.look(60_000)), [
      "Info ConnectionPool orders: db was down for 1m, and is not used any more; 7 attempts to connect and 3 borrowers failed"
    ])
    script.look(60_000)
    assert.isTrue(OutageLog.isQuiet(script.state))
  })

  it("a pool that ends while endpoints are down says so in one line", () => {
    const script = new Script()
    script.set("a", "Unavailable")
    script.set("b", "Unavailable")
    assert.deepStrictEqual(textsOf(OutageLog.end(script.state, script.at)), [
      "Info ConnectionPool orders: the pool has ended while 2 endpoints of it were down (a, b)"
    ])
    assert.lengthOf(OutageLog.end(OutageLog.initial, 0), 0)
  })

  it("of an endpoint that flaps, three outages a minute are logged, and the number of the others", () => {
    const script = new Script()
    for (let second = 0; second < 60; second++) {
      script.set("db", "Unavailable", 500)
      script.set("db", "Healthy", 500)
    }
    assert.deepStrictEqual(tagsOf(script.lines), ["Down", "Back", "Down", "Back", "Down", "Back"])
    assert.deepStrictEqual(textsOf(script.look(500)), [
      "Warn ConnectionPool orders: db was down 57 more times in the last 1m, for 28s 500ms in all, and is back; these outages " +
      "were not logged; 399 attempts to connect and 171 borrowers failed"
    ])
    script.lines.length = 0
    for (let second = 0; second < 600; second++) {
      script.set("db", "Unavailable", 500)
      script.set("db", "Healthy", 500)
    }
    assert.isAtMost(script.lines.length, 10, "an endpoint that goes on flapping has one line a minute")
    assert.isAtLeast(script.lines.length, 9)
    script.look(60_000)
    script.look(60_000)
    script.lines.length = 0
    script.set("db", "Unavailable", 60_000)
    assert.deepStrictEqual(tagsOf(script.lines), ["Down"], "a quiet minute ends that")
  })

  it("an outage of an endpoint that flaps is logged when it lasts", () => {
    const script = new Script()
    for (let turn = 0; turn < 4; turn++) {
      script.set("db", "Unavailable")
      script.set("db", "Healthy")
    }
    assert.lengthOf(script.lines, 6)
    script.set("db", "Unavailable")
    assert.lengthOf(script.look(9000), 0)
    assert.deepStrictEqual(textsOf(script.look(1000)), [
      "Warn ConnectionPool orders: db is down for 10s: connect ECONNREFUSED 127.0.0.1:5432; 2 borrowers wait"
    ])
    assert.deepStrictEqual(tagsOf(script.set("db", "Healthy")), ["Back"])
  })

  it("of a thousand endpoints that are down at once, ten have a line and one line counts the others", () => {
    const script = new Script()
    for (let endpoint = 0; endpoint < 1000; endpoint++) script.health.set(`db-${endpoint}`, "Unavailable")
    script.look()
    assert.deepStrictEqual(tagsOf(script.lines), Array.from({ length: 10 }, () => "Down"))
    assert.lengthOf(script.look(500), 0)
    assert.deepStrictEqual(textsOf(script.look(500)), [
      "Warn ConnectionPool orders: 990 more endpoints are down (db-10, db-11, db-12, db-13, db-14, ...); 1980 borrowers wait"
    ])
    for (let look = 0; look < 100; look++) assert.lengthOf(script.look(), 0)
    for (const label of script.health.keys()) script.health.set(label, "Healthy")
    const back = script.look()
    assert.deepStrictEqual(tagsOf(back), [...Array.from({ length: 10 }, () => "Back"), "MoreBack"])
    assert.deepStrictEqual(
      textsOf(back).at(-1),
      [
        "Info ConnectionPool orders: 990 more outages that were not logged are over; 6930 attempts to connect and 2970 borrowers " +
        "failed"
      ][0]
    )
    script.look(60_000)
    assert.isTrue(OutageLog.isQuiet(script.state))
  })

  it("of endpoints that go down one after another, thirty a minute have a line", () => {
    const script = new Script()
    for (let endpoint = 0; endpoint < 500; endpoint++) script.set(`db-${endpoint}`, "Unavailable")
    assert.isAtMost(script.lines.length, 32)
    script.lines.length = 0
    for (let look = 0; look < 1000; look++) script.look()
    assert.isAtMost(script.lines.length, 2, "the number is said again after a minute, if it has changed")
  })

  it("is pure: the same look at the same state gives the same result", () => {
    const script = new Script()
    script.set("db", "Unavailable")
    const { state } = script
    const look: OutageLog.Look = { at: 5000, impaired: [], knows: () => true, failedAt: () => script.failed }
    assert.deepStrictEqual(OutageLog.step(state, look), OutageLog.step(state, look))
  })
})
