import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { deadLinks } from "../../site/lib/Check.ts"
import { stage } from "../../site/lib/Stage.ts"

const directory = Fs.mkdtempSync(Path.join(Os.tmpdir(), "sluice-site-"))
afterAll(() => Fs.rmSync(directory, { recursive: true, force: true }))

const at = (...parts: ReadonlyArray<string>) => Path.join(directory, ...parts)

const write = (path: string, text: string): void => {
  Fs.mkdirSync(Path.dirname(at(path)), { recursive: true })
  Fs.writeFileSync(at(path), text)
}

const read = (path: string): string => Fs.readFileSync(at(path), "utf8")

describe("the pages that VitePress reads", () => {
  const example = "```ts\nconst one = \"$1\"\n```"

  beforeAll(() => {
    write("root/README.md", `# sluice\n\n${example}\n\n\`\`\`ts\ntwo\n\`\`\`\n`)
    write("root/docs/README.md", "# Documentation\n")
    write("root/docs/how-to/exit.md", "# The `end`\n\n[a](../README.md)\n")
    write("root/docs/picture.svg", "<svg/>")
    write("root/src/NOTES.md", "# Not a page\n")
    write("site/home.md", "---\nlayout: home\n---\n<!-- example -->\n")
    write("content/docs/gone.md", "# A page that was moved\n")
    write("content/api/Pool.md", "# Pool\n")
    stage(at("root"), at("site"), at("content"))
  })

  it("are the pages of the repository, unchanged", () => {
    for (
      const [page, source] of [["docs/how-to/exit.md", "docs/how-to/exit.md"], ["docs/index.md", "docs/README.md"], [
        "readme.md",
        "README.md"
      ]]
    ) {
      assert.strictEqual(read(`content/${page}`), read(`root/${source}`))
    }
  })

  it("have the first example of the README on the first of them", () => {
    assert.strictEqual(read("content/index.md"), `---\nlayout: home\n---\n${example}\n`)
  })

  it("have a list of the pages of a folder without a README", () => {
    assert.strictEqual(read("content/docs/how-to/index.md"), "# How to\n\n- [The end](exit.md)\n")
  })

  it("have the pictures, the reference, and nothing that is not there any more", () => {
    assert.sameMembers(
      Fs.globSync("**/*.*", { cwd: at("content") }),
      [
        "index.md",
        "readme.md",
        "docs/index.md",
        "docs/how-to/index.md",
        "docs/how-to/exit.md",
        "docs/picture.svg",
        "api/Pool.md"
      ]
    )
  })
})

describe("the check of links", () => {
  const pages: Record<string, string> = {
    "index.html":
      `<a href="/docs/a.html#there">x</a><a class="b" href="/docs/">x</a><a href="https://elsewhere.org/x">x</a>`,
    "docs/index.html": `<h1 id="top">x</h1><a href="a.html#">x</a><a href="#top">x</a>`,
    "docs/a.html": `<h2 id="there">x</h2>`
  }
  const deadIn = (base: string, changed: Record<string, string>): ReadonlyArray<string> => {
    Fs.rmSync(at("out"), { recursive: true, force: true })
    for (const [page, html] of Object.entries({ ...pages, ...changed })) write(`out/${page}`, html)
    return deadLinks(at("out"), base)
  }

  it("finds nothing where every link leads somewhere", () => assert.deepStrictEqual(deadIn("/", {}), []))

  it("finds an address without a page, an anchor without a heading, and a missing picture", () => {
    const html =
      `<a href="/gone.html">x</a><a href="/docs/a.html#gone">x</a><a href="#gone">x</a><img alt="" src="/x.svg">`
    assert.deepStrictEqual(deadIn("/", { "b.html": html }), [
      "b.html: /gone.html",
      "b.html: /docs/a.html#gone",
      "b.html: #gone",
      "b.html: /x.svg"
    ])
  })

  it("finds a link that leaves the path below which the site is served", () => {
    assert.deepStrictEqual(
      deadIn("/sluice/", { "index.html": `<a href="/docs/">x</a><a href="/sluice/docs/">x</a>` }),
      [
        "index.html: /docs/"
      ]
    )
  })
})
