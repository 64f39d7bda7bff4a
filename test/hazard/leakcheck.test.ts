/**
 * The leak check as this project's own tests have it, on tests that leak on purpose.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"

const root = Path.resolve(import.meta.dirname, "../..")
const fixtures = Path.join(root, "test/Testing/fixtures")

interface Report {
  readonly numPassedTests: number
  readonly numFailedTests: number
  readonly testResults: ReadonlyArray<{
    readonly name: string
    readonly status: string
    readonly message: string
    readonly assertionResults: ReadonlyArray<{
      readonly title: string
      readonly status: string
      readonly failureMessages: ReadonlyArray<string>
    }>
  }>
}

const runVitest = (...names: ReadonlyArray<string>): Effect.Effect<Report> =>
  Effect.callback((resume) => {
    const directory = Fs.mkdtempSync(Path.join(Os.tmpdir(), "leakcheck-"))
    const report = Path.join(directory, "report.json")
    const child = ChildProcess.execFile(
      process.execPath,
      [
        Path.join(root, "node_modules/vitest/vitest.mjs"),
        "run",
        "--config",
        Path.join(fixtures, "vitest.config.ts"),
        ...names.map((name) => `test/Testing/fixtures/${name}.fixture.ts`),
        "--reporter=json",
        `--outputFile=${report}`
      ],
      { cwd: root, timeout: 60_000 },
      (_error, stdout, stderr) =>
        resume(Effect.sync(() => {
          assert.isTrue(Fs.existsSync(report), `${stdout}\n${stderr}`)
          const text = Fs.readFileSync(report, "utf8")
          Fs.rmSync(directory, { recursive: true })
          return JSON.parse(text)
        }))
    )
    return Effect.sync(() => child.kill())
  })

const lineOf = (fixture: string, name: string): string => {
  const lines = Fs.readFileSync(Path.join(fixtures, `${fixture}.fixture.ts`), "utf8").split("\n")
  const index = lines.findIndex((line) => line.endsWith(`// at ${name}`))
  assert.isAtLeast(index, 0)
  return `${fixture}.fixture.ts:${index + 1}`
}

describe("tests that leak", { timeout: 60_000 }, () => {
  it.live("fail alone: of two in parallel, in one pool, only the one that leaks", () =>
    Effect.gen(function*() {
      const { testResults } = yield* runVitest("parallel")
      const tests = testResults.flatMap(({ assertionResults }) => assertionResults)
      assert.deepStrictEqual(tests.map(({ status, title }) => [title, status]), [
        ["the clean one", "passed"],
        ["the leaking one", "failed"],
        ["the one that sees that they overlap", "passed"]
      ])
      const [failure] = tests[1]?.failureMessages ?? []
      assert.include(failure, "LeakError: 1 left open")
      assert.include(failure, "a lease of db was left open")
      assert.include(failure, lineOf("parallel", "leak"))
    }))

  it.live("fail their file when they are no effects and leave a descriptor", () =>
    Effect.gen(function*() {
      const { testResults } = yield* runVitest("descriptors")
      const [file] = testResults
      assert.deepStrictEqual(file?.assertionResults.map(({ status }) => status), ["passed"])
      assert.strictEqual(file?.status, "failed")
      assert.match(file?.message ?? "", /socket that listens on port \d+\) was left open/)
    }))

  it.live("fail their file alone in a process that several files share", () =>
    Effect.gen(function*() {
      const { testResults } = yield* runVitest("shared-one", "shared-clean", "shared-other")
      assert.sameDeepMembers(testResults.map(({ name, status }) => [Path.basename(name), status]), [
        ["shared-clean.fixture.ts", "passed"],
        ["shared-one.fixture.ts", "failed"],
        ["shared-other.fixture.ts", "failed"]
      ])
      for (const { message, name, status } of testResults) {
        if (status === "failed") assert.include(message, `a descriptor (${name}) was left open`)
      }
      const processes = testResults.flatMap(({ assertionResults }) => assertionResults.map(({ title }) => title))
      assert.deepStrictEqual([processes.length, new Set(processes).size], [3, 1])
    }))
})
