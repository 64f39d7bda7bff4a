/**
 * The example for AWS Lambda as SAM deploys it: bundled by esbuild with the `BuildProperties` of its template.
 */
import { build, type Format, stop } from "esbuild"
import * as Fs from "node:fs"
import * as Path from "node:path"

const folder = Path.join(import.meta.dirname, "../../examples/lambda")

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

const sources = Path.resolve(import.meta.dirname, "../../src")

/** Builds the function into a folder. The result is the path of its module. */
export const deploy = async (into: string): Promise<string> => {
  const text = template()
  const [, extension = ""] = item(text, "OutExtension").split("=")
  const entry = item(text, "EntryPoints")
  await build({
    entryPoints: [Path.join(folder, entry)],
    outdir: into,
    outExtension: { ".js": extension },
    // A bundler takes these from the package, by the condition `module`. Here it would take those for Node from tsconfig.json.
    alias: {
      "#import-config": Path.join(sources, "internal/BundledConfig.ts"),
      "#import-driver": Path.join(sources, "Clients/internal/postgres/BundledDriver.ts")
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
