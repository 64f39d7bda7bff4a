/**
 * Declarations as their sources have them, without comments, bodies and values. The formatter has wrapped them to a width that a
 * reader can follow, and they name types as an import does, such as `Duration.Input`.
 */
import ts from "typescript"

/** Whether the declaration is a part of the reference. The implementation behind overloads is not. */
const isShown = (node: ts.Declaration, all: ReadonlyArray<ts.Declaration>): boolean =>
  !(ts.isFunctionDeclaration(node) && node.body !== undefined && all.filter(ts.isFunctionDeclaration).length > 1)

const withoutComments = (text: string): string =>
  text.replace(/^[ \t]*\/\*\*[\s\S]*?\*\/[ \t]*\n/gm, "").replace(/\/\*[\s\S]*?\*\/ ?/g, "").replace(
    /^[ \t]*\/\/.*\n/gm,
    ""
  )

/** Takes as much from the start of each line but the first as the last line has, which closes the declaration. */
const dedented = (text: string): string => {
  const lines = text.split("\n")
  const rest = lines.slice(1).filter((line) => line.trim() !== "")
  const margin = Math.min(...rest.map((line) => line.length - line.trimStart().length))
  return lines.map((line, index) => index === 0 ? line : line.slice(rest.length === 0 ? 0 : margin)).join("\n")
}

const between = (node: ts.Node, from: number, to: number): string =>
  withoutComments(node.getSourceFile().text.slice(from, to)).trim()

const typeParameters = (node: ts.FunctionLikeDeclaration): string =>
  node.typeParameters === undefined ? "" : between(node, node.typeParameters.pos - 1, node.typeParameters.end + 1)

const parameters = (node: ts.FunctionLikeDeclaration): string => {
  const text = between(node, node.parameters.pos, node.parameters.end)
  return text.includes("\n") ? `(\n  ${text}\n)` : `(${text})`
}

/** A type that is not written in the source, on several lines. */
const inferred = (type: ts.Type, node: ts.Node, checker: ts.TypeChecker): string => {
  const flags = ts.NodeBuilderFlags.NoTruncation | ts.NodeBuilderFlags.UseStructuralFallback |
    ts.NodeBuilderFlags.IgnoreErrors | ts.NodeBuilderFlags.MultilineObjectLiterals
  const written = checker.typeToTypeNode(type, node, flags)
  if (written === undefined) return checker.typeToString(type, node)
  const printed = ts.createPrinter().printNode(ts.EmitHint.Unspecified, written, node.getSourceFile())
  return printed.replace(/^(?: {4})+/gm, (margin) => " ".repeat(margin.length / 2)).replace(/;$/gm, "")
}

/** A function without its body, whose result is inferred unless it is declared. */
const functionText = (node: ts.FunctionLikeDeclaration, checker: ts.TypeChecker): string => {
  const signature = checker.getSignatureFromDeclaration(node)
  const result = node.type?.getText() ??
    (signature === undefined ? "unknown" : inferred(signature.getReturnType(), node, checker))
  return `${typeParameters(node)}${parameters(node)}: ${result}`
}

/** Whether the value says what the type would say at length: an object, or a schema. */
const isPlainValue = (node: ts.Expression): boolean =>
  ts.isObjectLiteralExpression(node) || (ts.isAsExpression(node) || ts.isSatisfiesExpression(node)) &&
    isPlainValue(node.expression) ||
  ts.isCallExpression(node) && node.expression.getText().startsWith("Schema.")

const variableText = (node: ts.VariableDeclaration, checker: ts.TypeChecker): string => {
  const name = node.name.getText()
  if (node.type !== undefined) return `const ${name}: ${withoutComments(node.type.getText())}`
  const { initializer } = node
  if (initializer !== undefined && (ts.isArrowFunction(initializer) || ts.isFunctionExpression(initializer))) {
    return `function ${name}${functionText(initializer, checker)}`
  }
  if (initializer !== undefined && isPlainValue(initializer)) {
    return `const ${name} = ${withoutComments(initializer.getText())}`
  }
  return `const ${name}: ${inferred(checker.getTypeAtLocation(node), node, checker)}`
}

