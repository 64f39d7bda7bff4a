// Runs `npm test` with a Node of test/runtimes: `npm run -s test:node -- minimum`, or `newest`. npm itself puts the Node 24 of this
// repository first, so that no variable of the environment chooses another one.
import { spawnSync } from "node:child_process"
import { existsSync, readFileSync } from "node:fs"
import { delimiter, resolve } from "node:path"

const root = resolve(import.meta.dirname, "..")
const [which = "", ...args] = process.argv.slice(2)
const folder = resolve(root, `test/runtimes/node_modules/node-${which}/bin`)
if (!existsSync(folder)) {
  console.error(`there is no ${folder}: npm ci --prefix test/runtimes, and then minimum or newest`)
  process.exit(2)
}
const { scripts } = JSON.parse(readFileSync(resolve(root, "package.json"), "utf8"))
const PATH = [folder, resolve(root, "node_modules/.bin"), process.env.PATH].join(delimiter)
const { status } = spawnSync("sh", ["-c", `${scripts.test} "$@"`, "sh", ...args], {
  cwd: root,
  stdio: "inherit",
  env: { ...process.env, PATH }
})
process.exitCode = status ?? 1
