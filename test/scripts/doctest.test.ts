import { afterEach, assert, beforeEach, describe, it } from "@effect/vitest"
import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"

const root = Path.resolve(import.meta.dirname, "../..")
let project: string

beforeEach(() => {
  project = Fs.mkdtempSync(Path.join(Os.tmpdir(), "sluice-doctest-"))
  Fs.symlinkSync(Path.join(root, "node_modules"), Path.join(project, "node_modules"))
})

afterEach(() => Fs.rmSync(project, { recursive: true, force: true }))

const write = (name: string, lines: ReadonlyArray<string>): void => {
  Fs.mkdirSync(Path.dirname(Path.join(project, name)), { recursive: true })
  Fs.writeFileSync(Path.join(project, name), lines.join("\n"))
}

const generate = () =>
  ChildProcess.spawnSync(process.execPath, [Path.join(root, "scripts/doctest.mjs"), project], { encoding: "utf8" })

/** Runs a generated example. `undefined` means that its assertions held. */
const run = async (name: string): Promise<unknown> => {
  const { default: example } = await import(/* @vite-ignore */ Path.join(project, "test/.doctest", name))
  return example().then(() => undefined, (error: unknown) => error)
}

const example = (...body: ReadonlyArray<string>): ReadonlyArray<string> => [
  "/**",
  " * Text.",
  " *",
  " * ```ts",
  " * import { Effect } from \"effect\"",
  ...body.map((line) => ` * ${line}`),
  " * ```",
  " */"
]

