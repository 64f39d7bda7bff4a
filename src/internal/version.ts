/**
 * The version of this package, as its `package.json` says.
 *
 * @since 0.1.0
 */
import { createRequire } from "node:module"

// The path is the same from `src/internal` and from `dist/internal`. An `import` of the JSON file would need an import attribute,
// which the build and some bundlers do not keep.
const manifest: { readonly version: string } = createRequire(import.meta.url)("../../package.json")

/** Such as `0.1.0`. */
export const version: string = manifest.version
