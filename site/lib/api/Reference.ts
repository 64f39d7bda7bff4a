/**
 * Writes the reference: a page of Markdown for each public module, from its doc comments. A broken `{@link}` is an error.
 */
import * as Fs from "node:fs"
import * as Path from "node:path"
import {
  Application,
  Comment,
  CommentTag,
  type Context,
  Converter,
  type DeclarationReflection,
  LogLevel,
  OptionDefaults,
  ProjectReflection,
  Reflection,
  ReflectionKind
} from "typedoc"
import { MarkdownPageEvent } from "typedoc-plugin-markdown"
import ts from "typescript"
import { entriesOf } from "./Entries.ts"
import { AnchorRouter } from "./Router.ts"
import { sourceText, typesIn } from "./SourceText.ts"
import { type Declared, themeOf } from "./Theme.ts"

const site = Path.join(import.meta.dirname, "../..")

/** Marks the first comment of each module as the comment of the module, which TypeDoc takes for one of its first import. */
const markModules = (entries: ReadonlyMap<string, string>): void => {
  const read = ts.sys.readFile.bind(ts.sys)
  ts.sys.readFile = (path, encoding) => {
    const text = read(path, encoding)
    return entries.has(Path.resolve(path)) ? text?.replace(/^\/\*\*/, "/** @packageDocumentation") : text
  }
}

/** The kinds of declarations that a reflection shows: a symbol may be a value and a type at once. */
const isOfKind = (model: DeclarationReflection, node: ts.Declaration): boolean => {
  if (model.kindOf(ReflectionKind.TypeAlias)) return ts.isTypeAliasDeclaration(node)
  if (model.kindOf(ReflectionKind.Interface)) return ts.isInterfaceDeclaration(node)
  if (model.kindOf(ReflectionKind.Class)) return ts.isClassDeclaration(node)
  return ts.isVariableDeclaration(node) || ts.isFunctionDeclaration(node)
}

/** Records the code of each declaration while the compiler knows it. */
const recordDeclarations = (app: Application): (model: Reflection) => Declared | undefined => {
  const found = new Map<Reflection, { readonly code: string; readonly types: () => ReadonlyArray<Reflection> }>()
  app.converter.on(Converter.EVENT_CREATE_DECLARATION, (context: Context, model: DeclarationReflection) => {
    const all = context.getSymbolFromReflection(model)?.declarations ?? []
    const declarations = all.filter((node) => isOfKind(model, node))
    const code = sourceText(declarations, context.checker)
    if (code === undefined) return
    const symbols = typesIn(declarations, context.checker).map((symbol) => context.createSymbolId(symbol))
    const { project } = context
    const types = () =>
      symbols.map((id) => project.getReflectionFromSymbolId(id)).filter((one): one is Reflection => one !== undefined)
    found.set(model, { code, types })
  })
  return (model) => {
    const declared = found.get(model)
    return declared === undefined ? undefined : { code: declared.code, types: declared.types() }
  }
}

/** Names each module as it is imported, and puts a declaration that is exported again into its category. */
const arrange = (project: ProjectReflection, entries: ReadonlyMap<string, string>): void => {
  for (const module of project.children ?? []) {
    const source = project.getSymbolIdFromReflection(module)?.fileName
    module.name = (source === undefined ? undefined : entries.get(Path.resolve(source))) ?? module.name
  }
  for (const one of project.getReflectionsByKind(ReflectionKind.Reference)) {
    if (!one.isReference()) continue
    const target = one.tryGetTargetReflectionDeep()
    const category = (target?.comment ?? (target?.isDeclaration() ? target.signatures?.[0]?.comment : undefined))
      ?.getTag("@category")
    if (category !== undefined) {
      one.comment = new Comment([], [new CommentTag("@category", Comment.cloneDisplayParts(category.content))])
    }
  }
}

/** The first sentence of the comment of a module. */
const summaryOf = (model: DeclarationReflection): string => {
  const text = model.comment?.summary.map((part) => part.text).join("").split(/\n\n|\*\*/)[0] ?? ""
  return /^.*?[.:](?=\s|$)/.exec(text.replaceAll("\n", " "))?.[0].replace(/:$/, ".") ?? text
}

const namespacesOf = (model: DeclarationReflection): ReadonlyArray<string> =>
  (model.children ?? []).filter((child) => child.kindOf(ReflectionKind.Namespace)).map((child) => child.name)

/** The line that imports a module, or a namespace of one. */
const importOf = (model: DeclarationReflection): string => {
  const { name, parent } = model
  if (model.kindOf(ReflectionKind.Namespace)) return `import { ${name} } from "effect-sluice/${parent?.name}"`
  const namespaces = namespacesOf(model)
  if (namespaces.length > 0) return `import { ${namespaces.join(", ")} } from "effect-sluice/${name}"`
  const isEmpty = model.children === undefined
  return isEmpty ? `import "effect-sluice/${name}"` : `import * as ${name} from "effect-sluice/${name}"`
}

