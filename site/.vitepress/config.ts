import * as Fs from "node:fs"
import * as Path from "node:path"
import { defineConfig, type MarkdownRenderer } from "vitepress"
import { entriesOf } from "../lib/api/Entries.ts"
import { siteLink, type Surroundings } from "../lib/Links.ts"
import { foldersWithoutIndex, pageOf, sourcesIn, titleOf } from "../lib/Pages.ts"
import { namedBy, referenceSidebar, sidebarOf } from "../lib/Sidebar.ts"
import { base, content, manifest, out, repository, root } from "../lib/Site.ts"
import { slugOf } from "../lib/Slug.ts"

const sources = sourcesIn(root)
const text = (name: string): string => Fs.readFileSync(Path.join(root, name), "utf8")

const kindOf = (path: string): "file" | "folder" | undefined => {
  const found = Fs.statSync(Path.join(root, path), { throwIfNoEntry: false })
  return found === undefined ? undefined : found.isDirectory() ? "folder" : "file"
}

const surroundings: Surroundings = {
  sources: new Set(sources),
  folders: new Set([
    ...foldersWithoutIndex(sources).keys(),
    ...sources.filter((name) => name.endsWith("/README.md")).map((name) => Path.posix.dirname(name))
  ]),
  repository,
  kindOf
}

const sourceOfPage = new Map(sources.map((source) => [pageOf(source), source]))

/** Replaces the links of the pages of the repository by those of the site. */
const withSiteLinks = (md: MarkdownRenderer): void => {
  md.core.ruler.push("site-links", ({ env, tokens }) => {
    const source = sourceOfPage.get(Path.relative(content, env.path).replaceAll("\\", "/"))
    if (source === undefined) return
    for (const token of tokens.flatMap(({ children }) => children ?? [])) {
      const link = token.type === "link_open" ? token.attrGet("href") : null
      if (link === null) continue
      const replaced = siteLink(source, link, surroundings)
      if (replaced === undefined) throw new Error(`${source}: the link ${link} leads nowhere`)
      token.attrSet("href", replaced)
    }
  })
}

/** Diagrams of Mermaid are drawn in the browser, by a component of the theme. */
const withDiagrams = (md: MarkdownRenderer): void => {
  const { fence } = md.renderer.rules
  md.renderer.rules.fence = (tokens, index, ...rest) => {
    const { content = "", info = "" } = tokens[index] ?? {}
    if (info.trim() === "mermaid") return `<MermaidDiagram code="${encodeURIComponent(content)}" />`
    return fence?.(tokens, index, ...rest) ?? ""
  }
}

const sidebar = () =>
  sidebarOf({
    titles: new Map(sources.map((source) => [source, titleOf(text(source), source)])),
    named: namedBy("docs/README.md", text("docs/README.md"))
  })

export default defineConfig({
  title: manifest.name,
  description: manifest.description,
  lang: "en",
  base,
  srcDir: content,
  outDir: out,
  // VitePress collects nothing, and no page loads anything from another host.
  metaChunk: true,
  head: [["link", { rel: "icon", href: `data:image/svg+xml,${encodeURIComponent(icon())}` }]],
  markdown: {
    anchor: { slugify: slugOf },
    theme: { light: "github-light-high-contrast", dark: "github-dark-high-contrast" },
    languageAlias: { promql: "txt" },
    config: (md) => {
      withSiteLinks(md)
      withDiagrams(md)
    }
  },
  // The largest part is the index of the search, which is loaded when a reader opens the search.
  vite: { server: { host: "127.0.0.1" }, build: { chunkSizeWarningLimit: 4000 } },
  // A page is edited where it comes from. What is generated has no such place.
  transformPageData: ({ filePath, frontmatter }) => {
    const source = sourceOfPage.get(filePath)
    return source === undefined ? { frontmatter: { ...frontmatter, editLink: false } } : { filePath: source }
  },
  themeConfig: {
    nav: [
      { text: "Docs", link: "/docs/", activeMatch: "^/docs/" },
      { text: "API", link: "/api/", activeMatch: "^/api/" },
      { text: "Changelog", link: "/CHANGELOG" }
    ],
    sidebar: { "/api/": referenceSidebar(entriesOf(root, manifest)), "/": sidebar() },
    outline: [2, 3],
    search: { provider: "local" },
    socialLinks: [{ icon: "github", link: repository }],
    editLink: { pattern: `${repository}/edit/main/:path`, text: "Edit this page" }
  }
})

/** A gate with an opening: the icon of the site. */
function icon(): string {
  return "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'><path fill='none' stroke='#0b7285' stroke-width='4' " +
    "d='M4 6v20M28 6v20M10 10v6M16 10v6M22 10v6M4 22h24'/></svg>"
}