describe("doctest", () => {
  it("passes without examples, and says so", () => {
    const { status, stdout } = generate()
    assert.strictEqual(status, 0)
    assert.match(stdout, /no examples/)
  })

  it("fails an example whose value is not what its arrow says", async () => {
    write("src/Right.ts", example("await Effect.runPromise(Effect.succeed([1])) // => [1]"))
    write("src/Wrong.ts", example("await Effect.runPromise(Effect.succeed([1])) // => [2]"))
    assert.strictEqual(generate().status, 0)
    assert.isUndefined(await run("src.Right.4.ts"))
    assert.match(String(await run("src.Wrong.4.ts")), /expected \[ 1 \] to deeply equal \[ 2 \]/)
  })

  it("asserts expressions of several lines, declarations, and arrows in the middle", async () => {
    const lines = [
      "const a = await Effect.runPromise(Effect.succeed(1)) // => 1",
      "await Effect.runPromise(",
      "  Effect.succeed(a)",
      ") // => 1",
      "",
      "a + 1 // => 2"
    ]
    write("src/Right.ts", example(...lines))
    lines.forEach((line, i) => {
      if (line.includes("=>")) write(`src/Wrong${i}.ts`, example(...lines.with(i, line.replace(/=> \d/, "=> 9"))))
    })
    assert.strictEqual(generate().status, 0)
    assert.isUndefined(await run("src.Right.4.ts"))
    for (const i of [0, 3, 5]) assert.match(String(await run(`src.Wrong${i}.4.ts`)), /deeply equal 9/)
  })

  it("refuses an example that imports nothing, and names its line", () => {
    write("README.md", ["# Title", "", "```ts", "const x = 1", "```"])
    const { status, stderr } = generate()
    assert.strictEqual(status, 1)
    assert.match(stderr, /README\.md:3: the example imports nothing/)
  })

  it("refuses an arrow that belongs to no expression", () => {
    write("src/Loose.ts", example("// => 1"))
    assert.match(generate().stderr, /Loose\.ts:4: "\/\/ => 1" asserts nothing/)
  })

  it("takes the pages of examples, whose fences import the files beside them", async () => {
    write("examples/one/Two.ts", ["export const two = 2"])
    write("examples/one/README.md", [
      "```ts",
      "import { assert } from \"@effect/vitest\"",
      "import { two } from \"./Two.ts\"",
      "assert.strictEqual(two, 2)",
      "```"
    ])
    assert.strictEqual(generate().status, 0)
    assert.isUndefined(await run("examples.one.README.1.ts"))
  })

  it("takes README.md and docs, not docs/decisions, not other languages, and does not run what says no-run", () => {
    write("README.md", ["```ts no-run", "import \"effect/Effect\"", "```", "```sh", "npm test", "```"])
    write("docs/guide.md", ["```ts", "import \"effect/Effect\"", "```"])
    write("docs/reference/clients/redis.md", ["```ts", "import \"effect/Effect\"", "```"])
    write("docs/decisions/0001.md", ["```ts", "broken", "```"])
    assert.match(generate().stdout, /2 examples to run, 1 only to check/)
    const names = Fs.readdirSync(Path.join(project, "test/.doctest")).sort()
    assert.deepStrictEqual(names, [
      "README.1.ts",
      "docs.guide.1.ts",
      "docs.reference.clients.redis.1.ts",
      "examples.test.ts"
    ])
    assert.notInclude(Fs.readFileSync(Path.join(project, "test/.doctest/examples.test.ts"), "utf8"), "README")
  })

  it("declares the tests of what says test, and asks each server that a mark names", () => {
    const fence = (mark: string) => [`\`\`\`ts ${mark}`, "import \"effect/Effect\"", "```", ""]
    write("docs/start/a.md", [...fence("test"), ...fence("postgres"), ...fence("postgres redis")])
    assert.match(generate().stdout, /3 examples to run, 0 only to check/)
    const tests = Fs.readFileSync(Path.join(project, "test/.doctest/examples.test.ts"), "utf8")
    assert.include(tests, `describe("docs/start/a.md:1", async () => void (await import("./docs.start.a.1.ts")))`)
    assert.match(tests, /describeWith\("PostgreSQL"\)[^{]*\{\nit\("docs\/start\/a\.md:5"/)
    assert.match(tests, /describeWith\("PostgreSQL", "Redis"\)[^{]*\{\nit\("docs\/start\/a\.md:9"/)
    assert.strictEqual(
      Fs.readFileSync(Path.join(project, "test/.doctest/docs.start.a.1.ts"), "utf8"),
      "// docs/start/a.md:1\nimport \"effect/Effect\"\n"
    )
    write("docs/start/a.md", fence("mariadb"))
    assert.match(generate().stderr, /unknown mark "mariadb"/)
  })

  it("lets a fence import another one of its page by its name", () => {
    write("docs/start/a.md", [
      ...["```ts app.ts no-run", "import \"effect/Effect\"", "export const a = 1", "```", ""],
      ...["```ts app.test.ts test postgres", "import { a } from \"./app.ts\"", "```"]
    ])
    assert.match(generate().stdout, /1 examples to run, 1 only to check/)
    const names = Fs.readdirSync(Path.join(project, "test/.doctest")).sort()
    assert.deepStrictEqual(names, ["docs.start.a.app-test.ts", "docs.start.a.app.ts", "examples.test.ts"])
    const read = (name: string) => Fs.readFileSync(Path.join(project, "test/.doctest", name), "utf8")
    assert.include(read("docs.start.a.app-test.ts"), "import { a } from \"./docs.start.a.app.ts\"")
    assert.match(read("examples.test.ts"), /describeWith\("PostgreSQL"\)[^{]*\{\ndescribe\("docs\/start\/a\.md:6"/)
    write("docs/start/a.md", ["```ts app.ts", "import \"effect/Effect\"", "```", "```ts app.ts", "import \"a\"", "```"])
    assert.match(generate().stderr, /a\.md:4: a second example with the name app\.ts/)
  })

  it("forgets an example that is gone", () => {
    write("src/Gone.ts", example())
    generate()
    write("src/Gone.ts", [""])
    generate()
    assert.deepStrictEqual(Fs.readdirSync(Path.join(project, "test/.doctest")), [])
  })
})