/** The stability of a module as a line. Its members have one only where theirs is another. */
const withStability = (body: string): string => {
  const [heading, level] = /^## Stability\n+(\w+)\n/m.exec(body) ?? []
  if (heading === undefined || level === undefined) return body
  const others = body.replaceAll(`**Stability:** ${level}\n\n`, "")
  return others.replace(heading, () => `**Stability:** ${level}\n`)
}

/** The name of a category as a heading. */
const categoryHeading = (_: string, name: string): string =>
  `## ${name.charAt(0).toUpperCase()}${name.slice(1)} {#category-${name.toLowerCase().replaceAll(" ", "-")}}`

/** How to import a module, and its source, below the title of its page; a heading for each category. */
const modulePage = (page: string, model: DeclarationReflection, source: string): string => {
  const [title = "", ...rest] = page.split("\n")
  const body = withStability(rest.join("\n")).replace(/^## ([a-z].*)$/gm, categoryHeading)
  return `${title} {#top-of-page}\n\n\`\`\`ts\n${importOf(model)}\n\`\`\`\n\n[Source](${source})\n${body}`
}

/** Each module with the first sentence of its comment. */
const indexPage = (project: ProjectReflection): string => {
  const modules = (project.children ?? []).toSorted((one, other) => one.name.localeCompare(other.name))
  const lines = modules.map((module) => {
    const page = namespacesOf(module).length > 0 ? `${module.name}/index.md` : `${module.name}.md`
    return `- [${module.name}](${page}): ${summaryOf(module)}`
  })
  return `# API\n\nThe public modules, from their doc comments.\n\n${lines.join("\n")}\n`
}

const isDeclaration = (model: unknown): model is DeclarationReflection =>
  model instanceof Reflection && model.isDeclaration()

const options = (root: string, out: string, entries: ReadonlyMap<string, string>, tsconfig: string) => ({
  entryPoints: [...entries.keys()],
  tsconfig,
  basePath: root,
  plugin: ["typedoc-plugin-markdown"],
  out,
  name: "Reference",
  readme: "none",
  router: "anchors",
  theme: "reference",
  logLevel: LogLevel.Warn,
  disableGit: true,
  disableSources: true,
  excludePrivate: true,
  excludeInternal: true,
  excludeExternals: true,
  sort: ["source-order" as const],
  categorizeByGroup: false,
  defaultCategory: "models",
  blockTags: [...OptionDefaults.blockTags, "@stability" as const],
  notRenderedTags: ["@since" as const, "@category" as const],
  treatValidationWarningsAsErrors: true,
  validation: { invalidLink: true, notExported: false, notDocumented: false }
})

const markdownOptions = {
  entryFileName: "index",
  hidePageHeader: true,
  hideBreadcrumbs: true,
  useCodeBlocks: true,
  parametersFormat: "none",
  sanitizeComments: true,
  useHTMLEncodedBrackets: true,
  useCustomAnchors: true,
  customAnchorsFormat: "curlyBrace",
  pageTitleTemplates: { module: "{name}" }
}

/** Writes the reference of the package below `root` to `out`. Returns whether there was no error. */
export const writeReference = async (
  root: string,
  out: string,
  repository: string,
  tsconfig: string = Path.join(site, "tsconfig.api.json")
): Promise<boolean> => {
  const entries = entriesOf(root, JSON.parse(Fs.readFileSync(Path.join(root, "package.json"), "utf8")))
  markModules(entries)
  const app = await Application.bootstrapWithPlugins({ ...options(root, out, entries, tsconfig), ...markdownOptions })
  app.renderer.defineRouter("anchors", AnchorRouter)
  app.renderer.defineTheme("reference", themeOf(recordDeclarations(app)))
  app.converter.on(Converter.EVENT_RESOLVE_BEGIN, ({ project }: Context) => arrange(project, entries))
  app.renderer.on(MarkdownPageEvent.END, (page: { contents?: string; readonly model: unknown }) => {
    const { contents = "", model } = page
    if (model instanceof ProjectReflection) page.contents = indexPage(model)
    else if (isDeclaration(model)) {
      const file = model.project.getSymbolIdFromReflection(model)?.fileName ?? root
      page.contents = modulePage(contents, model, `${repository}/blob/main/${Path.relative(root, file)}`)
    }
  })
  const project = await app.convert()
  if (project === undefined) return false
  app.validate(project)
  await app.generateOutputs(project)
  return app.logger.errorCount === 0 && app.logger.warningCount === 0
}
