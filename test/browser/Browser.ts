/**
 * The Chromium of this machine, driven through puppeteer-core, which `npm ci --prefix test/browser` installs.
 *
 * What runs in the page is a text, because the tests have no types of a browser.
 */
import { describe } from "@effect/vitest"
import { Effect, type Scope } from "effect"
import * as Fs from "node:fs"
import { createRequire } from "node:module"
import * as Path from "node:path"

const module = Path.join(import.meta.dirname, "node_modules/puppeteer-core")
const program = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(Fs.existsSync)

/** What the tests use of a page of puppeteer. */
export interface Page {
  readonly goto: (url: string) => Promise<unknown>
  readonly reload: () => Promise<unknown>
  readonly evaluate: (script: string) => Promise<unknown>
  readonly evaluateOnNewDocument: (script: string) => Promise<unknown>
  readonly waitForFunction: (script: string, options?: { timeout?: number; polling?: number }) => Promise<unknown>
  readonly click: (selector: string) => Promise<void>
  readonly type: (selector: string, text: string) => Promise<void>
  readonly focus: (selector: string) => Promise<void>
  readonly keyboard: { readonly press: (key: string) => Promise<void>; readonly type: (text: string) => Promise<void> }
  readonly setViewport: (size: { width: number; height: number; deviceScaleFactor?: number }) => Promise<void>
  readonly emulateMediaFeatures: (features: ReadonlyArray<{ name: string; value: string }>) => Promise<void>
  readonly on: {
    (event: "console", listener: (message: { type: () => string; text: () => string }) => void): unknown
    (event: "pageerror", listener: (error: Error) => void): unknown
  }
  readonly browserContext: () => {
    readonly overridePermissions: (origin: string, permissions: ReadonlyArray<string>) => Promise<void>
  }
  readonly screenshot: (options: { readonly path: string; readonly fullPage: boolean }) => Promise<unknown>
  readonly close: () => Promise<void>
}

interface Browser {
  readonly newPage: () => Promise<Page>
  readonly close: () => Promise<void>
}

interface Puppeteer {
  readonly launch: (options: {
    readonly executablePath: string
    readonly args: ReadonlyArray<string>
  }) => Promise<Browser>
}

const missing = program === undefined
  ? "there is no chromium: apt-get install chromium"
  : Fs.existsSync(module)
  ? undefined
  : "npm ci --prefix test/browser installs what drives the browser"

/** `describe` for tests that need the browser. They are skipped in one line without it, and fail in CI. */
export const describeWithBrowser = (): typeof describe.skip => {
  if (missing === undefined || process.env["CI"] === "true") return describe
  process.stderr.write(`skipped: ${missing}\n`)
  return describe.skip
}

/** A page, and what it has complained about. */
export interface Opened {
  readonly page: Page
  /** Errors of the console, exceptions of scripts, and violations of the content policy. */
  readonly complaints: Array<string>
}

const open = async (browser: Browser): Promise<Opened> => {
  const page = await browser.newPage()
  const complaints: Array<string> = []
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warn") complaints.push(message.text())
  })
  page.on("pageerror", (error) => complaints.push(`exception: ${error.message}`))
  await page.evaluateOnNewDocument(`addEventListener("securitypolicyviolation", (event) =>
    console.error("violation: " + event.violatedDirective + " " + event.blockedURI))`)
  return { page, complaints }
}

/** A page of a browser that ends with the scope. */
export const page: Effect.Effect<Opened, never, Scope.Scope> = Effect.acquireRelease(
  Effect.promise(() => {
    if (program === undefined || missing !== undefined) throw new Error(missing)
    const puppeteer: Puppeteer = createRequire(import.meta.url)(module)
    // Without a sandbox, since tests in a container run as root. Each page is one of ours.
    return puppeteer.launch({ executablePath: program, args: ["--no-sandbox", "--disable-gpu"] })
  }),
  (browser) => Effect.promise(() => browser.close())
).pipe(Effect.flatMap((browser) => Effect.promise(() => open(browser))))

/** Whether no color is on its way to another one: no animation runs, but for those without an end. */
export const isSettled = `document.getAnimations().every((one) =>
  one.playState !== "running" || one.effect.getComputedTiming().endTime === Infinity)`

/** The sizes in which pictures are taken. */
export const sizes = { phone: { width: 390, height: 844 }, desk: { width: 1440, height: 900 } } as const

/**
 * Takes pictures of the whole page for a person to look at, as `NAME-phone-light.png`: in each size, light and dark. They go to the folder that
 * the variable `SCREENSHOTS` names, and without it none is taken. The page keeps the last size and the last scheme.
 */
export const pictures = async (page: Page, name: string, folder = process.env["SCREENSHOTS"]): Promise<void> => {
  if (folder === undefined || folder === "") return
  Fs.mkdirSync(folder, { recursive: true })
  for (const [size, viewport] of Object.entries(sizes)) {
    await page.setViewport({ ...viewport, deviceScaleFactor: 2 })
    for (const value of ["light", "dark"]) {
      await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value }])
      await page.waitForFunction(isSettled)
      // What is inside of a box that scrolls is painted later than the rest.
      await page.evaluate("new Promise((resolve) => setTimeout(resolve, 500))")
      await page.screenshot({ path: Path.join(folder, `${name}-${size}-${value}.png`), fullPage: true })
    }
  }
}
