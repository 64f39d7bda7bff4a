import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import { RequestFailed } from "../../../src/Cli/pools/Client.ts"
import { textOf } from "../../../src/Cli/pools/Line.ts"
import * as Status from "../../../src/Cli/top/Status.ts"
import * as Program from "../pools/program.ts"

const target = "http://localhost:9464/"
const taken = Result.succeed({ sent: undefined, snapshot: Program.outage })
const away = Result.fail(new RequestFailed({ command: "top", target, detail: "no answer: ECONNREFUSED" }))

const screen = (status: Status.Status, now: number, size: Status.Size = { columns: 200, rows: 50 }) =>
  Status.screenOf(status, now, size).map(textOf)

describe("what sluice top shows", () => {
  it("waits for the first answer", () => {
    assert.deepStrictEqual(screen(Status.initial(target), 0), [
      `${target}: waiting for the first answer`,
      "",
      "q to end"
    ])
  })

  it("says in one line that the program is away and since when, and keeps the last view", () => {
    const first = Status.next(Status.initial(target), taken, 1000)
    const later = Status.next(Status.next(first, away, 2000), away, 3000)
    const [line = "", title = ""] = screen(later, 6000)
    assert.strictEqual(
      line,
      `AWAY    ${target}: no answer: ECONNREFUSED, for 4.0 s; trying again; the view is 5.0 s old`
    )
    assert.include(title, "process 4242")
    assert.isUndefined(Status.next(later, taken, 7000).trouble)
  })

  it("says so as well while an answer is overdue", () => {
    const overdue = Status.overdue(Status.next(Status.initial(target), taken, 1000), 2000)
    assert.include(screen(overdue, 4000)[0], "no answer yet, for 2.0 s")
  })

  it("fits the terminal, whatever its size", () => {
    const status = Status.next(Status.next(Status.initial(target), taken, 1000), away, 2000)
    for (const rows of [1, 2, 3, 10, 24]) {
      for (const columns of [1, 20, 80]) {
        const lines = screen(status, 3000, { columns, rows })
        assert.isAtMost(lines.length, rows)
        for (const text of lines) assert.isAtMost(Array.from(text).length, columns)
      }
    }
  })
})

describe("a frame", () => {
  it("replaces the last one line by line, in one write that clears nothing first", () => {
    const lines = Status.screenOf(Status.initial(target), 0, { columns: 80, rows: 24 })
    assert.strictEqual(
      Status.frameOf(lines, false),
      `\u001b[?2026h\u001b[H${target}: waiting for the first answer\u001b[K\r\n\u001b[K\r\nq to end\u001b[K\u001b[J\u001b[?2026l`
    )
    assert.include(Status.frameOf(lines, true), "\u001b[2mq to end\u001b[0m")
  })
})
