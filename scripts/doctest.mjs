/**
 * Turns every ts fence of the doc comments in src, of README.md, of the guides in docs and of the pages in examples into a module under
 * test/.doctest, and one test file that runs them all in one process. `npm test` runs them with the other tests, `npm run check` checks
 * their types.
 *
 * A line `expression // => value` asserts deep equality. A fence marked `ts no-run` is checked, not run. One marked `ts test` declares
 * tests, which are run. One marked `ts postgres` or `ts redis`, or with both, asks these servers on this machine, and is skipped where
 * there is none. A file name before these marks (`ts app.ts no-run`) lets the other fences of its page import it by that name. A fence
 * may import the files beside its page.
 *
 * Usage: node scripts/doctest.mjs [root of the project]
 */
import * as Fs from "node:fs"
import * as Path from "node:path"

const root = Path.resolve(process.argv[2] ?? Path.join(import.meta.dirname, ".."))
const out = Path.join(root, "test/.doctest")

/** The fences of a text: their info string, the line of the file they start at, and their lines. */
const fencesOf = (text, isSource) => {
  const fences = []
  let open
  let inComment = !isSource
  text.split("\n").forEach((raw, i) => {
    if (isSource && /^\s*\/\*\*/.test(raw)) inComment = true
    const line = isSource ? raw.replace(/^\s*\* ?/, "") : raw
    if (open !== undefined) {
      if (/^\s*```\s*$/.test(line)) {
        if (open.language === "ts") fences.push(open)
        open = undefined
      } else open.lines.push(line)
    } else if (inComment) {
      const [, language, info] = /^\s*```(\w*)\s*(.*?)\s*$/.exec(line) ?? []
      if (language !== undefined) open = { language, info, line: i + 1, lines: [] }
    }
    if (isSource && raw.includes("*/")) {
      inComment = false
      open = undefined
    }
  })
  return fences
}

/** Splits the leading and scattered import statements from the rest, keeping their text as it is. */
const hoist = (code) => {
  const imports = []
  const body = code.replace(/^import\s[^"']*["'][^"']+["'];?[^\n]*$/gm, (statement) => {
    imports.push(statement)
    return ""
  })
  return { imports: imports.join("\n"), body }
}

/**
 * Replaces `expression // => value` by an assertion. The expression starts at the last line above that stands at the
 * margin and does not continue another one, so it may span several lines.
 */
const assertions = (body, where) => {
  const lines = body.split("\n")
  lines.forEach((line, i) => {
    const at = line.indexOf("// =>")
    if (at < 0) return
    let start = i
    while (start > 0 && /^(?:\s|[)\]}.]|$)/.test(lines[start])) start--
    lines[i] = line.slice(0, at).trimEnd()
    const expected = line.slice(at + 5).trim()
    if (/^\/\//.test(lines[i]) || lines[i] === "" || expected === "") {
      throw new Error(`${where}: "${line}" asserts nothing`)
    }
    const declared = /^(?:const|let)\s+(\w+)\b/.exec(lines[start])
    if (declared !== null) {
      lines[i] += `\nassert.deepStrictEqual<unknown>(${declared[1]}, ${expected})`
    } else {
      lines[start] = `assert.deepStrictEqual<unknown>(${lines[start]}`
      lines[i] = `${lines[i].replace(/;$/, "")}, ${expected})`
    }
  })
  return lines.join("\n")
}

/** The name of a fence's module: that of its page, and the name that the page gives the fence, or else its line. */
const nameOf = (file, { line, name }) => {
  const page = file.replace(/\.\w+$/, "").replaceAll("/", ".")
  // A run of all tests must not find it: `examples.test.ts` runs it.
  return name === undefined ? `${page}.${line}.ts` : `${page}.${name.replace(/\.test\.ts$/, "-test.ts")}`
}

/** Resolves the imports of files beside a page. */
const besidePage = (code, file) =>
  code.replaceAll(/ from "\.\/([\w.-]+)"/g, (statement, name) => {
    const beside = Path.join(Path.dirname(file), name)
    return Fs.existsSync(Path.join(root, beside)) ? ` from "${Path.relative("test/.doctest", beside)}"` : statement
  })