/** A member of a class, or nothing if it is private or a constructor. */
const memberText = (node: ts.ClassElement, checker: ts.TypeChecker): ReadonlyArray<string> => {
  const hidden = ts.ModifierFlags.Private | ts.ModifierFlags.Protected
  if (ts.isConstructorDeclaration(node) || (ts.getCombinedModifierFlags(node) & hidden) !== 0) return []
  if (node.name === undefined || ts.isPrivateIdentifier(node.name)) return []
  const name = node.name.getText()
  const isStatic = (ts.getCombinedModifierFlags(node) & ts.ModifierFlags.Static) !== 0 ? "static " : ""
  if (ts.isGetAccessorDeclaration(node)) {
    return [
      `${isStatic}get ${name}(): ${node.type?.getText() ?? inferred(checker.getTypeAtLocation(node), node, checker)}`
    ]
  }
  if (ts.isMethodDeclaration(node)) return [`${isStatic}${name}${functionText(node, checker)}`]
  if (!ts.isPropertyDeclaration(node)) return []
  const type = node.type?.getText() ?? inferred(checker.getTypeAtLocation(node), node, checker)
  return [`${isStatic}readonly ${name}: ${withoutComments(type)}`]
}

const classText = (node: ts.ClassDeclaration, checker: ts.TypeChecker): string => {
  const end = node.heritageClauses?.end ?? node.typeParameters?.end ?? node.name?.end ?? node.pos
  const head = between(node, (node.name ?? node).getStart(), end)
  const members = node.members.flatMap((member) => memberText(member, checker))
  return `class ${head}${members.length === 0 ? "" : ` {\n${members.map((member) => `  ${member}`).join("\n")}\n}`}`
}

const textOf = (node: ts.Declaration, checker: ts.TypeChecker): string | undefined => {
  if (ts.isVariableDeclaration(node)) return variableText(node, checker)
  if (ts.isFunctionDeclaration(node)) return `function ${node.name?.getText() ?? ""}${functionText(node, checker)}`
  if (ts.isClassDeclaration(node)) return classText(node, checker)
  if (ts.isInterfaceDeclaration(node) || ts.isTypeAliasDeclaration(node)) {
    return withoutComments(node.getText()).replace(/^(?:export|declare) /, "")
  }
  return undefined
}

/** The declarations of a symbol as TypeScript, overloads below each other, or nothing for symbols without any. */
export const sourceText = (
  declarations: ReadonlyArray<ts.Declaration>,
  checker: ts.TypeChecker
): string | undefined => {
  const texts = declarations.filter((node) => isShown(node, declarations)).map((node) => textOf(node, checker))
  const shown = texts.flatMap((text) => text === undefined ? [] : [dedented(text)])
  return shown.length === 0 ? undefined : shown.join("\n")
}

/** The part of a declaration that the reference shows: not the body of a function, and not the value of a constant. */
const shownParts = (node: ts.Declaration): ReadonlyArray<ts.Node> => {
  if (ts.isVariableDeclaration(node)) {
    if (node.type !== undefined) return [node.type]
    return node.initializer !== undefined && ts.isArrowFunction(node.initializer) ? shownParts(node.initializer) : []
  }
  if (ts.isFunctionLike(node)) return [...node.parameters, ...node.type === undefined ? [] : [node.type]]
  if (ts.isClassDeclaration(node)) return node.heritageClauses ?? []
  return [node]
}

/** The symbols of the types that declarations name, in their order. */
export const typesIn = (
  declarations: ReadonlyArray<ts.Declaration>,
  checker: ts.TypeChecker
): ReadonlyArray<ts.Symbol> => {
  const found = new Set<ts.Symbol>()
  const visit = (node: ts.Node): void => {
    if (ts.isTypeReferenceNode(node)) {
      const symbol = checker.getSymbolAtLocation(node.typeName)
      if (symbol !== undefined) {
        found.add((symbol.flags & ts.SymbolFlags.Alias) === 0 ? symbol : checker.getAliasedSymbol(symbol))
      }
    }
    ts.forEachChild(node, visit)
  }
  for (const node of declarations.filter((node) => isShown(node, declarations)).flatMap(shownParts)) visit(node)
  return [...found]
}
