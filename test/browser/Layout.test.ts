/**
 * How the status page looks with snapshots of many states, in the sizes of a phone, a tablet and a desk.
 */
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Fs from "node:fs"
import * as Http from "node:http"
import type { AddressInfo } from "node:net"
import * as Os from "node:os"
import * as Path from "node:path"
import { pageHtml } from "../../src/Operations/internal/page/Page.ts"
import * as Browser from "./Browser.ts"
import { faint } from "./Contrast.ts"
import * as Snapshots from "./Snapshots.ts"

type State = keyof typeof Snapshots

const policy = (nonce: string): string =>
  `default-src 'none'; script-src 'nonce-${nonce}'; style-src 'nonce-${nonce}'; img-src data:; connect-src 'self'; ` +
  "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

/** Serves the page and the snapshot of a state, which the address of the page names. */
const server = Effect.acquireRelease(
  Effect.callback<Http.Server>((resume) => {
    const made = Http.createServer((request, response) => {
      const [, state = "", file] = (request.url ?? "").split("/")
      if (file === "pools.json") {
        response.setHeader("content-type", "application/json")
        if (state === "silent") return
        const [, take] = Object.entries(Snapshots).find(([name]) => name === state) ?? []
        response.end(JSON.stringify(take?.(Date.now())))
      } else {
        response.setHeader("content-type", "text/html; charset=utf-8")
        response.setHeader("content-security-policy", policy("once"))
        response.end(pageHtml("once", request.url?.endsWith("?controls=off") !== true))
      }
    })
    made.listen(0, "127.0.0.1", () => resume(Effect.succeed(made)))
  }),
  (made) =>
    Effect.promise(() =>
      new Promise<void>((resolve) => {
        made.close(() => resolve())
        made.closeAllConnections()
      })
    )
).pipe(Effect.map((made) => `http://127.0.0.1:${(made.address() as AddressInfo).port}`))

const sizes = [{ width: 320, height: 640 }, { width: 720, height: 900 }, { width: 390, height: 844 }, {
  width: 780,
  height: 900
}, {
  width: 820,
  height: 1180
}, {
  width: 1440,
  height: 900
}]

const states = Object.keys(Snapshots) as ReadonlyArray<State>

/** The states of which `SCREENSHOTS` gets pictures. */
const pictured: ReadonlyArray<State> = ["healthy", "down", "saturated", "exhausted"]

const temporary = Effect.acquireRelease(
  Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "pictures-"))),
  (folder) => Effect.sync(() => Fs.rmSync(folder, { recursive: true }))
)

/** The width in the header of a PNG. */
const pictureWidth = (file: string): number => {
  const bytes = Fs.readFileSync(file)
  assert.strictEqual(bytes.toString("latin1", 1, 4), "PNG")
  return bytes.readUInt32BE(16)
}

const show = ({ page }: Browser.Opened, url: string, state: State) =>
  Effect.promise(() => page.goto(`${url}/${state}/`)).pipe(
    Effect.andThen(Effect.promise(() => page.waitForFunction(`document.body.dataset.state === "live"`)))
  )

/** Elements that reach beyond the right edge of the page, but for those that are hidden from sight on purpose. */
const outside = `[
  document.documentElement.scrollWidth - innerWidth,
  Array.from(document.querySelectorAll("main *, header *"))
    .filter((one) => one.getBoundingClientRect().right > innerWidth + 1 && one.closest(".unseen, .long, thead") === null)
    .map((one) => one.tagName + "." + one.className)
]`

