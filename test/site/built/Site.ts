/**
 * The site that `npm run docs` has built, served on loopback, for tests in a browser.
 */
import { describe } from "@effect/vitest"
import { Effect } from "effect"
import * as Fs from "node:fs"
import * as Http from "node:http"
import type { AddressInfo } from "node:net"
import * as Path from "node:path"
import * as Browser from "../../browser/Browser.ts"

export const root = Path.resolve(import.meta.dirname, "../../..")

/** What was built. */
export const out = Path.join(root, "site/.vitepress/dist")

const isBuilt = Fs.existsSync(Path.join(out, "index.html"))

/** `describe` for tests of the site. They are skipped in one line when it was not built, and fail in CI. */
export const describeSite = (): typeof describe.skip => {
  if (isBuilt || process.env["CI"] === "true") return Browser.describeWithBrowser()
  process.stderr.write("skipped: npm run docs builds the site\n")
  return describe.skip
}

/** The address of every page, below that of the site. */
export const pages = Fs.globSync("**/*.html", { cwd: out }).filter((page) => page !== "404.html").sort()

/** The pages as a browser loads them: without scripts. */
export const html = (page: string): string => Fs.readFileSync(Path.join(out, page), "utf8")

const types: Record<string, string> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".css": "text/css",
  ".svg": "image/svg+xml"
}

const respond: Http.RequestListener = (request, response) => {
  const path = decodeURIComponent(new URL(request.url ?? "/", "http://localhost").pathname)
  const file = Path.join(out, path.endsWith("/") ? `${path}index.html` : path)
  if (!file.startsWith(out) || !Fs.existsSync(file)) {
    response.statusCode = 404
    return response.end()
  }
  response.setHeader("content-type", types[Path.extname(file)] ?? "application/octet-stream")
  return response.end(Fs.readFileSync(file))
}

/** Serves the site until the scope ends, and gives its address. */
export const server = Effect.acquireRelease(
  Effect.callback<Http.Server>((resume) => {
    const made = Http.createServer(respond)
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
