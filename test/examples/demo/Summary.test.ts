import { assert, describe, it } from "@effect/vitest"
import type { Track } from "../../../examples/demo/Recording.ts"
import * as Rows from "../../../examples/demo/Rows.ts"
import * as Summary from "../../../examples/demo/Summary.ts"
import * as TextReport from "../../../examples/demo/TextReport.ts"
import { plan, recording, requests, track } from "./Tracks.ts"

const names = [{ name: "ours", options: { max: "10" } }, { name: "theirs", options: { max: "10" } }]

const summaryOf = (ours: Track, theirs: Track = track(), late = 1.4): Summary.Summary =>
  Summary.make(plan, names, { ...recording(ours, theirs), late }, 10)

describe("the result of the demo", () => {
  it("has the figures of the run, without the warm-up", () => {
    const warm = [{ due: -100, latency: 9000, outcome: "refused" }, ...track().requests]
    const figures = Summary.figuresOf(track({ requests: warm }), plan)
    assert.deepInclude(figures, {
      requests: 100,
      answered: 70,
      p50: 20,
      p99: 20,
      dials: 30,
      peak: 10,
      held: 10,
      left: 0
    })
    assert.deepStrictEqual(figures.descriptors, { before: 20, peak: 40, after: 20 })
    assert.strictEqual(figures.cpu, 800)
    assert.deepStrictEqual(figures.recovery, [{ fault: "down", millis: 0 }, { fault: "frozen", millis: 0 }])
    assert.deepStrictEqual(figures.reasons, { "refused #": 30 })
  })

  it("says that every promise was kept, when it was", () => {
    const summary = summaryOf(track())
    assert.isTrue(summary.ok)
    assert.include(
      TextReport.text(summary),
      "All promises kept: ours has closed every one of 30 connections, and it has 20 descriptors as before."
    )
  })

  it.each(
    [
      [
        "a descriptor that is left over",
        { closing: { before: 20, after: 21, held: 10 } },
        "20 descriptors were open before and 21 after"
      ],
      [
        "a connection over the cap",
        { closing: { before: 20, after: 20, held: 11 } },
        "11 connections were held at once, more than 10"
      ],
      [
        "a connection that is left open",
        { connections: [{ at: 11_000, open: 2, accepted: 31 }] },
        "the server still has 2 connections open"
      ],
      ["a contender that does not end", { closing: undefined }, "it did not close everything in time"],
      ["one that answers nothing", { requests: requests(() => [1, "refused"]) }, "it answered no request"]
    ] as const
  )("does not overlook %s", (_, change, sentence) => {
    const summary = summaryOf(track(change as Partial<Track>))
    assert.isFalse(summary.ok)
    assert.deepStrictEqual(summary.broken, [sentence])
    assert.include(TextReport.verdict(summary), `Promises broken by ours: ${sentence}.`)
  })

  it("breaks no promise of ours by what another contender does", () => {
    assert.isTrue(summaryOf(track(), track({ closing: { before: 20, after: 99, held: 99 } })).ok)
  })

  it("says that a figure that could not be read is unknown, and takes it for no promise", () => {
    const summary = summaryOf(track({ closing: { before: null, after: null, held: null }, process: [] }))
    assert.isTrue(summary.ok)
    const cells = new Map(Rows.make(summary).map(({ cells, title }) => [title, cells[0]]))
    for (
      const title of ["most held at once", "descriptors before", "descriptors at peak", "descriptors after", "CPU time"]
    ) {
      assert.strictEqual(cells.get(title), "unknown", title)
    }
  })

  it("says of each contender where it is ahead, also where that is not ours", () => {
    const slower = track({ requests: requests((due) => due < 5000 ? [30, "ok"] : [20, "refused"]) })
    const summary = summaryOf(slower, track({ closing: { before: 20, after: 20, held: 12 } }))
    const text = TextReport.text(summary)
    assert.include(text, "ours is ahead in most held at once.")
    assert.match(text, /theirs is ahead in requests answered, p50 of answered, p99 of answered/)
    assert.match(text, /requests answered +50 of 100 +70 of 100 \*/)
  })

  it("marks no best where all are equal", () => {
    for (const { best, title } of Rows.make(summaryOf(track()))) assert.deepStrictEqual(best, [], title)
    assert.include(TextReport.text(summaryOf(track())), "ours is ahead in nothing.")
  })

  it("takes a difference of less than 1 % for none", () => {
    const figures = Summary.figuresOf(track(), plan)
    const rows = (ours: number, theirs: number) => {
      const contenders = [ours, theirs].map((answered, i) => ({
        name: String(i),
        options: {},
        figures: { ...figures, answered, requests: 1185 }
      }))
      return Rows.make({ ...summaryOf(track()), contenders }).find(({ title }) => title === "requests answered")?.best
    }
    assert.deepStrictEqual(rows(1036, 1030), [])
    assert.deepStrictEqual(rows(1036, 1020), [0])
  })

  it("marks both that are best where only a third one is worse, and says of neither that it is ahead", () => {
    const more = track({ closing: { before: 20, after: 20, held: 12 } })
    const three = ["ours", "theirs", "third"].map((name) => ({ name, options: {} }))
    const rows = Rows.make(Summary.make(plan, three, recording(more, track(), track()), 12))
    assert.deepStrictEqual(rows.find(({ title }) => title === "most held at once")?.best, [1, 2])
    for (const [index, { name }] of three.entries()) {
      const figures = Summary.figuresOf(track(), plan)
      assert.strictEqual(Rows.ahead(rows, { name, options: {}, figures }, index), `${name} is ahead in nothing.`)
    }
  })

  it("rounds shares down, so that 100 % means all", () => {
    const most = summaryOf(
      track({
        requests: Array.from(
          { length: 10_000 },
          (_, due) => ({ due, latency: 1, outcome: due === 9 ? "refused" : "ok" })
        )
      })
    )
    assert.include(TextReport.text(most), "99.9 %")
  })

  it("names the options of each contender, and the faults with their times", () => {
    const text = TextReport.text(summaryOf(track()))
    assert.include(text, "ours: max 10")
    assert.include(text, "frozen, 7 s to 8 s: dials are accepted, and nothing is answered")
  })

  it("says that the machine was busy when requests were sent late, and only then", () => {
    assert.include(TextReport.text(summaryOf(track(), track(), 21)), "1 of 100 requests was sent 21 ms late or more")
    assert.notInclude(TextReport.text(summaryOf(track(), track(), 20)), "busy")
  })
})
