/**
 * The demo of the status page: it shows its address, its servers fail as its page of documentation says, and Ctrl-C ends all of it.
 */
import { assert, describe, it } from "@effect/vitest"
import { Data, Effect, Schedule } from "effect"
import * as ChildProcess from "node:child_process"
import * as Path from "node:path"
import type { Snapshot } from "../../../src/Operations/Snapshot.ts"
import { request } from "../../Operations/Requests.ts"

const root = Path.resolve(import.meta.dirname, "../../..")

interface Running {
  readonly child: ChildProcess.ChildProcess
  readonly output: () => string
  readonly ended: Promise<number | null>
}

const start = Effect.acquireRelease(
  Effect.sync((): Running => {
    const child = ChildProcess.spawn(
      process.execPath,
      ["--import", "./scripts/sources.mjs", "examples/operations/main.ts", "--port", "0"],
      { cwd: root, stdio: ["ignore", "pipe", "pipe"] }
    )
    let output = ""
    child.stdout.setEncoding("utf8").on("data", (text) => output += text)
    child.stderr.setEncoding("utf8").on("data", (text) => output += text)
    const ended = new Promise<number | null>((resolve) => child.on("close", resolve))
    return { child, output: () => output, ended }
  }),
  ({ child, ended }) =>
    Effect.promise(() => {
      child.kill("SIGKILL")
      return ended
    })
)

class NotYet extends Data.TaggedError("NotYet")<{ readonly answer: unknown }> {
  override get message(): string {
    return `it is still ${JSON.stringify(this.answer)}`
  }
}

/** Asks each quarter of a second, for at most 40 seconds, until the answer is as it should be. */
const until = <A, E>(ask: Effect.Effect<A, E>, isRight: (answer: A) => boolean): Effect.Effect<A, E | NotYet> =>
  Effect.filterOrFail(ask, isRight, (answer) => new NotYet({ answer })).pipe(
    Effect.retry(Schedule.max([Schedule.spaced("250 millis"), Schedule.recurs(160)]))
  )

const addressIn = (output: string): string | undefined => /^The page: +(http:\S+)$/m.exec(output)?.[1]

const ordersIn = ({ pools }: Snapshot) => pools.find(({ name }) => name === "orders")

describe("npm run operations", () => {
  it.live(
    "prints the address of its page, shows an outage, a route that holds and leaks, and ends on SIGINT",
    () =>
      Effect.gen(function*() {
        const { child, ended, output } = yield* start
        const url = addressIn(yield* until(Effect.sync(output), (text) => addressIn(text) !== undefined)) ?? ""
        const page = yield* request(url)
        assert.include(String(page.headers["content-security-policy"]), "default-src 'none'")
        assert.include(page.body, "<title>sluice</title>")

        const snapshot = Effect.map(request(`${url}pools.json`), ({ body }): Snapshot => JSON.parse(body))
        yield* until(snapshot, (now) => ordersIn(now)?.holders.some(({ span }) => span === "POST /export") === true)
        yield* until(snapshot, (now) => {
          const down = ordersIn(now)?.endpoints.filter(({ health }) => health === "Unavailable")
          return down?.[0]?.label.startsWith("orders-2:") === true
        })
        yield* until(snapshot, ({ monitor }) =>
          monitor?.leaks.some(({ span, verdict }) =>
            span === "POST /export" && verdict === "held"
          ) === true)

        child.kill("SIGINT")
        assert.strictEqual(
          yield* Effect.promise(() => ended),
          130,
          output()
        )
      }),
    90_000
  )
})
