/**
 * Recordings for tests.
 */
import type { Plan } from "../../../examples/demo/Plan.ts"
import type { Recording, Track } from "../../../examples/demo/Recording.ts"
import type * as Page from "../../../examples/demo/report/Page.ts"
import * as Series from "../../../examples/demo/Series.ts"
import * as Summary from "../../../examples/demo/Summary.ts"

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

/** The report of three contenders, with a text of its reader's choice in each place that has one. */
export const report = (
  { name = "theirs", option = "10", reason = "refused" }: {
    readonly name?: string
    readonly option?: string
    readonly reason?: string
  } = {}
): Page.Report => {
  const failing = track({ requests: requests((due) => due % 300 === 0 ? [40 + due, "ok"] : [2000, reason]) })
  const tracks = [track(), failing, track({ connections: [], process: [], closing: undefined })]
  const contenders = ["effect-sluice", name, "dial per request, p-retry"].map((name) => ({
    name,
    options: { max: option }
  }))
  return {
    summary: Summary.make(plan, contenders, recording(...tracks), 10),
    series: tracks.map((track) => Series.make(track, plan)),
    at: new Date(0),
    environment: "2 CPUs"
  }
}
