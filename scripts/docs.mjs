/**
 * Builds or serves the site of the documentation. It is a package of its own, in `site`, so that its dependencies are installed
 * for nothing else. They are installed here when they are missing, or older than the lock file.
 *
 * Usage: node scripts/docs.mjs build|dev
 */
import { spawnSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"

const site = Path.join(import.meta.dirname, "../site")
const command = process.argv[2] ?? "build"

const changedAt = (name) => Fs.statSync(Path.join(site, name), { throwIfNoEntry: false })?.mtimeMs ?? 0

const run = (...words) => {
  const { status } = spawnSync("npm", [...words, "--prefix", site], { stdio: "inherit" })
  if (status !== 0) process.exit(status ?? 1)
}

if (changedAt("node_modules/.package-lock.json") < changedAt("package-lock.json")) {
  console.log("npm ci --prefix site: installs what builds the site (about 350 MB)")
  run("ci", "--no-audit", "--no-fund")
}
run("run", "-s", command)
