// Bundles what a function ships, with two bundlers, beside what its peers ship, and fails if a bundle of ours is larger than its
// budget. All figures are kilobytes (1000 bytes) after minifying and gzip -9, Effect's part included.
import { entry, kilobytes, withEsbuild, withRolldown } from "./bundlers.ts"

/**
 * `budget` is what was reached when it was set, and 2 % more: growth is seen and decided, not forbidden. A commit that raises one says
 * why in docs/decisions/0010-what-a-pool-weighs.md.
 */
const bundles = [
  { name: "bare-effect", what: "Effect's own pool, nothing of ours" },
  { name: "pool", what: "a pool", budget: 69.8 },
  { name: "pool-and-tcp", what: "a pool of TCP connections", budget: 78.8 },
  { name: "pool-and-monitor", what: "a pool with the monitor", budget: 95.5 },
  { name: "lambda", what: "a Lambda function with all of them", budget: 109.5 },
  { name: "lambda-unlimited", what: "the same with layerUnlimited, without the monitor", budget: 93.1 },
  { name: "retry-policy", what: "a retry policy alone", budget: 30.0 },
  { name: "endpoint", what: "an endpoint alone", budget: 14.3 },
  { name: "peer-pg", what: "pg", hasCommonJs: true },
  { name: "peer-ioredis", what: "ioredis", hasCommonJs: true },
  { name: "peer-serverless-postgres-driver", what: "serverless-postgres and pg", hasCommonJs: true },
  { name: "peer-serverless-mysql-driver", what: "serverless-mysql and mysql2", hasCommonJs: true }
]

const line = (...cells) => console.log(`| ${cells.join(" | ")} |`)

line("bundle", "rolldown (kB)", "esbuild (kB)", "budget", "")
line("---", "---", "---", "---", "---")
let failed = false
for (const { budget, hasCommonJs, name, what } of bundles) {
  const input = entry(name)
  const sizes = [kilobytes(await withRolldown(input)), kilobytes(await withEsbuild(input, { hasCommonJs }))]
  const isOver = budget !== undefined && Math.max(...sizes) > budget
  failed ||= isOver
  line(what, ...sizes.map((size) => size.toFixed(1)), budget ?? "", isOver ? "OVER BUDGET" : "")
}
process.exitCode = failed ? 1 : 0
