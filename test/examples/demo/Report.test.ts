import { assert, describe, it } from "@effect/vitest"
import * as Endpoint from "effect-sluice/Endpoint"
import * as Report from "../../../examples/demo/Report.ts"
import * as Tally from "../../../examples/demo/Tally.ts"

const account = {
  opened: 50,
  graceful: 40,
  reset: 10,
  open: 0,
  misbehaviour: { outages: 4, idleCloses: 7, resets: 10, slow: 42, mutes: 12 }
}

/** A run that kept every promise, but for what a test changes. */
const facts = (
  change: Partial<Report.Facts> = {},
  counts: { readonly succeeded?: number; readonly failed?: number; readonly opened?: number } = {}
): Report.Facts => {
  const tally = Tally.make([
    { endpoint: Endpoint.tcp("127.0.0.1", 9500), dead: false },
    { endpoint: Endpoint.tcp("127.0.0.1", 1), dead: true }
  ], 1000)
  const [live, dead] = tally.targets
  if (live !== undefined && dead !== undefined) {
    live.succeeded = counts.succeeded ?? 950
    live.failed = counts.failed ?? 0
    dead.failed = 50
  }
  tally.opened = counts.opened ?? 50
  return {
    mode: "pooled",
    tally,
    elapsed: 12_000,
    interrupted: undefined,
    before: 23,
    after: 23,
    withServer: true,
    server: account,
    ...change
  }
}

describe("the demo's report", () => {
  it("says that every promise was kept, when it was", () => {
    const report = Report.make(facts())
    assert.isTrue(report.ok)
    assert.deepStrictEqual(report.broken, [])
    assert.include(
      Report.text(report),
      "All promises kept: 1000 requests, and every one of 50 connections was closed."
    )
  })

  it.each(
    [
      ["a descriptor that is left over", facts({ after: 24 }), "23 descriptors were open before and 24 after"],
      ["descriptors that cannot be counted", facts({ after: undefined }), "descriptors could not be counted"],
      [
        "a connection that is left open",
        facts({ server: { ...account, open: 2 } }),
        "the server still has 2 connections open"
      ],
      ["a server that gives no account", facts({ server: undefined }), "the server gave no account"],
      [
        "too many connections",
        facts({}, { opened: 101 }),
        "101 connections were opened, more than 100 for 1000 requests"
      ],
      [
        "too many failures at live endpoints",
        facts({}, { succeeded: 939, failed: 11 }),
        "only 98.8 % of the requests to live endpoints succeeded"
      ],
      ["requests that were not finished", facts({}, { succeeded: 900 }), "only 950 of 1000 requests were finished"]
    ] as const
  )("does not overlook %s", (_, broken, sentence) => {
    const report = Report.make(broken)
    assert.isFalse(report.ok)
    assert.deepStrictEqual(report.broken, [sentence])
    assert.include(Report.verdict(report), `Promises broken: ${sentence}`)
  })

  it("says that it was interrupted, and what was broken all the same", () => {
    const interrupted = Report.make(facts({ interrupted: "SIGINT" }, { succeeded: 100 }))
    assert.isFalse(interrupted.ok)
    assert.match(Report.verdict(interrupted), /^Interrupted by SIGINT after 150 of 1000 requests: every one of/)
    const leaking = Report.make(facts({ interrupted: "SIGTERM", after: 30 }, { succeeded: 100 }))
    assert.match(
      Report.verdict(leaking),
      /^Interrupted by SIGTERM .*: 23 descriptors were open before and 30 after/
    )
  })
})
