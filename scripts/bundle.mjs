// Bundles what a function ships, with two bundlers, and fails if it is larger than its budget. The budgets are kilobytes
// (1000 bytes) after minifying and gzip -9, Effect's part included.
import { build } from "esbuild"
import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { gzipSync } from "node:zlib"
import { rolldown } from "rolldown"

const root = new URL("..", import.meta.url)
const { exports } = JSON.parse(readFileSync(new URL("package.json", root), "utf8"))

/** What users import by name is taken from dist, as they get it. */
const alias = Object.fromEntries(
  Object.entries(exports)
    .filter(([name]) => name !== "./package.json" && name !== ".")
    .map(([name, target]) => [`effect-sluice/${name.slice(2)}`, fileURLToPath(new URL(target.default, root))])
)

/** `aim` is what the design asks for; `budget` is what must not be passed, which is more where the aim is not reached yet. */
const bundles = [
  { name: "bare-effect", what: "Effect's own pool, nothing of ours" },
  { name: "pool", what: "a pool", aim: 30, budget: 46.5 },
  { name: "pool-and-tcp", what: "a pool of TCP connections", aim: 45, budget: 52 },
  { name: "pool-and-monitor", what: "a pool with the monitor", budget: 67.5 }
]

const withRolldown = async (input) => {
  const bundle = await rolldown({ input, platform: "node", logLevel: "silent", resolve: { alias } })
  const { output } = await bundle.generate({ format: "esm", minify: true, codeSplitting: false })
  return output[0].code
}

const withEsbuild = async (input) => {
  const { outputFiles } = await build({
    entryPoints: [input],
    alias,
    bundle: true,
    format: "esm",
    minify: true,
    platform: "node",
    target: "node22",
    write: false,
    logLevel: "error"
  })
  return outputFiles[0].text
}

const kilobytes = (code) => gzipSync(code, { level: 9 }).length / 1000

const line = (...cells) => console.log(`| ${cells.join(" | ")} |`)

line("bundle", "rolldown (kB)", "esbuild (kB)", "aim", "budget", "")
line("---", "---", "---", "---", "---", "---")
let failed = false
for (const { aim, budget, name, what } of bundles) {
  const input = fileURLToPath(new URL(`bundles/${name}.ts`, import.meta.url))
  const sizes = [kilobytes(await withRolldown(input)), kilobytes(await withEsbuild(input))]
  const isOver = budget !== undefined && Math.max(...sizes) > budget
  failed ||= isOver
  const verdict = isOver ? "OVER BUDGET" : aim !== undefined && Math.max(...sizes) > aim ? "short of the aim" : ""
  line(what, ...sizes.map((size) => size.toFixed(1)), aim ?? "", budget ?? "", verdict)
}
process.exitCode = failed ? 1 : 0
