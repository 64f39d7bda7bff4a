/**
 * The report of the demo in a browser: on a phone and on a desk, light and dark.
 */
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import * as Url from "node:url"
import * as Page from "../../examples/demo/report/Page.ts"
import { report } from "../examples/demo/Tracks.ts"
import * as Browser from "./Browser.ts"
import { faint } from "./Contrast.ts"

const file = Effect.acquireRelease(
  Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "demo-report-"))),
  (folder) => Effect.sync(() => Fs.rmSync(folder, { recursive: true }))
).pipe(Effect.map((folder) => {
  const path = Path.join(folder, "report.html")
  Fs.writeFileSync(path, Page.make(report()))
  return Url.pathToFileURL(path).href
}))

/** How far the page reaches beyond its right edge, and the elements that do. */
const outside = `[
  document.documentElement.scrollWidth - innerWidth,
  Array.from(document.querySelectorAll("main *"))
    .filter((one) => one.getBoundingClientRect().right > innerWidth + 1)
    .map((one) => one.tagName + "." + one.className)
]`

const show = Effect.gen(function*() {
  const [url, browser] = [yield* file, yield* Browser.page]
  yield* Effect.promise(() => browser.page.goto(url))
  return browser
})

Browser.describeWithBrowser()("the report of the demo", () => {
  it.live.each([360, 390, 768, 1280])(
    "has nothing beyond the edge of a screen of %d pixels",
    (width) =>
      Effect.gen(function*() {
        const { complaints, page } = yield* show
        yield* Effect.promise(() => page.setViewport({ width, height: 800 }))
        assert.deepStrictEqual(yield* Effect.promise(() => page.evaluate(outside)), [0, []])
        // With the values of all plots too, which scroll in a box of their own.
        yield* Effect.promise(() =>
          page.evaluate(`for (const one of document.querySelectorAll("details")) one.open = true`)
        )
        assert.strictEqual(
          yield* Effect.promise(() => page.evaluate("document.documentElement.scrollWidth - innerWidth")),
          0
        )
        assert.deepStrictEqual(complaints, [])
      }),
    60_000
  )

  it.live.each(["light", "dark"])(
    "has a contrast of at least 4.5 in every text: %s",
    (value) =>
      Effect.gen(function*() {
        const { page } = yield* show
        yield* Effect.promise(() => page.emulateMediaFeatures([{ name: "prefers-color-scheme", value }]))
        const ground = yield* Effect.promise(() => page.evaluate("getComputedStyle(document.body).backgroundColor"))
        assert.strictEqual(ground, value === "light" ? "rgb(255, 255, 255)" : "rgb(18, 22, 29)")
        yield* Effect.promise(() =>
          page.evaluate(`for (const one of document.querySelectorAll("details")) one.open = true`)
        )
        assert.deepStrictEqual(yield* Effect.promise(() => page.evaluate(faint)), [])
      }),
    60_000
  )

  it.live.each([360, 1280])("cuts no text of a plot on a screen of %d pixels", (width) =>
    Effect.gen(function*() {
      const { page } = yield* show
      yield* Effect.promise(() => page.setViewport({ width, height: 800 }))
      const cut = `Array.from(document.querySelectorAll("figure svg text")).filter((one) => {
        const [text, plot] = [one, one.closest("svg")].map((shown) => shown.getBoundingClientRect())
        return text.left < plot.left || text.right > plot.right || text.top < plot.top || text.bottom > plot.bottom
      }).map((one) => one.textContent)`
      assert.deepStrictEqual(yield* Effect.promise(() => page.evaluate(cut)), [])
    }), 60_000)

  it.live("has texts of at least 9 pixels in the plots of a phone", () =>
    Effect.gen(function*() {
      const { page } = yield* show
      yield* Effect.promise(() => page.setViewport({ width: 360, height: 800 }))
      const least = `Math.min(...Array.from(document.querySelectorAll("figure svg"), (svg) =>
        svg.getBoundingClientRect().width / 400 * parseFloat(getComputedStyle(svg.querySelector("text")).fontSize)))`
      assert.isAtLeast(Number(yield* Effect.promise(() => page.evaluate(least))), 9)
      yield* Effect.promise(() => Browser.pictures(page, "demo-report"))
    }), 60_000)
})
