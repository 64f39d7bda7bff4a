import { afterAll, assert, describe, it } from "@effect/vitest"
import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"

const root = Path.resolve(import.meta.dirname, "../..")
const script = Path.join(root, "scripts/words.mjs")

interface Finding {
  readonly name: string
  readonly line: number
  readonly words: string
}

const { allowed, check, findingsIn }: {
  readonly allowed: ReadonlyArray<{ readonly name: string; readonly words: string; readonly reason: string }>
  readonly check: (root: string) => ReadonlyArray<Finding>
  readonly findingsIn: (name: string, text: string) => ReadonlyArray<Finding>
} = await import(script)

const refused = [
  ["whoever", "whomever", "nobody", "somebody", "anybody", "everybody", "no one", "someone", "anyone", "everyone"],
  ["lent", "lend", "lends", "lending", "lender", "for want of", "gives way", "gave way", "giving way", "told"],
  ["dear", "dearer", "mend", "mends", "mended", "let in", "lets in", "letting in", "shelf", "shelves", "shelved"],
  ["door", "doors", "nonsense", "no sooner", "nought", "naught", "in vain", "lest", "hence", "thence", "whence"],
  ["of no use", "of use to", "news", "hands over", "goes without", "half way", "afresh", "anew", "spoilt", "the house"],
  ["in its borrower's hands", "custody", "deputy", "deputies", "roster", "inventory", "upkeep", "thrift"],
  [
    "dearth",
    "bit by bit",
    "on trial",
    "stands in",
    "way over",
    "brings about",
    "no good",
    "amiss",
    "somehow",
    "forthwith"
  ]
].flat()

const wordsIn = (name: string, text: string): ReadonlyArray<string> => findingsIn(name, text).map(({ words }) => words)

describe("the word list", () => {
  it.each(refused)("refuses %j in a comment, in a text and on a page", (words) => {
    assert.deepStrictEqual(wordsIn("src/A.ts", `/** It is ${words} of it. */\nexport const a = 1\n`), [words])
    assert.deepStrictEqual(wordsIn("src/A.ts", `export const a = "it is ${words} of it"\n`), [words])
    assert.deepStrictEqual(wordsIn("src/A.ts", `export const a = \`\${1} is ${words} of it\`\n`), [words])
    assert.deepStrictEqual(wordsIn("docs/a.md", `It is ${words} of it.\n`), [words])
  })

  it("finds words that a line break separates, and names their line", () => {
    const comment = "/**\n * It fails for want\n * of a descriptor.\n */\nexport const a = 1\n// It gives\n// way.\n"
    const found = findingsIn("src/A.ts", comment)
    assert.deepStrictEqual(found.map(({ line, words }) => [line, words]), [[2, "for want of"], [6, "gives way"]])
  })

  it("reads no code: neither names, nor what stands between backticks, nor an example without its comments", () => {
    const code = "export const nobody = (lent: string) => lent + `told`\nexport const beforeLend = 'lend'\n"
    assert.deepStrictEqual(wordsIn("src/A.ts", code), [])
    assert.deepStrictEqual(wordsIn("src/A.ts", "/** Calls `lend` and `nobody`, then beforeLend. */\n"), [])
    const page = "Call `lend`.\n\n```ts\nconst told = lend() // told now\n```\n\n```text\nnobody\n```\n"
    assert.deepStrictEqual(wordsIn("docs/a.md", page), ["told", "nobody"])
  })

  it("takes a word for refused only as a whole", () => {
    assert.deepStrictEqual(
      wordsIn("docs/a.md", "A calendar, a recommendation, an indoor silent blend: whole words.\n"),
      []
    )
  })

  it("has a finding for each exception, and a reason", () => {
    for (const { name, reason, words } of allowed) {
      assert.isNotEmpty(reason)
      assert.include(wordsIn(name, Fs.readFileSync(Path.join(root, name), "utf8")), words)
    }
  })

  it("is kept by this project", () => assert.deepStrictEqual(check(root), []))
})

describe("npm run words", () => {
  const project = Fs.mkdtempSync(Path.join(Os.tmpdir(), "sluice-words-"))
  afterAll(() => Fs.rmSync(project, { recursive: true, force: true }))

  const run = (text: string) => {
    Fs.mkdirSync(Path.join(project, "docs"), { recursive: true })
    Fs.writeFileSync(Path.join(project, "docs/page.md"), text)
    return ChildProcess.spawnSync(process.execPath, [script, project], { encoding: "utf8" })
  }

  it("fails with the place, the word and what to write instead", () => {
    const { status, stderr } = run("A connection\nis lent.\n")
    assert.strictEqual(status, 1)
    assert.strictEqual(stderr, "docs/page.md:2: \"lent\": write leased, leases\n")
  })

  it("passes where nothing is refused", () => assert.strictEqual(run("A connection is leased.\n").status, 0))
})
