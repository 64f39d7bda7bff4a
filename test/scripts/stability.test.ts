import { afterAll, assert, describe, it } from "@effect/vitest"
import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"

const script = Path.resolve(import.meta.dirname, "../../scripts/api/stability.mjs")

const project = Fs.mkdtempSync(Path.join(Os.tmpdir(), "sluice-stability-"))
afterAll(() => Fs.rmSync(project, { recursive: true, force: true }))

const write = (name: string, code: string): void => {
  Fs.mkdirSync(Path.dirname(Path.join(project, name)), { recursive: true })
  Fs.writeFileSync(Path.join(project, name), code)
}
const text = (name: string): string => Fs.readFileSync(Path.join(project, name), "utf8")

const run = (...options: ReadonlyArray<string>) => {
  const { status, stderr } = ChildProcess.spawnSync(process.execPath, [script, ...options, project], {
    encoding: "utf8"
  })
  return { status, problems: stderr.split("\n").filter((line) => line.startsWith("src/")) }
}

const header = (level: string) => `/**\n * A module.\n *\n * @since 0.1.0\n * @stability ${level}\n */\n`

describe("the stability of each export", () => {
  write(
    "package.json",
    JSON.stringify({
      exports: {
        ".": { types: "./dist/index.d.ts" },
        "./Young": { types: "./dist/Young.d.ts" },
        "./Old": { types: "./dist/Old.d.ts" }
      }
    })
  )
  write("src/index.ts", `${header("stable")}export * as Space from "./Space.ts"\n`)
  write(
    "src/Young.ts",
    `${header("experimental")}import { shared } from "./shared.ts"\nexport { shared }\n\n` +
      "/**\n * One.\n *\n * @since 0.1.0\n */\nexport const one = 1\n\n" +
      "/**\n * Two.\n *\n * @stability stable\n */\nexport const two = 2\n\n" +
      "/** Not exported. */\nconst three = 3\nexport const four: number = three\n"
  )
  write("src/Old.ts", `${header("stable")}export * from "./shared.ts"\n`)
  write(
    "src/shared.ts",
    "/** A value. */\nexport const shared = 1\n\n/** A name that is a type and a value. */\nexport const Both = 1\n" +
      "/** Its type. */\nexport type Both = number\n"
  )
  write("src/Space.ts", `${header("sometimes")}/** Inside of a namespace. */\nexport const inside = 1\n`)

  const missing = [
    "src/Space.ts: inside has no @stability",
    "src/Space.ts: its header is \"sometimes\", which is neither of stable, experimental",
    "src/Young.ts: four has no doc comment",
    "src/Young.ts: one has no @stability",
    "src/shared.ts: Both has no @stability",
    "src/shared.ts: shared has no @stability"
  ]

  it("is required of each one, wherever it is declared, and of each module", () => {
    const { problems, status } = run("--check")
    assert.deepStrictEqual(problems.toSorted(), missing)
    assert.strictEqual(status, 1)
  })

  it("is written where there is none, as the more stable of its modules has it", () => {
    const { problems } = run()
    assert.deepStrictEqual(problems.toSorted(), missing.slice(0, 3))
    assert.include(
      text("src/Young.ts"),
      " * One.\n *\n * @since 0.1.0\n * @stability experimental\n */\nexport const one"
    )
    assert.include(text("src/Young.ts"), " * Two.\n *\n * @stability stable\n */\nexport const two")
    assert.include(text("src/Young.ts"), "/** Not exported. */")
    assert.include(text("src/shared.ts"), "/**\n * A value.\n *\n * @stability stable\n */\nexport const shared")
    assert.include(text("src/shared.ts"), "/**\n * Its type.\n *\n * @stability stable\n */\nexport type Both")
  })

  it("is there in this project", () => {
    const { status, stderr } = ChildProcess.spawnSync(process.execPath, [script, "--check"], { encoding: "utf8" })
    assert.deepStrictEqual({ status, stderr }, { status: 0, stderr: "" })
  })
})
