// Bundles what a function ships, with two bundlers, and fails if it is larger than its budget. The budgets are kilobytes
// (1000 bytes) after minifying and gzip -9, Effect's part included.
import { entry, kilobytes, withEsbuild, withRolldown } from "./bundlers.ts"

/** `aim` is what the design asks for; `budget` is what must not be passed, which is more where the aim is not reached yet. */
const bundles = [
  { name: "bare-effect", what: "Effect's own pool, nothing of ours" },
  { name: "pool", what: "a pool", aim: 30, budget: 46.8 },
  { name: "pool-and-tcp", what: "a pool of TCP connections", aim: 45, budget: 52.5 },
  { name: "pool-and-monitor", what: "a pool with the monitor", budget: 71 },
  { name: "lambda", what: "a Lambda function with all of them", budget: 80.9 },
  { name: "retry-policy", what: "a retry policy alone", aim: 30, budget: 24.7 },
  { name: "endpoint", what: "an endpoint alone", aim: 30, budget: 12.4 }
]

const line = (...cells) => console.log(`| ${cells.join(" | ")} |`)

line("bundle", "rolldown (kB)", "esbuild (kB)", "aim", "budget", "")
line("---", "---", "---", "---", "---", "---")
let failed = false
for (const { aim, budget, name, what } of bundles) {
  const input = entry(name)
  const sizes = [kilobytes(await withRolldown(input)), kilobytes(await withEsbuild(input))]
  const isOver = budget !== undefined && Math.max(...sizes) > budget
  failed ||= isOver
  const verdict = isOver ? "OVER BUDGET" : aim !== undefined && Math.max(...sizes) > aim ? "short of the aim" : ""
  line(what, ...sizes.map((size) => size.toFixed(1)), aim ?? "", budget ?? "", verdict)
}
process.exitCode = failed ? 1 : 0
