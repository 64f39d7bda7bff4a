/**
 * The sidebar, from the tree of docs and the titles of its pages. Folders and pages have the order in which docs/README.md names
 * them. Those that it does not name follow, in the order of their names.
 */
import * as Path from "node:path"
import { headingOf, pageOf } from "./Pages.ts"

/** An entry of the sidebar, as VitePress has it. */
export interface Item {
  text: string
  link?: string
  collapsed?: boolean
  items?: Array<Item>
}

/** The paths of the repository that an index names, in their order. */
export const namedBy = (index: string, text: string): ReadonlyArray<string> =>
  Array.from(text.matchAll(/\]\(([^)\s#]+)[^)]*\)/g), ([, link = ""]) => link)
    .filter((link) => !link.includes(":"))
    .map((link) => Path.posix.join(Path.posix.dirname(index), link).replace(/\/$/, ""))

/** The pages of a part of the site, with what is needed to order them. */
export interface Tree {
  /** The title of each page, by its file. */
  readonly titles: ReadonlyMap<string, string>
  /** The paths that the index names, in their order. */
  readonly named: ReadonlyArray<string>
}

const addressOf = (source: string): string => `/${pageOf(source)}`.replace(/index\.md$/, "").replace(/\.md$/, "")

/** The place of a path among those that the index names: of a folder, that of the first thing in it. */
const placeOf = (path: string, named: ReadonlyArray<string>): number => {
  const place = named.findIndex((one) => one === path || one.startsWith(`${path}/`))
  return place < 0 ? named.length : place
}

const ordered = (paths: ReadonlyArray<string>, { named }: Tree): ReadonlyArray<string> =>
  paths.toSorted((one, other) => placeOf(one, named) - placeOf(other, named) || one.localeCompare(other))

const unique = (paths: ReadonlyArray<string>): ReadonlyArray<string> => [...new Set(paths)]

const itemsOf = (folder: string, tree: Tree): Array<Item> => {
  const inside = [...tree.titles.keys()].filter((path) =>
    path.startsWith(`${folder}/`) && !/(^|\/)README\.md$/.test(path)
  )
  const next = inside.map((path) => `${folder}/${path.slice(folder.length + 1).split("/")[0] ?? ""}`)
  return ordered(unique(next), tree).map((path) => itemOf(path, tree))
}

const itemOf = (path: string, tree: Tree): Item => {
  const title = tree.titles.get(path)
  if (title !== undefined) return { text: title, link: addressOf(path) }
  const index = tree.titles.get(`${path}/README.md`)
  const group = { text: headingOf(path), collapsed: true, items: itemsOf(path, tree) }
  return index === undefined ? group : { ...group, link: `/${path}/` }
}

/** Pages for those who change the project. They come last. */
const ofContributors = (path: string): boolean => path === "docs/decisions" || /^docs\/[^/]+\.md$/.test(path)

/** The groups of the sidebar: a folder of docs each, and what is for contributors. */
export const sidebarOf = (tree: Tree): Array<Item> => {
  const top = [...tree.titles.keys()].filter((path) => path.startsWith("docs/") && path !== "docs/README.md")
  const paths = ordered(unique(top.map((path) => path.split("/").slice(0, 2).join("/"))), tree)
  const groups = paths.filter((path) => !ofContributors(path)).map((path) => ({
    ...itemOf(path, tree),
    collapsed: false
  }))
  const project = [...tree.titles.keys()].filter((path) => !path.includes("/") && path !== "README.md")
  const rest = [...paths.filter(ofContributors), ...project].map((path) => itemOf(path, tree))
  const readme = tree.titles.has("README.md") ? [{ text: "README", link: "/readme" }] : []
  const start = [...readme, { text: "All pages", link: "/docs/" }]
  return [{ text: "Overview", items: start }, ...groups, { text: "Project", collapsed: false, items: rest }]
}

/** The modules of the reference by the folders of their sources. */
export const referenceSidebar = (entries: ReadonlyMap<string, string>): Array<Item> => {
  const groups = new Map<string, Array<string>>()
  for (const [source, module] of entries) {
    const folder = Path.basename(Path.dirname(source))
    groups.set(folder, [...groups.get(folder) ?? [], module])
  }
  return [
    { text: "API", items: [{ text: "All modules", link: "/api/" }] },
    ...Array.from(groups).toSorted(([one], [other]) => one.localeCompare(other)).map(([text, modules]) => ({
      text,
      collapsed: false,
      items: modules.toSorted((one, other) => one.localeCompare(other)).map((module) => ({
        text: module,
        link: module === "Testing" ? "/api/Testing/" : `/api/${module}`
      }))
    }))
  ]
}
