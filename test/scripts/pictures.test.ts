import { afterAll, assert, describe, it } from "@effect/vitest"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { picturesOf, staleIn } from "../../scripts/pictures.ts"

const root = Path.resolve(import.meta.dirname, "../..")
const pages = Fs.globSync("docs/**/*.md", { cwd: root }).map((name) => Fs.readFileSync(Path.join(root, name), "utf8"))

/** A copy of what the pictures are made of, in which a test may change a file. */
const copy = Fs.mkdtempSync(Path.join(Os.tmpdir(), "pictures-"))
const sources = ["performance", "retry", "monitor"].map((name) => `docs/reference/${name}.md`)
sources.push("benchmark/results/storm-course.json")
for (const name of [...sources, ...Array.from(picturesOf(root).keys(), (file) => `docs/pictures/${file}`)]) {
  Fs.cpSync(Path.join(root, name), Path.join(copy, name))
}

afterAll(() => Fs.rmSync(copy, { recursive: true }))

const change = (name: string, from: string, to: string): void => {
  const file = Path.join(copy, name)
  const content = Fs.readFileSync(file, "utf8")
  assert.include(content, from)
  Fs.writeFileSync(file, content.replace(from, to))
}

describe("the pictures of the documentation", () => {
  it("are what the script writes", () => {
    assert.deepEqual([...staleIn(root)], [])
  })

  it("are in a page each, and are all that is in their folder", () => {
    const names = [...picturesOf(root).keys()]
    for (const name of names) assert.isTrue(pages.some((page) => page.includes(`pictures/${name})`)), name)
    assert.sameMembers(Fs.readdirSync(Path.join(root, "docs/pictures")), names)
  })

  it("have a title and a description, and no script, link or font from elsewhere", () => {
    for (const [name, content] of picturesOf(root)) {
      assert.match(content, /<title id="title">.+<\/title>\n<desc id="description">.{60,}<\/desc>/, name)
      assert.notMatch(
        content.replace("http://www.w3.org/2000/svg", ""),
        /<script|href|url\(|https?:|@import|NaN|undefined/,
        name
      )
    }
  })

  it("are stale when a figure of a table, or of a benchmark, changes", () => {
    change("docs/reference/performance.md", "1429 (1287-1716), x0.96", "2511 (1660-3253), x1.19")
    assert.deepEqual([...staleIn(copy)], ["borrow-cost.svg"])
    change("docs/reference/retry.md", "| 6160 ms, 181 dials", "| 6161 ms, 181 dials")
    assert.deepEqual([...staleIn(copy)], ["recovery.svg", "borrow-cost.svg"])
    const results = Path.join(copy, "benchmark/results/storm-course.json")
    const data: { readonly courses: ReadonlyArray<Array<number>> } = JSON.parse(Fs.readFileSync(results, "utf8"))
    data.courses[0]?.splice(2, 1, 0.5)
    Fs.writeFileSync(results, JSON.stringify(data))
    assert.deepEqual([...staleIn(copy)], ["storm.svg", "recovery.svg", "borrow-cost.svg"])
    change("docs/reference/monitor.md", "With it, 81 of", "With it, 82 of")
    assert.deepEqual([...staleIn(copy)], ["exhaustion.svg", "storm.svg", "recovery.svg", "borrow-cost.svg"])
  })

  it("fail without the table that they are drawn from", () => {
    change("docs/reference/retry.md", "### A storm of retries", "### Storms")
    assert.throws(() => staleIn(copy), /no heading/)
  })
})
