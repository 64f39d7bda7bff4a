/**
 * The status page in a real browser, over a real program whose server is broken on command.
 */
import { assert, it } from "@effect/vitest"
import { Effect, type Scope } from "effect"
import * as ChildProcess from "node:child_process"
import * as Path from "node:path"
import * as Readline from "node:readline"
import * as Browser from "./Browser.ts"
import { token } from "./Token.ts"

const sources = Path.resolve(import.meta.dirname, "../../scripts/sources.mjs")
const main = Path.join(import.meta.dirname, "program.ts")

interface Program {
  readonly url: string
  readonly send: (line: "refuse" | "accept") => void
  /** Ends it as a crash does. */
  readonly kill: Effect.Effect<void>
}

const ended = (child: ChildProcess.ChildProcess): Promise<void> =>
  new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) return resolve()
    child.once("exit", () => resolve())
    child.kill("SIGKILL")
  })

const start = (port: string): Effect.Effect<Program, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() =>
      ChildProcess.spawn(process.execPath, ["--import", sources, main, port], { stdio: ["pipe", "pipe", "inherit"] })
    ),
    (child) => Effect.promise(() => ended(child))
  ).pipe(Effect.flatMap((child) =>
    Effect.callback<Program>((resume) => {
      Readline.createInterface(child.stdout).on("line", (line) => {
        // The log has other lines.
        if (!/^http:\S+$/.test(line)) return
        const send = (command: string) => void child.stdin.write(`${command}\n`)
        resume(Effect.succeed({ url: line, send, kill: Effect.promise(() => ended(child)) }))
      })
    })
  ))

/** Waits until an expression of the page is true. */
const until = ({ page }: Browser.Opened, expression: string, timeout = 20_000) =>
  Effect.promise(() => page.waitForFunction(expression, { timeout, polling: 50 }))

const evaluate = ({ page }: Browser.Opened, expression: string) => Effect.promise(() => page.evaluate(expression))

const click = ({ page }: Browser.Opened, selector: string) => Effect.promise(() => page.click(selector))

const live = `document.body.dataset.state === "live"`

const opened = (url: string) =>
  Effect.gen(function*() {
    const browser = yield* Browser.page
    yield* Effect.promise(() => browser.page.goto(url))
    yield* until(browser, live)
    yield* until(browser, `document.querySelector(".pool") !== null`)
    return browser
  })

const button = (text: string) => `[aria-label="${text} pool orders"]`

/** A click on a button of the pool, and on that of the dialog. */
const act = (browser: Browser.Opened, text: string) =>
  Effect.gen(function*() {
    yield* click(browser, button(text))
    yield* until(browser, `document.getElementById("dialog").open`)
  })

const isHidden = (id: string) => `document.getElementById("${id}").hidden`

