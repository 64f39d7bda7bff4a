/**
 * Bundling with esbuild and rolldown what a function ships, the packages of this project as users get them.
 */
import { build } from "esbuild"
import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { gzipSync } from "node:zlib"
import { rolldown } from "rolldown"

const root = new URL("..", import.meta.url)

// The file is ours, and these are the fields that it has.
const { exports } = JSON.parse(readFileSync(new URL("package.json", root), "utf8")) as {
  readonly exports: Record<string, { readonly default: string } | string>
}

/** What users import by name is taken from dist, as they get it. */
export const alias: Record<string, string> = Object.fromEntries(
  Object.entries(exports).flatMap(([name, target]) =>
    typeof target === "string" || name === "."
      ? []
      : [[`effect-sluice/${name.slice(2)}`, fileURLToPath(new URL(target.default, root))]]
  )
)

/**
 * `tsconfig.json` is not read: its paths lead to the sources, which a bundle would then hold beside dist. A user's bundler takes
 * `imports` from package.json.
 */
export const withoutPaths = { tsconfigRaw: {} }

/** What no bundle holds: an addon that pg looks for in vain. */
const external = ["pg-native"]

/** Packages in CommonJS ask for Node's modules in ways that a module must be given. */
const banner = { js: "import{createRequire}from\"node:module\";const require=createRequire(import.meta.url);" }

/** The entry of a bundle: `scripts/bundles/NAME.ts`. */
export const entry = (name: string): string => fileURLToPath(new URL(`bundles/${name}.ts`, import.meta.url))

/** One minified module, by rolldown. */
export const withRolldown = async (input: string): Promise<string> => {
  const bundle = await rolldown({
    input,
    external,
    platform: "node",
    logLevel: "silent",
    resolve: { alias },
    tsconfig: false
  })
  const { output } = await bundle.generate({ format: "esm", minify: true, codeSplitting: false })
  return output[0].code
}

/** One minified module, by esbuild. */
export const withEsbuild = async (input: string, options: { readonly hasCommonJs?: boolean } = {}): Promise<string> => {
  const { outputFiles } = await build({
    entryPoints: [input],
    alias,
    ...withoutPaths,
    external,
    bundle: true,
    format: "esm",
    minify: true,
    platform: "node",
    target: "node22",
    write: false,
    logLevel: "error",
    ...(options.hasCommonJs === true ? { banner } : undefined)
  })
  return outputFiles[0]?.text ?? ""
}

/** Kilobytes (1000 bytes) after gzip -9. */
export const kilobytes = (code: string): number => gzipSync(code, { level: 9 }).length / 1000
