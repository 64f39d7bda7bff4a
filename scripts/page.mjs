/**
 * Writes the script of the status page as a text, from its sources in src/Operations/internal/page/client. As a text it is part of the
 * package whatever bundler a program uses: a function that is turned into its source would lose its imports, and its names to a minifier.
 *
 * With --check it fails if the text is stale.
 *
 * Usage: node scripts/page.mjs [--check]
 */
import { build } from "esbuild"
import * as Fs from "node:fs"
import * as Path from "node:path"

const folder = Path.join(import.meta.dirname, "../src/Operations/internal/page")
const target = Path.join(folder, "Script.ts")

const { outputFiles: [{ text }] } = await build({
  absWorkingDir: folder,
  entryPoints: ["client/Main.ts"],
  bundle: true,
  write: false,
  format: "esm",
  target: "es2022",
  minifySyntax: true,
  minifyWhitespace: true,
  // The element that holds the script ends at the first closing tag, also in a string; esbuild writes <\/script for that.
  platform: "browser",
  tsconfigRaw: {}
})

const module = `/**
 * The script of the status page. It is written by \`npm run page\` from the folder \`client\`: change it there.
 *
 * @since 0.1.0
 */

/** The script, as a module without imports. */
export const script =
  ${JSON.stringify(text.trimEnd())}
`

const isStale = !Fs.existsSync(target) || Fs.readFileSync(target, "utf8") !== module
if (process.argv.includes("--check")) {
  if (isStale) {
    console.error("src/Operations/internal/page/Script.ts is stale: npm run page writes it")
    process.exit(1)
  }
} else if (isStale) Fs.writeFileSync(target, module)
