/**
 * The anchors of the reference: of an export its name, of a member the names of its owner and itself, as in `options-name`. Those
 * of the plugin are counted, so that an export that is added changes the anchors after it.
 */
import { type PageDefinition, type ProjectReflection, type Reflection, ReflectionKind, type RouterTarget } from "typedoc"
import { ModuleRouter } from "typedoc-plugin-markdown"

const isContainer = (model: Reflection): boolean =>
  model.kindOf(ReflectionKind.Project | ReflectionKind.Module | ReflectionKind.Namespace)

/** The names of a declaration below its page. Signatures and literal types have the place of what they belong to. */
const namesOf = (model: Reflection): ReadonlyArray<string> => {
  if (isContainer(model)) return []
  const isPart = model.isSignature() || model.kindOf(ReflectionKind.TypeLiteral)
  return [...model.parent === undefined ? [] : namesOf(model.parent), ...isPart ? [] : [model.name]]
}

/** What an anchor may have: letters, digits, and `-` between them. */
const anchorOf = (names: ReadonlyArray<string>): string =>
  names.join("-").toLowerCase().replaceAll(/[^\p{L}\p{N}-]+/gu, "-").replaceAll(/^-+|-+$/g, "")

export class AnchorRouter extends ModuleRouter {
  override buildPages(project: ProjectReflection): Array<PageDefinition<RouterTarget>> {
    const pages = super.buildPages(project)
    const taken = new Set<string>()
    for (const model of Object.values(project.reflections)) {
      const [page] = this.fullUrls.get(model)?.split("#") ?? []
      if (page === undefined || !this.anchors.has(model) || model.isSignature()) continue
      const name = anchorOf(namesOf(model))
      let anchor = name
      // A value and a type may have one name.
      for (let count = 1; taken.has(`${page}#${anchor}`); count++) anchor = `${name}-${count}`
      taken.add(`${page}#${anchor}`)
      this.place(model, page, anchor)
      if (model.isDeclaration()) { for (const one of model.signatures ?? []) this.place(one, page, anchor) }
    }
    return pages
  }

  private place(model: Reflection, page: string, anchor: string): void {
    this.anchors.set(model, anchor)
    this.fullUrls.set(model, `${page}#${anchor}`)
  }
}
