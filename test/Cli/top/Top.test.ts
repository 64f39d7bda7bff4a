import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { eventually } from "../../support/TcpServer.ts"
import * as Program from "../pools/program.ts"
import { hasTerminals, start, startOnTerminal } from "../running.ts"

const works: Program.Program["answer"] = () => Program.json(Program.outage)

describe("sluice top", () => {
  it.live(
    "goes on while the program is away, shows it again when it is back, and ends at a signal",
    () =>
      Effect.gen(function*() {
        const closed = yield* Effect.scoped(Program.serve(works))
        const running = yield* start(["top", closed.url, "--interval", "100ms"])
        yield* eventually(() => running.stdout().includes("trying again"), 20_000)
        const away = running.stdout()
        assert.match(away, /AWAY http:\/\/127\.0\.0\.1:\d+\/: no answer: .*ECONNREFUSED.*; trying again\n/)
        yield* Program.serve(works, closed.port)
        yield* eventually(() => running.stdout().includes("db:5432 is down"), 20_000)
        running.child.kill("SIGTERM")
        const { status, stderr } = yield* running.outcome
        assert.deepStrictEqual([status, stderr], [143, ""])
      }),
    60_000
  )

  it.live.skipIf(!hasTerminals)(
    "redraws the view on a terminal until q, and leaves the terminal as it was",
    () =>
      Effect.gen(function*() {
        const program = yield* Program.serve(works)
        const running = yield* startOnTerminal(["top", program.url, "--interval", "100ms"])
        yield* eventually(() => running.stdout().split("\u001b[?2026h").length > 4, 20_000)
        running.child.stdin.write("q")
        const { status, stdout } = yield* running.outcome
        assert.strictEqual(status, 0)
        assert.isTrue(stdout.startsWith("\u001b[?1049h\u001b[?25l"))
        assert.include(stdout, "db:5432 is down")
        assert.isTrue(stdout.trimEnd().endsWith("\u001b[?25h\u001b[?1049l"))
      }),
    60_000
  )

  it.live.skipIf(!hasTerminals)("ends at Ctrl-C as after the signal", () =>
    Effect.gen(function*() {
      const program = yield* Program.serve(works)
      const running = yield* startOnTerminal(["top", program.url])
      yield* eventually(() => running.stdout().includes("db:5432 is down"), 20_000)
      running.child.stdin.write("\u0003")
      const { status, stdout } = yield* running.outcome
      assert.strictEqual(status, 130)
      assert.isTrue(stdout.trimEnd().endsWith("\u001b[?25h\u001b[?1049l"))
    }), 60_000)
})
