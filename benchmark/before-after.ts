/**
 * What this library and another copy of it do, such as the commit before a change: each in processes of its own, in turns, and
 * the other copy against itself beside it, which says how much of a difference is noise.
 */
import { execFile } from "node:child_process"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { median, ratio, show, timesAsMuch, type Values } from "./measure.ts"
import type { Table } from "./report.ts"

const run = promisify(execFile)

const root = fileURLToPath(new URL("..", import.meta.url))

/** One table of the comparison. */
interface Part {
  readonly title: string
  /** What prints the figures of the copy whose path it is given. */
  readonly child: string
  /** Another way to do the same, which the child knows by this name. */
  readonly peer?: string
  /** Whether a case is to come to no more than before. */
  readonly isHeld: (name: string) => boolean
}

const parts = {
  borrows: {
    title: "One borrow against the control (ns of the thread's CPU, median, least-most)",
    child: "before-after-child.ts",
    // The last case is the price of hearing what the kernel knows.
    isHeld: (name) => !name.includes("turn of its own")
  },
  dials: {
    title: "Waiting and dialing against the control (median, least-most)",
    child: "before-after-dials-child.ts",
    isHeld: () => true
  },
  endpoints: {
    title: "10 000 endpoints with one idle connection each against the control (median, least-most)",
    child: "before-after-endpoints-child.ts",
    peer: "RcMap of Pool.makeWithTTL",
    isHeld: () => true
  }
} satisfies Record<string, Part>

export type PartName = keyof typeof parts

type Figures = Readonly<Record<string, number>>

interface Contestant {
  readonly name: string
  /** The path of a copy, or the name of a peer. */
  readonly what: string
  readonly figures: Array<Figures>
}

const figuresOf = async (child: string, what: string, scale: number): Promise<Figures> => {
  const script = fileURLToPath(new URL(child, import.meta.url))
  const { stdout } = await run(process.execPath, ["--expose-gc", script, what, String(scale)])
  // The child prints exactly this.
  return JSON.parse(stdout) as Figures
}

/** Every round starts with another contestant, so that whatever else the machine does falls on all of them alike. */
const interleave = async (contestants: ReadonlyArray<Contestant>, { child }: Part, rounds: number, scale: number) => {
  for (let round = 0; round < rounds; round++) {
    const first = round % contestants.length
    for (const { figures, what } of [...contestants.slice(first), ...contestants.slice(0, first)]) {
      figures.push(await figuresOf(child, what, scale))
    }
  }
}

interface Compared {
  readonly name: string
  readonly before: Values
  readonly again: Values
  readonly here: Values
  readonly peer: Values
  /** How far the control is from itself within a round, in shares of it. */
  readonly spread: number
}

const comparedOf = (name: string, contestants: ReadonlyArray<Contestant>): Compared => {
  const [before = [], again = [], here = [], peer = []] = contestants.map(({ figures }) =>
    figures.map((each) => each[name] ?? Number.NaN)
  )
  const spread = median(again.map((value, round) => Math.abs(timesAsMuch(value, before[round] ?? Number.NaN) - 1)))
  return { name, before, again, here, peer, spread }
}

const targetOf = ({ again, before, here, name, spread }: Compared) => ({
  what: `${name}, here to control`,
  ratio: ratio(here, before),
  // What the control differs from itself is nobody's cost.
  atMost: Number((1.05 + Math.max(Math.abs(ratio(again, before) - 1), spread)).toFixed(3))
})

const rowOf = ({ again, before, here, name, peer, spread }: Compared, part: Part): ReadonlyArray<string> => [
  name,
  show(before),
  show(again),
  show(here),
  ratio(again, before).toFixed(3),
  spread.toFixed(3),
  ratio(here, before).toFixed(3),
  ...(part.peer === undefined ? [] : [show(peer), ratio(here, peer).toFixed(3)])
]

const columnsOf = ({ peer }: Part): ReadonlyArray<string> => [
  "case",
  "control",
  "control again",
  "here",
  "again to control",
  "median spread",
  "here to control",
  ...(peer === undefined ? [] : [peer, `here to ${peer}`])
]

export const beforeAfter = async (
  control: string | undefined,
  partName: PartName,
  rounds: number,
  scale: number
): Promise<Table> => {
  if (control === undefined) throw new Error("before-after: --control PATH says which copy to compare with")
  const part: Part = parts[partName]
  const contestants: ReadonlyArray<Contestant> = [
    { name: "control", what: control, figures: [] },
    { name: "control again", what: control, figures: [] },
    { name: "here", what: root, figures: [] },
    ...(part.peer === undefined ? [] : [{ name: part.peer, what: part.peer, figures: [] }])
  ]
  await interleave(contestants, part, rounds, scale)
  const names = Object.keys(contestants[0]?.figures[0] ?? {})
  const compared = names.map((name) => comparedOf(name, contestants))
  return {
    title: control === root ? part.title.replace("the control", "itself") : part.title,
    columns: columnsOf(part),
    rows: compared.map((each) => rowOf(each, part)),
    targets: compared.filter(({ name }) => part.isHeld(name)).map(targetOf)
  }
}