/** The mark of a fence: the name of its file, if it has one, and the words after it. */
const markOf = (info) => {
  const [, name, marks] = /^(?:([\w-]+(?:\.[\w-]+)*\.ts)(?:\s+|$))?(.*)$/.exec(info)
  const words = marks === "" ? [] : marks.split(/\s+/)
  return { name, isTest: words.includes("test"), mark: words.filter((word) => word !== "test").join(" ") }
}

/** The module that a fence becomes. What is only checked stays at the top level, where every statement is allowed. */
const moduleOf = (fence, where) => {
  const code = fence.lines.join("\n")
  const { body, imports } = hoist(code)
  if (imports === "") throw new Error(`${where}: the example imports nothing, so a reader cannot run it`)
  if (fence.mark === "no-run" || fence.isTest) return `// ${where}\n${code}\n`
  const asserted = assertions(body, where)
  const assert = asserted === body ? "" : `import { assert } from "@effect/vitest"\n`
  return `// ${where}\n${assert}${imports}\n\nexport default async (): Promise<void> => {\n${asserted.trim()}\n}\n`
}

const files = [
  ...Fs.globSync("src/**/*.ts", { cwd: root }).sort(),
  ...Fs.globSync(
    ["README.md", "docs/*.md", "docs/{start,how-to,move,reference}/**/*.md", "examples/**/*.md"],
    { cwd: root }
  ).sort()
]

const tests = []
/** The marks of fences that ask a server, and what `test/support/LiveServers.ts` calls it. */
const servers = { postgres: "PostgreSQL", redis: "Redis" }
const asking = new Map([["postgres", []], ["redis", []], ["postgres redis", []]])
const modules = new Map()
for (const file of files) {
  const fences = fencesOf(Fs.readFileSync(Path.join(root, file), "utf8"), file.endsWith(".ts"))
    .map((fence) => ({ ...fence, ...markOf(fence.info) }))
  const named = fences.filter(({ name }) => name !== undefined)
  for (const fence of fences) {
    const where = `${file}:${fence.line}`
    if (!["", "no-run"].includes(fence.mark) && !asking.has(fence.mark)) {
      throw new Error(`${where}: unknown mark "${fence.info}"`)
    }
    const name = nameOf(file, fence)
    if (modules.has(name)) throw new Error(`${where}: a second example with the name ${fence.name}`)
    const code = named.reduce(
      (text, other) => text.replaceAll(`"./${other.name}"`, `"./${nameOf(file, other)}"`),
      moduleOf(fence, where)
    )
    modules.set(name, besidePage(code, file))
    if (fence.mark === "no-run") continue
    const test = fence.isTest
      ? `describe("${where}", async () => void (await import("./${name}")))\n`
      : `it("${where}", async () => (await import("./${name}")).default())\n`
    ;(asking.get(fence.mark) ?? tests).push(test)
  }
}
const examples = modules.size
const asked = [...asking].filter(([, tests]) => tests.length > 0).map(([mark, tests]) => {
  const names = mark.split(" ").map((name) => servers[name])
  const list = names.map((name) => `"${name}"`).join(", ")
  return `\n;(await describeWith(${list}))("on ${names.join(" and ")}", () => {\n${tests.join("")}})\n`
})
const runs = tests.length + [...asking.values()].flat().length
const imports = asked.length > 0 ? `import { describeWith } from "../support/LiveServers.ts"\n` : ""
if (runs > 0) {
  modules.set(
    "examples.test.ts",
    `import { describe, it } from "@effect/vitest"\n${imports}\n${tests.join("")}${asked.join("")}`
  )
}

// Only what changed is written, so that a test run beside this one keeps its files.
Fs.mkdirSync(out, { recursive: true })
for (const name of Fs.readdirSync(out)) if (!modules.has(name)) Fs.rmSync(Path.join(out, name))
for (const [name, code] of modules) {
  const path = Path.join(out, name)
  if (!Fs.existsSync(path) || Fs.readFileSync(path, "utf8") !== code) Fs.writeFileSync(path, code)
}
console.log(
  examples === 0
    ? "doctest: there are no examples in src, README.md, docs and examples"
    : `doctest: ${runs} examples to run, ${examples - runs} only to check`
)
