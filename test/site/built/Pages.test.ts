/**
 * Every page of the site in a browser, on a phone and on a desk, in light and dark.
 */
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Fs from "node:fs"
import * as Path from "node:path"
import manifest from "../../../package.json" with { type: "json" }
import { deadLinks } from "../../../site/lib/Check.ts"
import { pageOf, sourcesIn } from "../../../site/lib/Pages.ts"
import { exampleOf } from "../../../site/lib/Stage.ts"
import * as Browser from "../../browser/Browser.ts"
import { faint } from "../../browser/Contrast.ts"
import { describeSite, html, out, pages, root, server } from "./Site.ts"

const phone = { width: 360, height: 740 }
const desk = { width: 1440, height: 900 }

/** What reaches beyond the right edge of the page, but for what scrolls inside of a box. */
const outside = `(() => {
  const scrolls = (one) => one !== null && (["auto", "scroll"].includes(getComputedStyle(one).overflowX) || scrolls(one.parentElement))
  const more = document.documentElement.scrollWidth - innerWidth
  return [
    ...more > 0 ? ["the page is wider by " + more] : [],
    ...Array.from(document.querySelectorAll(".VPContent *, .VPNav *"))
      .filter((one) => one.checkVisibility() && one.getBoundingClientRect().right > innerWidth + 1 && !scrolls(one.parentElement))
      .map((one) => one.tagName + "." + one.className)
  ]
})()`

/** What was loaded from another host. */
const elsewhere = `performance.getEntriesByType("resource").map((one) => one.name)
  .filter((name) => !name.startsWith(location.origin) && !name.startsWith("data:"))`

const isReady =
  `document.querySelector(".VPNavBar") !== null && document.querySelector("#app").__vue_app__ !== undefined`

/** Whether each diagram is drawn for this scheme, and nothing of a drawing under way is in the page. */
const areDrawn = (scheme: string): string =>
  `document.querySelector(".mermaid-source, [id^=dmermaid]") === null &&
  Array.from(document.querySelectorAll(".mermaid-picture")).every((one) => one.dataset.theme === "${scheme}")`

/** What is wrong with the page at an address. */
const faultsOf = async ({ complaints, page }: Browser.Opened, address: string): Promise<ReadonlyArray<string>> => {
  const faults: Array<string> = []
  const look = async (where: string, script: string) => {
    for (const fault of new Set(await page.evaluate(script) as ReadonlyArray<string>)) faults.push(`${where}: ${fault}`)
  }
  complaints.length = 0
  await page.setViewport(phone)
  await page.goto(address)
  await page.waitForFunction(isReady)
  await look("title", `(document.querySelector("h1")?.textContent ?? "").trim() === "" ? ["none"] : []`)
  await look("phone", outside)
  await page.setViewport(desk)
  await look("desk", outside)
  for (const value of ["light", "dark"]) {
    await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value }])
    await page.waitForFunction(`document.documentElement.classList.contains("dark") === ${value === "dark"}`)
    // Colors take half a second to change, and diagrams are drawn anew.
    await page.waitForFunction(Browser.isSettled)
    await page.waitForFunction(areDrawn(value))
    await look(value, faint)
  }
  await look("another host", elsewhere)
  return [...faults, ...complaints]
}

describeSite()("the pages of the site", () => {
  it("are those of the repository, and one for each public module", () => {
    const modules = Object.keys(manifest.exports).filter((path) => path !== "." && path !== "./package.json")
    const expected = [
      ...sourcesIn(root).map((source) => pageOf(source).replace(/\.md$/, ".html")),
      ...modules.map((path) => path === "./Testing" ? "api/Testing/index.html" : `api/${path.slice(2)}.html`)
    ]
    assert.includeMembers([...pages], expected)
  })

  it("have no dead link and no anchor that is not there", () => assert.deepStrictEqual(deadLinks(out, "/"), []))

  it("show examples as TypeScript, whatever their marks for the tests are", () => {
    const languages = new Set(
      pages.flatMap((page) =>
        Array.from(html(page).matchAll(/<div class="language-([^ "]*)/g), ([, language = ""]) => language)
      )
    )
    assert.include([...languages], "ts")
    assert.isFalse([...languages].some((language) => /no-run|postgres|redis/.test(language)), [...languages].join(" "))
  })

  // One browser opens all of them, in about half a minute on two free cores; the bound is for a machine that is busy.
  it.live(
    "load without a complaint, fit a phone and a desk, and are readable in light and dark",
    () =>
      Effect.gen(function*() {
        const [url, browser] = [yield* server, yield* Browser.page]
        const faults: Record<string, unknown> = {}
        for (const page of pages) {
          const found = yield* Effect.promise(() => faultsOf(browser, `${url}/${page}`))
          if (found.length > 0) faults[page] = found
          if (page === "index.html") yield* Effect.promise(() => Browser.pictures(browser.page, "site"))
        }
        assert.isAbove(pages.length, 50)
        assert.deepStrictEqual(faults, {})
      }),
    600_000
  )
})

describeSite()("a reader of the site", () => {
  const opened = (path: string) =>
    Effect.gen(function*() {
      const [url, { page }] = [yield* server, yield* Browser.page]
      yield* Effect.promise(() =>
        page.browserContext().overridePermissions(url, ["clipboard-read", "clipboard-sanitized-write"])
      )
      yield* Effect.promise(() => page.setViewport(desk))
      yield* Effect.promise(() => page.goto(`${url}${path}`))
      yield* Effect.promise(() => page.waitForFunction(isReady))
      return page
    })

  it.live("copies an example with its button, as the page of the repository has it", () =>
    Effect.gen(function*() {
      const page = yield* opened("/readme.html")
      yield* Effect.promise(() => page.click("div.language-ts > button.copy"))
      yield* Effect.promise(() => page.waitForFunction(`navigator.clipboard.readText().then((text) => text !== "")`))
      const copied = yield* Effect.promise(() => page.evaluate("navigator.clipboard.readText()"))
      const example = exampleOf(Fs.readFileSync(Path.join(root, "README.md"), "utf8"))
      assert.strictEqual(String(copied).trim(), example.split("\n").slice(1, -1).join("\n").trim())
    }), 60_000)

  it.live(
    "finds AcquireTimeout with the search, in the guide and in the reference, and gets there with the keyboard",
    () =>
      Effect.gen(function*() {
        const page = yield* opened("/")
        yield* Effect.promise(() => page.click(".DocSearch-Button"))
        yield* Effect.promise(() => page.waitForFunction(`document.querySelector("#localsearch-input") !== null`))
        yield* Effect.promise(() => page.type("#localsearch-input", "AcquireTimeout"))
        // The results follow the text as it is typed.
        const found = `Array.from(document.querySelectorAll(".results .result"), (one) => new URL(one.href).pathname)`
        yield* Effect.promise(() => page.waitForFunction(`${found}.includes("/api/ConnectionPool.html")`))
        yield* Effect.promise(() => page.waitForFunction(`${found}.some((path) => path.startsWith("/docs/"))`))
        yield* Effect.promise(() => page.keyboard.press("Enter"))
        // The address changes before the page is there.
        yield* Effect.promise(() =>
          page.waitForFunction(
            `location.pathname !== "/" && document.querySelector("main")?.innerText.includes("AcquireTimeout")`
          )
        )
      }),
    60_000
  )
})
