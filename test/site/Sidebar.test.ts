import { assert, describe, it } from "@effect/vitest"
import { namedBy, referenceSidebar, sidebarOf } from "../../site/lib/Sidebar.ts"

const titles = new Map([
  ["README.md", "sluice"],
  ["CHANGELOG.md", "Changelog"],
  ["docs/README.md", "Documentation"],
  ["docs/architecture.md", "Architecture"],
  ["docs/decisions/0001-a.md", "1. A"],
  ["docs/how-to/exit.md", "The end"],
  ["docs/how-to/testing.md", "Testing"],
  ["docs/how-to/unnamed.md", "A page that the index does not name"],
  ["docs/reference/clients/redis.md", "Redis"],
  ["docs/reference/pool.md", "The pool"],
  ["docs/start/demo.md", "The demo"]
])

const index =
  "[demo](start/demo.md) [t](how-to/testing.md#a) [e](how-to/exit.md) [x](https://a.b) [p](reference/pool.md) [d](decisions/)"

describe("the sidebar", () => {
  const groups = sidebarOf({ titles, named: namedBy("docs/README.md", index) })
  const linksOf = (text: string) => groups.find((group) => group.text === text)?.items?.map((item) => item.link)

  it("has a group for each folder of docs, in the order of the index, and ends with the pages for contributors", () => {
    assert.deepStrictEqual(groups.map(({ text }) => text), ["Overview", "Start", "How to", "Reference", "Project"])
  })

  it("has the pages that the index names in its order, and then the others", () => {
    assert.deepStrictEqual(linksOf("How to"), ["/docs/how-to/testing", "/docs/how-to/exit", "/docs/how-to/unnamed"])
  })

  it("shows the first heading of a page", () => {
    assert.deepStrictEqual(groups[1]?.items, [{ text: "The demo", link: "/docs/start/demo" }])
  })

  it("folds a folder inside a folder", () => {
    assert.deepStrictEqual(groups[3]?.items, [
      { text: "The pool", link: "/docs/reference/pool" },
      { text: "Clients", collapsed: true, items: [{ text: "Redis", link: "/docs/reference/clients/redis" }] }
    ])
  })

  it("has every page once", () => {
    const links = (items: typeof groups): Array<string> =>
      items.flatMap(({ items: inner = [], link }) => [...link === undefined ? [] : [link], ...links(inner)])
    assert.strictEqual(links(groups).length, titles.size)
    assert.strictEqual(new Set(links(groups)).size, titles.size)
  })
})

describe("the sidebar of the reference", () => {
  it("has the modules by the folders of their sources", () => {
    const groups = referenceSidebar(
      new Map([["/r/src/Pool/B.ts", "B"], ["/r/src/Clients/A.ts", "A"], ["/r/src/Pool/A.ts", "C"]])
    )
    assert.deepStrictEqual(
      groups.slice(1).map(({ items, text }) => [text, items?.map((item) => item.link)]),
      [["Clients", ["/api/A"]], ["Pool", ["/api/B", "/api/C"]]]
    )
  })
})
