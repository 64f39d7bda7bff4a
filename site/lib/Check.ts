/**
 * Finds dead links in the pages that were built: an address without a page, or an anchor that its page does not have.
 */
import * as Fs from "node:fs"
import * as Path from "node:path"

const attribute = (html: string, name: string): ReadonlyArray<string> =>
  Array.from(
    html.matchAll(new RegExp(`<[a-z][^>]*?\\s${name}="([^"]*)"`, "g")),
    ([, value = ""]) => value.replaceAll("&amp;", "&")
  )

/** The file behind an address of the site. */
const fileOf = (path: string): string => path.endsWith("/") ? `${path}index.html` : path

/** Every dead link of the site in `out`, as "page: link". `base` is the path below which the site is served. */
export const deadLinks = (out: string, base: string): ReadonlyArray<string> => {
  const pages = Fs.globSync("**/*.html", { cwd: out }).map((name) => name.replaceAll("\\", "/"))
  const html = new Map(pages.map((page) => [page, Fs.readFileSync(Path.join(out, page), "utf8")]))
  const ids = new Map(Array.from(html, ([page, text]) => [page, new Set(attribute(text, "id"))]))
  const isDead = (page: string, link: string): boolean => {
    const url = new URL(link, `http://site${base}${page}`)
    if (url.origin !== "http://site") return false
    if (!url.pathname.startsWith(base)) return true
    const file = fileOf(decodeURIComponent(url.pathname.slice(base.length - 1))).slice(1)
    if (!Fs.existsSync(Path.join(out, file))) return true
    const known = ids.get(file)
    return url.hash !== "" && known !== undefined && !known.has(decodeURIComponent(url.hash.slice(1)))
  }
  return Array.from(html).flatMap(([page, text]) =>
    [...new Set([...attribute(text, "href"), ...attribute(text, "src")])]
      .filter((link) => isDead(page, link)).map((link) => `${page}: ${link}`)
  )
}
