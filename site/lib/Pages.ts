/**
 * The pages of the site: the Markdown of the repository, at the same addresses as there.
 */
import * as Fs from "node:fs"
import * as Path from "node:path"

/** Files of the repository that are pages, beside those of docs. */
const others = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"]

/** The files of the repository that are pages of the site, by their paths from its root. */
export const sourcesIn = (root: string): ReadonlyArray<string> =>
  [...others.filter((name) => Fs.existsSync(Path.join(root, name))), ...Fs.globSync("docs/**/*.md", { cwd: root })]
    .map((name) => name.replaceAll("\\", "/")).sort()

/** The page that a file becomes. The address of a folder shows its README. The start of the site is a page of its own. */
export const pageOf = (source: string): string =>
  source === "README.md" ? "readme.md" : source.replace(/(^|\/)README\.md$/, "$1index.md")

/** The first heading of a page as plain text, or its name. */
export const titleOf = (text: string, name: string): string =>
  /^# (.+)$/m.exec(text)?.[1]?.replaceAll("`", "").replaceAll(/\[([^\]]*)\]\([^)]*\)/g, "$1") ??
    Path.basename(name, ".md")

/** The folders of docs that have pages but no README, each with its pages. */
export const foldersWithoutIndex = (sources: ReadonlyArray<string>): ReadonlyMap<string, ReadonlyArray<string>> => {
  const folders = new Map<string, Array<string>>()
  for (const source of sources.filter((name) => name.startsWith("docs/"))) {
    const folder = Path.posix.dirname(source)
    folders.set(folder, [...folders.get(folder) ?? [], source])
  }
  return new Map(Array.from(folders).filter(([folder]) => !sources.includes(`${folder}/README.md`)))
}

/** The name of a folder as a heading: `how-to` is "How to". */
export const headingOf = (folder: string): string => {
  const words = Path.posix.basename(folder).replaceAll("-", " ")
  return words.charAt(0).toUpperCase() + words.slice(1)
}