Browser.describeWithBrowser()("the status page", () => {
  it.live("is live, and shows an outage within two seconds and its end", () =>
    Effect.gen(function*() {
      const program = yield* start("0")
      const browser = yield* opened(program.url)
      const first = yield* evaluate(browser, `document.getElementById("live").textContent`)
      yield* until(browser, `document.getElementById("live").textContent !== ${JSON.stringify(first)}`)
      const begin = performance.now()
      program.send("refuse")
      yield* until(browser, `document.querySelector("#findings .down")?.textContent.includes("is down")`)
      const shown = performance.now() - begin
      assert.isBelow(shown, 2000)
      assert.match(String(yield* evaluate(browser, `document.querySelector("#findings .down").textContent`)), /ECONN/)
      assert.match(String(yield* evaluate(browser, `document.getElementById("alarm").textContent`)), /is down/)
      assert.match(String(yield* evaluate(browser, "document.title")), /^\(1\) outage/)
      program.send("accept")
      yield* until(browser, `document.querySelector("#findings .down") === null`)
      assert.deepStrictEqual(browser.complaints, [])
    }), 60_000)

  it.live(
    "says that the process has ended, and recovers without a reload when another one answers",
    () =>
      Effect.gen(function*() {
        const program = yield* start("0")
        const browser = yield* opened(program.url)
        yield* evaluate(browser, `document.body.isTheSame = true`)
        assert.deepStrictEqual(browser.complaints, [])
        yield* program.kill
        yield* until(browser, `!${isHidden("lost")}`, 5000)
        const said = String(yield* evaluate(browser, `document.getElementById("lost").innerText`))
        assert.match(said, /The process has ended, or the connection to it is lost/)
        assert.match(said, /What you see below is of/)
        yield* start(new URL(program.url).port)
        yield* until(browser, live)
        assert.isTrue(yield* evaluate(browser, `document.body.isTheSame && ${isHidden("lost")}`))
        // The browser itself reports each request that found no server. There is no other complaint.
        assert.deepStrictEqual(browser.complaints.filter((text) => !/net::ERR_/.test(text)), [])
      }),
    60_000
  )

  it.live(
    "suspends and resumes a pool after a confirmation, and asks for the token once",
    () =>
      Effect.gen(function*() {
        const program = yield* start("0")
        const browser = yield* opened(program.url)
        yield* act(browser, "suspend")
        yield* click(browser, "#dialog-run")
        assert.match(String(yield* evaluate(browser, `document.getElementById("dialog-error").textContent`)), /Enter/)
        yield* Effect.promise(() => browser.page.type("#dialog-token", token))
        yield* click(browser, "#dialog-run")
        yield* until(browser, `document.querySelector(".pool .chip.note").textContent === "Suspended"`)
        yield* until(browser, `document.getElementById("findings").textContent.includes("The pool is suspended")`)
        assert.match(String(yield* evaluate(browser, `document.getElementById("done").textContent`)), /is suspended/)
        yield* act(browser, "resume")
        assert.isTrue(yield* evaluate(browser, isHidden("dialog-token-line")))
        yield* click(browser, "#dialog-run")
        yield* until(browser, `document.querySelector(".pool .chip.note").hidden`)
        assert.deepStrictEqual(browser.complaints, [])
      }),
    60_000
  )

  it.live("keeps the token in no storage, and asks again after a wrong one", () =>
    Effect.gen(function*() {
      const program = yield* start("0")
      const browser = yield* opened(program.url)
      yield* act(browser, "evict")
      yield* Effect.promise(() => browser.page.type("#dialog-token", "not-the-token-of-anything"))
      yield* click(browser, "#dialog-run")
      yield* until(browser, `!${isHidden("dialog-error")} && !${isHidden("dialog-token-line")}`)
      assert.match(String(yield* evaluate(browser, `document.getElementById("dialog-error").textContent`)), /token/)
      yield* evaluate(browser, `document.getElementById("dialog-token").value = ""`)
      yield* Effect.promise(() => browser.page.type("#dialog-token", token))
      yield* Effect.promise(() => browser.page.keyboard.press("Enter"))
      yield* until(browser, `!document.getElementById("dialog").open`)
      const kept = yield* evaluate(
        browser,
        `JSON.stringify([localStorage, sessionStorage, document.cookie, location.href])`
      )
      assert.notInclude(String(kept), token)
      assert.notInclude(String(yield* evaluate(browser, "document.documentElement.outerHTML")), token)
    }), 60_000)

  it.live("drains a pool only after its name was typed, and ends a lease", () =>
    Effect.gen(function*() {
      const program = yield* start("0")
      const browser = yield* opened(program.url)
      yield* until(browser, `document.querySelector("#holders button") !== null`)
      const lease = yield* evaluate(browser, `document.querySelector("#holders td").textContent`)
      assert.isString(lease)
      yield* evaluate(browser, `document.querySelector("#holders tbody tr").isFirst = true`)
      yield* evaluate(browser, `document.querySelector("#holders tbody button").click()`)
      yield* Effect.promise(() => browser.page.type("#dialog-token", token))
      yield* click(browser, "#dialog-run")
      yield* until(browser, `!document.querySelector("#holders tbody tr")?.isFirst`)
      yield* act(browser, "drain")
      yield* click(browser, "#dialog-run")
      assert.match(String(yield* evaluate(browser, `document.getElementById("dialog-error").textContent`)), /name/)
      yield* Effect.promise(() => browser.page.type("#dialog-name", "orders"))
      yield* click(browser, "#dialog-run")
      yield* until(browser, `!document.getElementById("dialog").open`)
      yield* until(browser, `document.getElementById("done").textContent.includes("is draining")`)
      assert.deepStrictEqual(browser.complaints, [])
    }), 60_000)

  it.live("keeps the filter, the focus and the elements over its updates", () =>
    Effect.gen(function*() {
      const program = yield* start("0")
      const browser = yield* opened(program.url)
      yield* evaluate(browser, `document.querySelector(".pool").isTheSame = true`)
      yield* Effect.promise(() => browser.page.type("#filter", "orders"))
      yield* Effect.promise(() => browser.page.focus(button("evict")))
      const before = yield* evaluate(browser, `document.getElementById("live").textContent`)
      yield* until(browser, `document.getElementById("live").textContent !== ${JSON.stringify(before)}`)
      assert.deepStrictEqual(
        yield* evaluate(
          browser,
          `[document.querySelector(".pool").isTheSame, filter.value, document.activeElement.getAttribute("aria-label")]`
        ),
        [true, "orders", "evict pool orders"]
      )
      yield* Effect.promise(() => browser.page.type("#filter", " and no other"))
      yield* until(browser, `document.querySelector(".pool") === null && !${isHidden("pools-none")}`)
    }), 60_000)
})
