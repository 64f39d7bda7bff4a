import { assert, describe, it } from "@effect/vitest"
import { siteLink, type Surroundings } from "../../site/lib/Links.ts"
import { repositoryOf } from "../../site/lib/Repository.ts"
import { slugOf } from "../../site/lib/Slug.ts"

const site: Surroundings = {
  sources: new Set(["README.md", "docs/README.md", "docs/reference/pool.md", "docs/how-to/exit.md"]),
  folders: new Set(["docs", "docs/decisions"]),
  repository: "https://example.org/sluice",
  kindOf: (path) =>
    ["src/Pool.ts", "docs/operations/alerts.yml", "../other/file.ts", "/etc/hosts"].includes(path)
      ? "file"
      : path === "examples"
      ? "folder"
      : undefined
}

describe("a link of a page of the repository", () => {
  it("to another page leads to that page, with its anchor", () => {
    assert.strictEqual(
      siteLink("docs/how-to/exit.md", "../reference/pool.md#errors", site),
      "/docs/reference/pool.md#errors"
    )
    assert.strictEqual(siteLink("README.md", "docs/how-to/exit.md", site), "/docs/how-to/exit.md")
  })

  it("to a README leads to the page that the README is", () => {
    assert.strictEqual(siteLink("docs/how-to/exit.md", "../README.md", site), "/docs/index.md")
    assert.strictEqual(siteLink("docs/README.md", "../README.md#modules", site), "/readme.md#modules")
  })

  it("to a folder leads to its index", () => {
    assert.strictEqual(siteLink("docs/README.md", "decisions/", site), "/docs/decisions/")
    assert.strictEqual(siteLink("README.md", "docs/", site), "/docs/")
  })

  it("to a file that is no page leads to the repository", () => {
    assert.strictEqual(
      siteLink("docs/reference/pool.md", "../../src/Pool.ts", site),
      "https://example.org/sluice/blob/main/src/Pool.ts"
    )
    assert.strictEqual(
      siteLink("docs/how-to/exit.md", "../operations/alerts.yml", site),
      "https://example.org/sluice/blob/main/docs/operations/alerts.yml"
    )
    assert.strictEqual(siteLink("README.md", "examples/", site), "https://example.org/sluice/tree/main/examples")
  })

  it("to another host or to a heading of its own page stays as it is", () => {
    for (const link of ["https://effect.website", "mailto:a@example.org", "#errors"]) {
      assert.strictEqual(siteLink("README.md", link, site), link)
    }
  })

  it("to nothing, or out of the repository, is dead", () => {
    assert.isUndefined(siteLink("README.md", "docs/gone.md", site))
    assert.isUndefined(siteLink("README.md", "../other/file.ts", site))
    assert.isUndefined(siteLink("/README.md", "/etc/hosts", site))
  })
})

describe("the address of the repository", () => {
  it("is that of package.json, as a browser opens it", () => {
    assert.strictEqual(
      repositoryOf({ repository: { url: "git+https://example.org/a/b.git" } }),
      "https://example.org/a/b"
    )
    assert.strictEqual(repositoryOf({ repository: "https://example.org/a/b" }), "https://example.org/a/b")
  })
})

describe("the anchor of a heading", () => {
  it("is the one that GitHub makes", () => {
    assert.strictEqual(slugOf("What is left behind"), "what-is-left-behind")
    assert.strictEqual(slugOf("`sluice top` and `pools`: 2 views"), "sluice-top-and-pools-2-views")
    assert.strictEqual(slugOf("`max_connections`"), "max_connections")
    assert.strictEqual(slugOf("Größe & Zahl"), "größe--zahl")
  })
})
