/**
 * The example for AWS Lambda as SAM deploys it: bundled by esbuild with the `BuildProperties` of its template.
 */
import { build, type Format, stop } from "esbuild"
import * as Fs from "node:fs"
import * as Path from "node:path"

const folder = Path.join(import.meta.dirname, "../../examples/lambda")

/** Copies the sources of the function into a folder. */
export const copySources = (into: string): void => {
  for (const name of ["handler.ts", "Password.ts"]) Fs.copyFileSync(Path.join(folder, name), Path.join(into, name))
}

/** The file with this name that README.md beside the function has a user make. */
export const fileOfReadme = (name: string): string => {
  const [, text] = Fs.readFileSync(Path.join(folder, "README.md"), "utf8").split(`\`\`\`ts ${name} no-run\n`)
  const [code] = text?.split("\n```\n") ?? []
  if (code === undefined) throw new Error(`README.md has no ${name}`)
  return code
}

/** The template as it is deployed, without what it says in comments. */
export const template = (): string =>
  Fs.readFileSync(Path.join(folder, "template.yaml"), "utf8").replaceAll(/^\s*#.*\n/gm, "")

/** A property of the build with one value. */
const property = (text: string, name: string): string => {
  const [, value] = new RegExp(`^ +${name}: (\\S+)$`, "m").exec(text) ?? []
  if (value === undefined) throw new Error(`the template has no ${name}`)
  return value
}

/** A property of the build with a list of one value. */
const item = (text: string, name: string): string => {
  const [, value] = new RegExp(`^ +${name}:\\n +- (\\S+)$`, "m").exec(text) ?? []
  if (value === undefined) throw new Error(`the template has no ${name}`)
  return value
}

const root = Path.resolve(import.meta.dirname, "../..")
const sources = Path.join(root, "src")

/** A function whose sources a test has changed. */
interface Changed {
  /** The folder of its sources. */
  readonly from: string
  /** The modules in the place of packages that are not installed. */
  readonly packages: Readonly<Record<string, string>>
}

/** Builds the function into a folder. The result is the path of its module. */
export const deploy = async (
  into: string,
  { from, packages }: Changed = { from: folder, packages: {} }
): Promise<string> => {
  const text = template()
  const [, extension = ""] = item(text, "OutExtension").split("=")
  const entry = item(text, "EntryPoints")
  await build({
    entryPoints: [Path.join(from, entry)],
    outdir: into,
    tsconfig: Path.join(root, "tsconfig.json"),
    nodePaths: [Path.join(root, "node_modules")],
    outExtension: { ".js": extension },
    // A bundler takes these from the package, by the condition `module`. Here it would take those for Node from tsconfig.json.
    alias: {
      "#import-config": Path.join(sources, "internal/BundledConfig.ts"),
      "#import-driver": Path.join(sources, "Clients/internal/postgres/BundledDriver.ts"),
      ...packages
    },
    bundle: true,
    platform: "node",
    // The template names one of the formats of esbuild.
    format: property(text, "Format") as Format,
    target: property(text, "Target"),
    minify: property(text, "Minify") === "true",
    sourcemap: property(text, "Sourcemap") === "true",
    logLevel: "error"
  })
  // Its process would stay until the end of the tests.
  await stop()
  return Path.join(into, entry.replace(/\.ts$/, extension))
}
