// Runs every program in examples/ against the built package, as a user would, and fails if one fails.
import { execFileSync } from "node:child_process"
import { readdirSync } from "node:fs"

const root = new URL("..", import.meta.url)

for (const name of readdirSync(new URL("examples", root)).filter((name) => name.endsWith(".ts"))) {
  console.log(`== examples/${name}`)
  execFileSync(process.execPath, [`examples/${name}`], { cwd: root, stdio: "inherit", timeout: 60_000 })
}
