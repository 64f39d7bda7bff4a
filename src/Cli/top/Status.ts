/**
 * What `sluice top` knows at a moment: the last snapshot, and since when there is no newer one.
 *
 * @since 0.1.0
 */
import * as Result from "effect/Result"
import { duration } from "../../Operations/internal/page/client/Format.ts"
import type { Snapshot } from "../../Operations/Snapshot.ts"
import type { RequestFailed, Taken } from "../pools/Client.ts"
import { fit, type Line, line, span, styledOf, textOf } from "../pools/Line.ts"
import { linesOf } from "../pools/View.ts"

/** Times are in milliseconds of the monotonic clock. */
export interface Status {
  readonly target: string
  readonly snapshot: Snapshot | undefined
  /** When the last snapshot was taken. */
  readonly takenAt: number
  /** Why there is no newer snapshot. */
  readonly trouble: { readonly detail: string; readonly since: number } | undefined
}

export const initial = (target: string): Status => ({ target, snapshot: undefined, takenAt: 0, trouble: undefined })

/** The status after a request. */
export const next = (before: Status, taken: Result.Result<Taken, RequestFailed>, now: number): Status =>
  Result.isSuccess(taken)
    ? { ...before, snapshot: taken.success.snapshot, takenAt: now, trouble: undefined }
    : { ...before, trouble: { detail: taken.failure.detail, since: before.trouble?.since ?? now } }

/** The status while an answer is overdue that was asked for at `since`. */
export const overdue = (before: Status, since: number): Status => ({
  ...before,
  trouble: before.trouble ?? { detail: "no answer yet", since }
})

/** The line that says that the program is away. */
export const troubleLine = ({ snapshot, target, takenAt, trouble }: Status, now: number): Line | undefined => {
  if (trouble === undefined) return undefined
  const age = snapshot === undefined ? "" : `; the view is ${duration(Math.max(0, now - takenAt))} old`
  return line(
    span("AWAY    ", "down"),
    `${target}: ${trouble.detail}, for ${duration(Math.max(0, now - trouble.since))}; trying again${age}`
  )
}

const footer = line(span("q to end", "dim"))

/** The size of a terminal. */
export interface Size {
  readonly columns: number
  readonly rows: number
}

/** The lines of the view, which fill at most the terminal. */
export const screenOf = (status: Status, now: number, { columns, rows }: Size): ReadonlyArray<Line> => {
  const away = troubleLine(status, now)
  const { snapshot, target } = status
  const first = away === undefined ? [] : [away]
  const waiting = away === undefined ? [line(`${target}: waiting for the first answer`)] : []
  const room = Math.max(1, rows - first.length - 2)
  const body = snapshot === undefined ? waiting : linesOf(target, snapshot, room)
  return [...first, ...body, line(), footer].slice(0, rows).map((one) => fit(one, columns))
}

/**
 * The control sequences that draw a view over the last one. Each line is replaced where it stands and the rest is cleared, so nothing
 * flickers; a terminal that knows synchronized updates shows the whole frame at once.
 */
export const frameOf = (lines: ReadonlyArray<Line>, isColoured: boolean): string => {
  const texts = lines.map((one) => `${isColoured ? styledOf(one) : textOf(one)}\u001b[K`)
  return `\u001b[?2026h\u001b[H${texts.join("\r\n")}\u001b[J\u001b[?2026l`
}
