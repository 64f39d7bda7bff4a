/**
 * What a run remembers of its attempts: bounded, however many there are.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import { errorText } from "../internal/SafeText.ts"
import type { Failure } from "./Failure.ts"
import type { AttemptRecord } from "./RetryError.ts"

const most = 10
const longestMessage = 200
/** A run of the effect that failed. Times are in milliseconds since the first run began. */
export interface FailedRun {
  readonly run: number
  readonly begunAt: number
  readonly endedAt: number
  readonly failure: Failure
  readonly error: unknown
}

/** What is remembered of a run that failed. */
export const recordOf = ({ begunAt, endedAt, error, failure, run }: FailedRun): AttemptRecord => ({
  run,
  begunAfter: Duration.millis(Math.round(begunAt)),
  took: Duration.millis(Math.round(endedAt - begunAt)),
  failure,
  message: errorText(error, longestMessage)
})

/** Adds a record. The first one says how it began and the last ones how it ended. */
export const remember = (records: ReadonlyArray<AttemptRecord>, record: AttemptRecord): ReadonlyArray<AttemptRecord> =>
  records.length < most ? [...records, record] : [...records.slice(0, 1), ...records.slice(2), record]

const median = (values: ReadonlyArray<number>): number =>
  values.toSorted((left, right) => left - right)[Math.floor(values.length / 2)] ?? 0

/** The runs of one retry that failed. */
export class History {
  #records: ReadonlyArray<AttemptRecord> = []
  /** How long the last attempts took, in milliseconds. */
  readonly #took: Array<number> = []

  add(run: FailedRun): void {
    this.#records = remember(this.#records, recordOf(run))
    // For lack of room on this host an attempt ends before it has begun, which says nothing about the next one.
    if (run.failure.class === "LocalExhausted") return
    this.#took.push(run.endedAt - run.begunAt)
    if (this.#took.length > most) this.#took.shift()
  }

  get records(): ReadonlyArray<AttemptRecord> {
    return this.#records
  }

  /** How long an attempt takes, as far as those that failed can say: their median, and 0 before the first one. */
  get typical(): number {
    return median(this.#took)
  }
}
