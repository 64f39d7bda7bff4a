/**
 * Writes the pictures of docs/pictures: diagrams from scripts/pictures/diagrams.ts, and plots of figures that are committed, in
 * benchmark/results and in the tables of the documentation.
 *
 * With --check it fails if one of them is not current.
 *
 * Usage: node scripts/pictures.ts [--check] [root of the project]
 */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { borrow, caps, life } from "./pictures/diagrams.ts"
import { borrowCost, exhaustion, recovery, storm, stormRecovery } from "./pictures/plots.ts"
import { fileOf } from "./pictures/svg.ts"

/** The pictures by their file names in docs/pictures. */
export const picturesOf = (root: string): ReadonlyMap<string, string> =>
  new Map([
    ["borrow.svg", fileOf(borrow)],
    ["life.svg", fileOf(life)],
    ["caps.svg", fileOf(caps)],
    ["exhaustion.svg", fileOf(exhaustion(root))],
    ["storm.svg", fileOf(storm(root))],
    ["storm-recovery.svg", fileOf(stormRecovery(root))],
    ["recovery.svg", fileOf(recovery(root))],
    ["borrow-cost.svg", fileOf(borrowCost(root))]
  ])

/** The pictures whose file is not what would be written now. */
export const staleIn = (root: string): ReadonlyArray<string> =>
  Array.from(picturesOf(root)).flatMap(([name, content]) => {
    const file = Path.join(root, "docs/pictures", name)
    return Fs.existsSync(file) && Fs.readFileSync(file, "utf8") === content ? [] : [name]
  })

if (import.meta.main) {
  const [given] = process.argv.slice(2).filter((argument) => argument !== "--check")
  const root = Path.resolve(given ?? Path.join(import.meta.dirname, ".."))
  if (process.argv.includes("--check")) {
    const stale = staleIn(root)
    for (const name of stale) console.error(`docs/pictures/${name} is stale: npm run pictures writes it`)
    if (stale.length > 0) process.exit(1)
  } else {
    Fs.mkdirSync(Path.join(root, "docs/pictures"), { recursive: true })
    for (const [name, content] of picturesOf(root)) Fs.writeFileSync(Path.join(root, "docs/pictures", name), content)
  }
}
