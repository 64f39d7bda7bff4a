/**
 * Resolves the package's own entry points to their sources, as the tests' configuration does, so that a program runs without a
 * build. Use it with `--import`.
 */
import { readFileSync } from "node:fs"
import { registerHooks } from "node:module"

const root = new URL("../", import.meta.url)
const { paths } = JSON.parse(readFileSync(new URL("tsconfig.json", root), "utf8")).compilerOptions

registerHooks({
  resolve: (specifier, context, next) => {
    const [source] = paths[specifier] ?? []
    return source === undefined ? next(specifier, context) : { url: new URL(source, root).href, shortCircuit: true }
  }
})
