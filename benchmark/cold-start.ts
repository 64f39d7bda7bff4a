/**
 * What the cold start of a function costs: the processor's time to import its bundle and to its first answer, in pairs with a bare Effect program
 * on `@effect/sql-pg`, and beside plain `pg`. It needs a PostgreSQL server on port 5432 of this machine, with the user `postgres` and no
 * password.
 */
import { build } from "esbuild"
import { execFile } from "node:child_process"
import { mkdtemp, rm, stat } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { alias, withoutPaths } from "../scripts/bundlers.ts"
import { median } from "./measure.ts"
import type { Table } from "./report.ts"

const run = promisify(execFile)

const folder = new URL("cold-start/", import.meta.url)

/** The bare program twice: how far apart equal programs are. */
const programs = [
  ["Effect and @effect/sql-pg", "bare"],
  ["the same once more", "bare"],
  ["effect-sluice", "sluice"],
  ["effect-sluice, layerUnlimited", "unlimited"],
  ["plain pg", "pg"]
] as const

type Cost = Readonly<Record<"import" | "first" | "second", number>>

interface Contestant {
  readonly name: string
  readonly file: string
  readonly size: number
  readonly costs: Array<Cost>
}

/** Bundles a program as `examples/lambda/template.yaml` has it, with the built package. */
const bundled = async (name: string, entry: string, into: string): Promise<Contestant> => {
  const file = join(into, `${entry}.mjs`)
  await build({
    entryPoints: [fileURLToPath(new URL(`${entry}.ts`, folder))],
    outfile: file,
    alias,
    ...withoutPaths,
    bundle: true,
    external: ["pg-native"],
    platform: "node",
    format: "esm",
    target: "es2023",
    minify: true,
    // Packages in CommonJS ask for Node's modules in ways that a module must be given.
    banner: { js: "import{createRequire}from\"node:module\";const require=createRequire(import.meta.url);" },
    logLevel: "error"
  })
  return { name, file, size: (await stat(file)).size, costs: [] }
}

const costOf = async (file: string): Promise<Cost> => {
  const { stdout } = await run(process.execPath, [fileURLToPath(new URL("child.mjs", folder)), file])
  // The child prints exactly this.
  return JSON.parse(stdout) as Cost
}

/** Each round starts with another program, so that other work on the machine falls on all of them alike. */
const inTurns = async (contestants: ReadonlyArray<Contestant>, measured: number): Promise<void> => {
  for (let round = -1; round < measured; round++) {
    const first = (round + 1) % contestants.length
    for (const { costs, file } of [...contestants.slice(first), ...contestants.slice(0, first)]) {
      const cost = await costOf(file)
      // In the first round the files come from the disk.
      if (round >= 0) costs.push(cost)
    }
  }
}

const valuesOf = ({ costs }: Contestant, step: keyof Cost): ReadonlyArray<number> => costs.map((cost) => cost[step])

/** The median of the ratios within each round, which a load that changes between rounds disturbs least. */
const ratioOf = (one: Contestant, other: Contestant, step: keyof Cost): number => {
  const others = valuesOf(other, step)
  return median(valuesOf(one, step).map((value, round) => value / (others[round] ?? NaN)))
}

const steps = ["import", "first", "second"] as const

const row = (one: Contestant, bare: Contestant): ReadonlyArray<string> => [
  one.name,
  (one.size / 1000).toFixed(0),
  ...steps.map((step) => {
    const values = valuesOf(one, step)
    return `${median(values).toFixed(1)} (${Math.min(...values).toFixed(1)})`
  }),
  ratioOf(one, bare, "import").toFixed(2),
  ratioOf(one, bare, "first").toFixed(2)
]

/** What a cold start should cost at most, in times of the bare program. */
const bounds: Readonly<Record<string, Readonly<Record<"import" | "first", number>>>> = {
  "effect-sluice": { import: 1.5, first: 1.3 },
  "effect-sluice, layerUnlimited": { import: 1.2, first: 1.2 }
}

/** Starts each program so many times, each time in a fresh process. */
export const coldStart = async (measured: number): Promise<Table> => {
  const into = await mkdtemp(join(tmpdir(), "effect-sluice-cold-start-"))
  try {
    const contestants: Array<Contestant> = []
    for (const [name, entry] of programs) contestants.push(await bundled(name, entry, into))
    await inTurns(contestants, measured)
    const [bare] = contestants
    if (bare === undefined) throw new Error("there is no program")
    return {
      title: "Cold start of a function with PostgreSQL: milliseconds of the processor, median (least)",
      columns: ["function", "kB minified", "import", "first answer", "second", "import, ratio", "first answer, ratio"],
      rows: contestants.map((one) => row(one, bare)),
      targets: contestants.flatMap((one) =>
        Object.entries(bounds[one.name] ?? {}).map(([step, atMost]) => ({
          what: `${one.name}: ${step}`,
          // The keys of a bound are steps.
          ratio: ratioOf(one, bare, step as keyof Cost),
          atMost
        }))
      )
    }
  } finally {
    await rm(into, { recursive: true })
  }
}
