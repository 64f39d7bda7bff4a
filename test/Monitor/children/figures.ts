/**
 * A real process that takes all figures before, while and after every descriptor is used. It prints one line of JSON.
 *
 * Usage: node figures.ts LIMIT
 */
import { Effect } from "effect"
import * as Fs from "node:fs"
import type { Reading } from "../../../src/Monitor/Reading.ts"
import * as Probes from "../../../src/Monitor/readings/Probes.ts"
import * as Sampler from "../../../src/Monitor/readings/Sampler.ts"
import type { Figures } from "../../../src/Monitor/Usage.ts"

/** What this process prints. */
export interface FiguresReport {
  readonly held: number
  /** Descriptors that were inherited with numbers that the limit does not reach. */
  readonly beyond: number
  /** What each figure was: a tag, or the value itself for descriptors. */
  readonly before: Record<string, string | number>
  readonly full: Record<string, string | number>
  readonly after: Record<string, string | number>
  /** Descriptors that could be opened before the system said no. */
  readonly filled: number
  /** Kinds of descriptors while nothing was left. */
  readonly kinds: Record<string, number>
  /** What a victim met that opens and closes files beside the monitor while one descriptor is left. */
  readonly victim: { readonly opened: number; readonly failed: ReadonlyArray<string> }
}

const open = (): number => Fs.openSync("/dev/null", "r")

const fill = (): Array<number> => {
  const descriptors: Array<number> = []
  for (;;) {
    try {
      descriptors.push(open())
    } catch {
      return descriptors
    }
  }
}

const brief = (figures: Figures): Record<string, string | number> =>
  Object.fromEntries(
    Object.entries<Reading | Figures["connections"]>({ ...figures }).flatMap(([name, reading]) => {
      if (!("_tag" in reading)) return []
      const isShown = reading._tag === "Known" && name === "descriptors"
      return [[name, isShown ? reading.value : reading._tag]]
    })
  )

const victimise = async (sampler: Sampler.Sampler): Promise<FiguresReport["victim"]> => {
  const failed: Array<string> = []
  let opened = 0
  let isOver = false
  const victim = async () => {
    for (opened = 0; opened < 300; opened++) {
      try {
        const file = await Fs.promises.open("/dev/null", "r")
        await file.close()
      } catch (error) {
        failed.push(String(error))
      }
    }
    isOver = true
  }
  const ended = victim()
  while (!isOver) {
    sampler.sampleNow()
    await new Promise((resolve) => setImmediate(resolve))
  }
  await ended
  return { opened, failed }
}

const program = Effect.gen(function*() {
  const probes = yield* Probes.make
  const sampler = yield* Sampler.make({
    probes,
    connections: () => new Map(),
    onSample: () => {},
    secondsToLimit: () => 0
  })
  // The first sample has no window of the event loop to speak of.
  yield* Effect.sleep("300 millis")
  // Whatever the runtime opens for itself at the first use of its file system, it opens before the count.
  yield* Effect.promise(() => Fs.promises.readlink("/proc/self/exe"))
  const before = brief(sampler.sampleNow().figures)
  const { held } = probes
  const beyond = Fs.readdirSync("/proc/self/fd").filter((name) => Number(name) >= Number(process.argv[2])).length
  const files = fill()
  const full = brief(sampler.sampleNow().figures)
  const { kinds } = yield* sampler.descriptorBreakdown
  const last = files.pop()
  if (last !== undefined) Fs.closeSync(last)
  const victim = yield* Effect.promise(() => victimise(sampler))
  files.forEach((file) => Fs.closeSync(file))
  const after = brief(sampler.sampleNow().figures)
  return { held, beyond, before, full, after, filled: files.length + 1, kinds: Object.fromEntries(kinds), victim }
}).pipe(Effect.scoped)

const report: FiguresReport = await Effect.runPromise(program)
console.log(JSON.stringify(report))
