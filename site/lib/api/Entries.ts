/**
 * The public modules of the package, each with its source.
 */
import * as Path from "node:path"

interface Manifest {
  readonly exports: Readonly<Record<string, string | { readonly default: string }>>
}

/** The name of each public module, as it is imported, by the path of its source. The barrel and package.json are no modules. */
export const entriesOf = (root: string, manifest: Manifest): ReadonlyMap<string, string> =>
  new Map(
    Object.entries(manifest.exports).flatMap(([path, target]) => {
      if (path === "." || typeof target === "string") return []
      const source = target.default.replace(/^\.\/dist\//, "src/").replace(/\.js$/, ".ts")
      return [[Path.resolve(root, source), path.replace("./", "")]]
    })
  )
