/**
 * How the reference shows a declaration: its source as one block of code, the types that it names as links, its doc comment, and
 * the comments of its members. The plugin's own rendering gives each parameter and each overload a heading.
 */
import { type Comment, type DeclarationReflection, type Reflection, ReflectionKind } from "typedoc"
import { type MarkdownPageEvent, MarkdownTheme, type MarkdownThemeContext } from "typedoc-plugin-markdown"

/** What the reference shows of a declaration beside its comment. */
export interface Declared {
  readonly code: string
  /** The documented types that the code names. */
  readonly types: ReadonlyArray<Reflection>
}

const shownKinds = ReflectionKind.Function | ReflectionKind.Variable | ReflectionKind.TypeAlias |
  ReflectionKind.Interface | ReflectionKind.Class

const memberKinds = ReflectionKind.Property | ReflectionKind.Method | ReflectionKind.Accessor

/** The comment of a declaration, or of the first of its overloads that has one. */
const commentOf = (model: DeclarationReflection): Comment | undefined =>
  [model, ...model.signatures ?? [], ...model.getSignature === undefined ? [] : [model.getSignature]]
    .map((one) => one.comment).find((comment) => comment !== undefined && comment.summary.length > 0)

/** The members that say more than the code does. */
const membersOf = (model: DeclarationReflection): ReadonlyArray<DeclarationReflection> => {
  const { type } = model
  const children = model.children ?? (type?.type === "reflection" ? type.declaration.children : undefined) ?? []
  // What an interface inherits is described where it is declared.
  return children.filter((child) =>
    child.kindOf(memberKinds) && commentOf(child) !== undefined && child.inheritedFrom?.reflection === undefined
  )
}

const code = (text: string): string => `\`\`\`ts\n${text}\n\`\`\``

/** The tags as a line of their own each, instead of a heading and a block. */
const withLines = (text: string): string =>
  text.replace(
    /^#+ Default(?: Value)?\n+(?:```ts\n(.*)\n```|(.+(?:\n.+)*))/gm,
    (_, value, words) => `**Default:** ${value === undefined ? words : `\`${value}\``}`
  )
    .replace(/^#+ See\n+/gm, "**See** ")
    .replace(/^#+ Stability\n+/gm, "**Stability:** ")

const typesLine = (context: MarkdownThemeContext, model: DeclarationReflection, types: Declared["types"]): string => {
  const links = types.filter((type) => type !== model && context.router.hasUrl(type)).map((type) =>
    `[${type.name}](${context.urlTo(type)})`
  )
  return links.length === 0 ? "" : `Types: ${[...new Set(links)].join(", ")}`
}

/** The theme, for declarations whose code is known. */
export const themeOf = (declaredOf: (model: Reflection) => Declared | undefined) =>
  class extends MarkdownTheme {
    override getRenderContext(page: MarkdownPageEvent<Reflection>): MarkdownThemeContext {
      const context = super.getRenderContext(page)
      const { partials } = context
      const { member, referenceMember } = partials

      const commentText = (model: DeclarationReflection, headingLevel: number): string => {
        const comment = commentOf(model)
        return comment === undefined ? "" : withLines(partials.comment(comment, { headingLevel, showTags: true }))
      }

      const shown = (model: DeclarationReflection, headingLevel: number): string => {
        const declared = declaredOf(model)
        return [
          declared === undefined ? "" : code(declared.code),
          commentText(model, headingLevel + 1),
          declared === undefined ? "" : typesLine(context, model, declared.types),
          ...membersOf(model).map((child) => partials.memberContainer(child, { headingLevel: headingLevel + 1 }))
        ].filter((part) => part !== "").join("\n\n")
      }

      partials.member = (model, options) => {
        if (model.isReference()) return referenceMember(model)
        if (model.kindOf(memberKinds)) return commentText(model, options.headingLevel + 1)
        return model.kindOf(shownKinds) ? shown(model, options.headingLevel) : member(model, options)
      }
      return context
    }
  }
