/**
 * What a borrow costs here and in another copy of the library, such as the commit before a change: each in processes of its
 * own, in turns, and the other copy against itself beside it, which says how much of a difference is noise.
 */
import { execFile } from "node:child_process"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { median, ratio, type Rounds, show } from "./measure.ts"
import type { Table } from "./report.ts"

const run = promisify(execFile)

const root = fileURLToPath(new URL("..", import.meta.url))
const child = fileURLToPath(new URL("before-after-child.ts", import.meta.url))

type Figures = Record<string, number>

const figuresOf = async (path: string, scale: number): Promise<Figures> => {
  const { stdout } = await run(process.execPath, ["--expose-gc", child, path, String(scale)])
  // The child prints exactly this.
  return JSON.parse(stdout) as Figures
}

/** Cases that are to cost no more than before. The last one is the price of hearing what the kernel knows. */
const isHeld = (name: string): boolean => !name.includes("turn of its own")

export const beforeAfter = async (control: string | undefined, rounds: Rounds, scale: number): Promise<Table> => {
  if (control === undefined) throw new Error("before-after: --control PATH says which copy to compare with")
  const contestants = [
    { name: "control", path: control },
    { name: "control again", path: control },
    { name: "here", path: root }
  ]
  const all = new Map(contestants.map(({ name }) => [name, [] as Array<Figures>]))
  for (let round = 0; round < rounds.measured; round++) {
    const first = round % contestants.length
    for (const { name, path } of [...contestants.slice(first), ...contestants.slice(0, first)]) {
      all.get(name)?.push(await figuresOf(path, scale))
    }
  }
  const valuesOf = (contestant: string, name: string) => (all.get(contestant) ?? []).map((each) => each[name] ?? NaN)
  const names = Object.keys(all.get("here")?.[0] ?? {})
  const compared = names.map((name) => {
    const [before, again, here] = contestants.map((contestant) => valuesOf(contestant.name, name))
    if (before === undefined || again === undefined || here === undefined) throw new Error("before-after: no figures")
    const spread = again.map((value, round) => Math.abs(value / (before[round] ?? NaN) - 1))
    return {
      name,
      before,
      again,
      here,
      spread: median(spread),
      ratio: ratio(here, before),
      noise: ratio(again, before)
    }
  })
  return {
    title: `One borrow against ${
      control === root ? "itself" : "the control"
    } (ns of the thread's CPU, median, least-most)`,
    columns: ["case", "control", "control again", "here", "again to control", "median spread", "here to control"],
    rows: compared.map(({ again, before, here, name, noise, ratio, spread }) => [
      name,
      show(before),
      show(again),
      show(here),
      noise.toFixed(3),
      spread.toFixed(3),
      ratio.toFixed(3)
    ]),
    targets: compared.filter(({ name }) => isHeld(name)).map(({ name, noise, ratio, spread }) => ({
      what: `${name}, here to control`,
      ratio,
      // What the control differs from itself is nobody's cost.
      atMost: Number((1.05 + Math.max(Math.abs(noise - 1), spread)).toFixed(3))
    }))
  }
}