Browser.describeWithBrowser()("the layout of the status page", () => {
  it.live.each(states)("has nothing beyond the edge of the screen in any size: %s", (state) =>
    Effect.gen(function*() {
      const [url, browser] = [yield* server, yield* Browser.page]
      for (const size of sizes) {
        yield* Effect.promise(() => browser.page.setViewport(size))
        yield* show(browser, url, state)
        assert.deepStrictEqual(yield* Effect.promise(() => browser.page.evaluate(outside)), [0, []], `${size.width}`)
      }
      assert.deepStrictEqual(browser.complaints, [])
    }), 60_000)

  it.live.each(["light", "dark"])(
    "has a contrast of at least 4.5 in every text: %s",
    (value) =>
      Effect.gen(function*() {
        const [url, browser] = [yield* server, yield* Browser.page]
        yield* Effect.promise(() => browser.page.emulateMediaFeatures([{ name: "prefers-color-scheme", value }]))
        for (const state of ["down", "saturated", "exhausted"] as const) {
          yield* show(browser, url, state)
          assert.deepStrictEqual(yield* Effect.promise(() => browser.page.evaluate(faint)), [], state)
        }
      }),
    60_000
  )

  it.live(
    "is in pictures of a phone and of a desk, light and dark, for a person to look at",
    () =>
      Effect.gen(function*() {
        const [url, browser] = [yield* server, yield* Browser.page]
        const folder = yield* temporary
        yield* show(browser, url, "down")
        yield* Effect.promise(() => Browser.pictures(browser.page, "down", folder))
        const widths = Fs.readdirSync(folder).map((file) => [file, pictureWidth(Path.join(folder, file))])
        const [phone, desk] = [Browser.sizes.phone.width * 2, Browser.sizes.desk.width * 2]
        assert.deepStrictEqual(Object.fromEntries(widths), {
          "down-desk-dark.png": desk,
          "down-desk-light.png": desk,
          "down-phone-dark.png": phone,
          "down-phone-light.png": phone
        })
        const taken = new Set(
          Fs.readdirSync(folder).map((file) => Fs.readFileSync(Path.join(folder, file)).toString("base64"))
        )
        assert.strictEqual(taken.size, 4)
        for (const state of pictured) {
          yield* show(browser, url, state)
          yield* Effect.promise(() => Browser.pictures(browser.page, `status-${state}`))
        }
      }),
    120_000
  )

  it.live(
    "shows markup of a peer as text, and cuts long texts until they have the focus",
    () =>
      Effect.gen(function*() {
        const [url, browser] = [yield* server, yield* Browser.page]
        const evaluate = (script: string) => Effect.promise(() => browser.page.evaluate(script))
        yield* show(browser, url, "hostile")
        assert.strictEqual(
          yield* evaluate(`document.querySelectorAll("main img, main script, main b[style]").length`),
          0
        )
        assert.include(String(yield* evaluate(`document.querySelector(".pool h3").textContent`)), "<img src=x onerror=")
        assert.notStrictEqual(yield* evaluate("document.title"), "taken")
        const height = `document.querySelector("#failures .long").clientHeight`
        const cut = Number(yield* evaluate(height))
        yield* evaluate(`document.querySelector("#failures .long").focus()`)
        assert.isAbove(Number(yield* evaluate(height)), cut)
        assert.deepStrictEqual(browser.complaints, [])
      }),
    60_000
  )

  it.live(
    "has no button for an action of a program without a token, and says why in one line",
    () =>
      Effect.gen(function*() {
        const [url, browser] = [yield* server, yield* Browser.page]
        const shown = (selector: string) =>
          Effect.promise(() =>
            browser.page.evaluate(`Array.from(document.querySelectorAll(${JSON.stringify(selector)}))
            .filter((one) => one.checkVisibility()).map((one) => one.textContent)`)
          )
        const buttons = "main button:not(.more)"
        yield* show(browser, url, "down")
        assert.includeMembers((yield* shown(buttons)) as Array<string>, ["Evict", "Suspend", "Drain", "End"])
        assert.deepStrictEqual(yield* shown("#controls-off"), [])
        yield* Effect.promise(() => browser.page.goto(`${url}/down/?controls=off`))
        yield* Effect.promise(() => browser.page.waitForFunction(`document.body.dataset.state === "live"`))
        assert.deepStrictEqual(yield* shown(buttons), [])
        assert.match(String(yield* shown("#controls-off")), /^Actions, .*, are off: the program has set no token/)
      }),
    60_000
  )

  it.live("has room between the figures of the process and the line below them", () =>
    Effect.gen(function*() {
      const [url, browser] = [yield* server, yield* Browser.page]
      yield* show(browser, url, "healthy")
      const room = `document.getElementById("span").getBoundingClientRect().top -
        document.querySelector(".resources").getBoundingClientRect().bottom`
      assert.isAtLeast(Number(yield* Effect.promise(() => browser.page.evaluate(room))), 4)
    }), 60_000)

  it.live("has a filled dot only while the program answers", () =>
    Effect.gen(function*() {
      const [url, browser] = [yield* server, yield* Browser.page]
      const dot = `getComputedStyle(document.getElementById("live"), "::before").backgroundColor`
      const clear = "rgba(0, 0, 0, 0)"
      // Without an answer, it is connecting.
      yield* Effect.promise(() => browser.page.goto(`${url}/silent/`))
      assert.deepStrictEqual(
        yield* Effect.promise(() => browser.page.evaluate(`[document.body.dataset.state, ${dot}]`)),
        ["connecting", clear]
      )
      yield* show(browser, url, "healthy")
      assert.notStrictEqual(yield* Effect.promise(() => browser.page.evaluate(dot)), clear)
    }), 60_000)

  it.live("lists the first rows of a long list, and all of them on request", () =>
    Effect.gen(function*() {
      const [url, browser] = [yield* server, yield* Browser.page]
      const evaluate = (script: string) => Effect.promise(() => browser.page.evaluate(script))
      yield* show(browser, url, "many")
      assert.strictEqual(yield* evaluate(`document.getElementById("summary").textContent`), "10,000 outages")
      assert.strictEqual(yield* evaluate(`document.querySelectorAll("#holders tbody tr").length`), 25)
      yield* evaluate(`document.querySelector("#holders .more").click()`)
      assert.strictEqual(yield* evaluate(`document.querySelectorAll("#holders tbody tr").length`), 95)
      assert.strictEqual(yield* evaluate(`document.querySelectorAll(".pool").length`), 20)
      yield* Effect.promise(() => browser.page.click("#troubled"))
      assert.strictEqual(yield* evaluate(`document.querySelectorAll(".pool").length`), 1)
    }), 60_000)

  it.live(
    "is used with the keyboard alone: each control has a name, and the dialog returns the focus",
    () =>
      Effect.gen(function*() {
        const [url, browser] = [yield* server, yield* Browser.page]
        const evaluate = (script: string) => Effect.promise(() => browser.page.evaluate(script))
        const press = (key: string) => Effect.promise(() => browser.page.keyboard.press(key))
        yield* show(browser, url, "healthy")
        const unnamed = `Array.from(document.querySelectorAll("button, input, a, summary"))
        .filter((one) => (one.getAttribute("aria-label") ?? one.labels?.[0]?.textContent ?? one.textContent).trim() === "")
        .map((one) => one.id || one.outerHTML)`
        assert.deepStrictEqual(yield* evaluate(unnamed), [])
        yield* press("Tab")
        assert.strictEqual(yield* evaluate("document.activeElement.textContent"), "Skip to the content")
        yield* Effect.promise(() => browser.page.focus(`[aria-label="drain pool cache"]`))
        yield* press("Enter")
        assert.isTrue(yield* evaluate(`document.getElementById("dialog").open`))
        assert.strictEqual(yield* evaluate("document.activeElement.id"), "dialog-name")
        yield* press("Escape")
        assert.isFalse(yield* evaluate(`document.getElementById("dialog").open`))
        assert.strictEqual(yield* evaluate(`document.activeElement.getAttribute("aria-label")`), "drain pool cache")
      }),
    60_000
  )
})
