/**
 * Copies the pages, unchanged, to the folder that VitePress reads, beside the reference and what is made for the site.
 */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { foldersWithoutIndex, headingOf, pageOf, sourcesIn, titleOf } from "./Pages.ts"

const write = (path: string, text: string): void => {
  Fs.mkdirSync(Path.dirname(path), { recursive: true })
  // A file that is the same is not written, so that the server of `npm run docs:dev` reloads only what has changed.
  if (!Fs.existsSync(path) || Fs.readFileSync(path, "utf8") !== text) Fs.writeFileSync(path, text)
}

/** The first example of the README. */
export const exampleOf = (readme: string): string => /^```ts[\s\S]*?^```$/m.exec(readme)?.[0] ?? ""

const indexOf = (folder: string, pages: ReadonlyArray<string>, titles: ReadonlyMap<string, string>): string =>
  `# ${headingOf(folder)}\n\n${
    pages.map((page) => `- [${titles.get(page) ?? page}](${Path.posix.basename(page)})`).join("\n")
  }\n`

/** The pages that belong to no file of the repository. */
const generated = (root: string, home: string): ReadonlyArray<readonly [string, string]> => {
  const sources = sourcesIn(root)
  const text = (name: string) => Fs.readFileSync(Path.join(root, name), "utf8")
  const titles = new Map(sources.map((source) => [source, titleOf(text(source), source)]))
  const indexes = Array.from(
    foldersWithoutIndex(sources),
    ([folder, pages]) => [`${folder}/index.md`, indexOf(folder, pages, titles)] as const
  )
  return [...indexes, ["index.md", home.replace("<!-- example -->", () => exampleOf(text("README.md")))]]
}

/** Pictures and other files of docs, which pages show. */
const assetsIn = (root: string): ReadonlyArray<string> =>
  Fs.globSync("docs/**/*.{svg,png,jpg,webp,gif}", { cwd: root }).map((name) => name.replaceAll("\\", "/"))

/** Brings `content` to the state of the repository below `root`. Files of the reference, in `api`, stay as they are. */
export const stage = (root: string, site: string, content: string): void => {
  const home = Fs.readFileSync(Path.join(site, "home.md"), "utf8")
  const sources = sourcesIn(root)
  const pages = [
    ...sources.map((name) => [pageOf(name), Fs.readFileSync(Path.join(root, name), "utf8")] as const),
    ...generated(root, home)
  ]
  for (const [page, text] of pages) write(Path.join(content, page), text)
  const assets = assetsIn(root)
  for (const asset of assets) {
    Fs.mkdirSync(Path.dirname(Path.join(content, asset)), { recursive: true })
    Fs.copyFileSync(Path.join(root, asset), Path.join(content, asset))
  }
  const kept = new Set([...pages.map(([page]) => page), ...assets])
  const staged = Fs.globSync("**/*.*", { cwd: content }).map((name) => name.replaceAll("\\", "/"))
  for (
    const name of staged.filter((name) => !kept.has(name) && !name.startsWith("api/") && !name.startsWith("public/"))
  ) {
    Fs.rmSync(Path.join(content, name))
  }
}
