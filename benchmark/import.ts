/**
 * What a cold start pays for code: the time to import it, as packages and as one bundled file, and the size of that file.
 */
import { execFile } from "node:child_process"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { entry, kilobytes, withEsbuild, withRolldown } from "../scripts/bundlers.ts"
import { median, type Values } from "./measure.ts"
import type { Table } from "./report.ts"

const run = promisify(execFile)

const root = fileURLToPath(new URL("..", import.meta.url))
const child = fileURLToPath(new URL("import-child.mjs", import.meta.url))

interface Program {
  readonly name: string
  /** Its entry in `scripts/bundles`. */
  readonly bundle: string
  /** What its entry imports, for the import without a bundle. */
  readonly modules: ReadonlyArray<string>
  readonly hasCommonJs?: boolean
}

const effect = (...names: ReadonlyArray<string>): ReadonlyArray<string> => names.map((name) => `effect/${name}`)
const ours = (...names: ReadonlyArray<string>): ReadonlyArray<string> => names.map((name) => `effect-sluice/${name}`)

const peer = (name: string): Program => ({ name, bundle: `peer-${name}`, modules: [name], hasCommonJs: true })

/** These load their driver only when they connect, which a function pays for in its first invocation. */
const withDriver = (name: string, driver: string): Program => ({
  name: `${name} and its driver, ${driver}`,
  bundle: `peer-${name}-driver`,
  modules: [name, driver],
  hasCommonJs: true
})

const aPool = "effect-sluice: a pool"

const programs: ReadonlyArray<Program> = [
  {
    name: "Effect alone, with its own pool",
    bundle: "bare-effect",
    modules: effect("Effect", "Layer", "ManagedRuntime", "Pool", "Schedule")
  },
  { name: aPool, bundle: "pool", modules: [...ours("ConnectionPool", "Connector"), ...effect("Effect")] },
  {
    name: "effect-sluice: a pool of TCP connections",
    bundle: "pool-and-tcp",
    modules: [...ours("ConnectionPool", "Endpoint", "TcpConnection"), ...effect("Effect")]
  },
  {
    name: "effect-sluice: a pool with the monitor",
    bundle: "pool-and-monitor",
    modules: [...ours("ConnectionPool", "Connector", "ResourceMonitor"), ...effect("Effect")]
  },
  {
    name: "effect-sluice: a Lambda function with all of them",
    bundle: "lambda",
    modules: [
      ...ours("ConnectionPool", "Endpoint", "Lambda", "ResourceMonitor", "TcpConnection"),
      ...effect("Effect", "Layer")
    ]
  },
  peer("serverless-mysql"),
  withDriver("serverless-mysql", "mysql2"),
  peer("serverless-postgres"),
  withDriver("serverless-postgres", "pg"),
  peer("pg"),
  peer("ioredis")
]

interface Cost {
  readonly millis: number
  readonly cpu: number
}

/** What importing these costs in a process of its own. */
const costOf = async (modules: ReadonlyArray<string>): Promise<Cost> => {
  const { stdout } = await run(process.execPath, [child, ...modules])
  // The child prints exactly this.
  return JSON.parse(stdout) as Cost
}

const ways = ["unbundled", "esbuild", "rolldown"] as const
type Way = (typeof ways)[number]

interface Contestant extends Program {
  readonly sizes: Record<"esbuild" | "rolldown", number>
  readonly imported: Record<Way, ReadonlyArray<string>>
  readonly costs: Record<Way, Array<Cost>>
}

const bundled = async (program: Program, folder: string): Promise<Contestant> => {
  const input = entry(program.bundle)
  const code = { esbuild: await withEsbuild(input, program), rolldown: await withRolldown(input) }
  const file = (bundler: "esbuild" | "rolldown") => join(folder, `${program.bundle}.${bundler}.mjs`)
  await writeFile(file("esbuild"), code.esbuild)
  await writeFile(file("rolldown"), code.rolldown)
  return {
    ...program,
    sizes: { esbuild: kilobytes(code.esbuild), rolldown: kilobytes(code.rolldown) },
    imported: { unbundled: program.modules, esbuild: [file("esbuild")], rolldown: [file("rolldown")] },
    costs: { unbundled: [], esbuild: [], rolldown: [] }
  }
}

/** Every round starts with another one, so that whatever else the machine does falls on all of them alike. */
const interleaved = async (contestants: ReadonlyArray<Contestant>, measured: number): Promise<void> => {
  for (let round = -1; round < measured; round++) {
    const first = (round + 1) % contestants.length
    for (const { costs, imported } of [...contestants.slice(first), ...contestants.slice(0, first)]) {
      for (const way of ways) {
        const cost = await costOf(imported[way])
        // In the first round the files come from the disk.
        if (round >= 0) costs[way].push(cost)
      }
    }
  }
}

const millisOf = (costs: ReadonlyArray<Cost>): Values => costs.map(({ millis }) => millis)

const show = (costs: ReadonlyArray<Cost>): string =>
  `${median(millisOf(costs)).toFixed(1)} [${median(costs.map(({ cpu }) => cpu)).toFixed(1)}]`

const row = ({ costs, name, sizes }: Contestant): ReadonlyArray<string> => [
  name,
  show(costs.unbundled),
  sizes.esbuild.toFixed(1),
  show(costs.esbuild),
  sizes.rolldown.toFixed(1),
  show(costs.rolldown)
]

/** Imports each program so many times, each time in a fresh process. */
export const importing = async (measured: number): Promise<Table> => {
  await run("npm", ["run", "-s", "build"], { cwd: root })
  const folder = await mkdtemp(join(tmpdir(), "effect-sluice-import-"))
  try {
    const contestants: Array<Contestant> = []
    for (const program of programs) contestants.push(await bundled(program, folder))
    await interleaved(contestants, measured)
    const pool = contestants.find(({ name }) => name === aPool)
    const cpu = median(pool?.costs.esbuild.map(({ cpu }) => cpu) ?? [])
    return {
      title: "Importing: milliseconds [of the processor], and kilobytes minified and gzipped",
      columns: ["program", "unbundled", "esbuild kB", "esbuild ms", "rolldown kB", "rolldown ms"],
      rows: contestants.map(row),
      targets: [{ what: "ms of the processor to import a pool bundled by esbuild", ratio: cpu, atMost: 10 }]
    }
  } finally {
    await rm(folder, { recursive: true })
  }
}
