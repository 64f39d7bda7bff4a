/**
 * Recordings for tests.
 */
import type { Plan } from "../../../examples/demo/Plan.ts"
import type { Recording, Track } from "../../../examples/demo/Recording.ts"

/** Ten seconds with two faults, in which nothing is measured. */
export const plan: Plan = {
  warmUp: 0,
  duration: 10_000,
  faults: [{ kind: "down", from: 2000, to: 4000 }, { kind: "frozen", from: 7000, to: 8000 }],
  rate: 10,
  seed: 1
}

/** A request every 100 ms; `outcomeOf` says how the one that is due at this time ends, and after how long. */
export const requests = (outcomeOf: (due: number) => readonly [latency: number, outcome: string]): Track["requests"] =>
  Array.from({ length: 100 }, (_, index) => {
    const due = index * 100
    const [latency, outcome] = outcomeOf(due)
    return { due, latency, outcome }
  })

/** A contender that answers each request but those of the faults, and that closes what it opens. */
export const track = (change: Partial<Track> = {}): Track => ({
  requests: requests((due) =>
    due >= 2000 && due < 4000 || due >= 7000 && due < 8000 ? [2000, "refused 1"] : [20, "ok"]
  ),
  connections: [
    { at: -10, open: 1, accepted: 1 },
    { at: 1000, open: 10, accepted: 11 },
    { at: 5000, open: 8, accepted: 31 },
    { at: 11_000, open: 0, accepted: 31 }
  ],
  process: [
    { at: -10, descriptors: 20, cpu: 100 },
    { at: 1000, descriptors: 40, cpu: 300 },
    { at: 10_000, descriptors: 30, cpu: 900 }
  ],
  closing: { before: 20, after: 20, held: 10 },
  ...change
})

export const recording = (...tracks: ReadonlyArray<Track>): Recording => ({ tracks, late: 1.4 })
