import { assert, describe, it } from "@effect/vitest"
import { beginText, endText } from "../../../src/Serverless/internal/EndLog.ts"
import { text } from "../../support/Documents.ts"

describe("the lines of the end of a program", () => {
  it("have a unit for each time, also for none", () => {
    const times = [0, 0.4, 3, 999.6, 1049, 5240, 61_000].map((millis) => endText(millis).split(/, | after /)[1])
    assert.deepStrictEqual(times, ["less than 1ms", "less than 1ms", "3ms", "1s", "1s", "5s 200ms", "1m 1s"])
  })

  it("are those that logs.md shows", () => {
    const lines = [
      beginText({ _tag: "Signalled", signal: "SIGTERM" }, { requests: 2, leases: 3 }, 25_000),
      endText(5240)
    ]
    assert.include(text("docs/reference/operations/logs.md"), `\n\`\`\`text\n${lines.join("\n")}\n\`\`\`\n`)
  })
})
