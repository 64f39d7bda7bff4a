/**
 * Where a link of a page of the repository leads on the site: to another page, or to the repository for files that are no pages.
 */
import * as Path from "node:path"
import { pageOf } from "./Pages.ts"

/** What links are resolved with. */
export interface Surroundings {
  /** The pages, by the files that they come from. */
  readonly sources: ReadonlySet<string>
  /** Folders that have a page. */
  readonly folders: ReadonlySet<string>
  readonly repository: string
  /** What there is at a path of the repository. */
  readonly kindOf: (path: string) => "file" | "folder" | undefined
}

const isElsewhere = (link: string): boolean => /^[a-z][a-z\d+.-]*:/i.test(link) || link.startsWith("//")

/** The link as the site needs it, or nothing if it leads nowhere. */
export const siteLink = (source: string, link: string, site: Surroundings): string | undefined => {
  if (isElsewhere(link) || link.startsWith("#")) return link
  const [path = "", hash] = link.split("#")
  const target = Path.posix.join(Path.posix.dirname(source), decodeURI(path)).replace(/\/$/, "")
  const anchor = hash === undefined ? "" : `#${hash}`
  if (site.sources.has(target)) return `/${pageOf(target)}${anchor}`
  if (site.folders.has(target)) return `/${target}/${anchor}`
  const kind = target.startsWith("..") || target.startsWith("/") ? undefined : site.kindOf(target)
  if (kind === undefined) return undefined
  return `${site.repository}/${kind === "file" ? "blob" : "tree"}/main/${encodeURI(target)}${anchor}`
}
