/**
 * The file of the report. Whether it can be written is known before the run.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Fs from "node:fs/promises"

/** The report cannot be written to this path. */
export class ReportNotWritable extends Data.TaggedError("ReportNotWritable")<{
  readonly path: string
  readonly cause: unknown
}> {
  override get message(): string {
    const { cause } = this
    const reason = cause instanceof Error && "code" in cause ? String(cause.code) : String(cause)
    return `sluice demo: the report cannot be written to ${this.path}: ${reason}`
  }
}

const attempt = (path: string, act: () => Promise<void>): Effect.Effect<void, ReportNotWritable> =>
  Effect.tryPromise({ try: act, catch: (cause) => new ReportNotWritable({ path, cause }) })

/** Fails if the file cannot be written. A file that was not there is removed again; one that was there keeps its content. */
export const check = (path: string): Effect.Effect<void, ReportNotWritable> =>
  attempt(path, async () => {
    const existed = await Fs.stat(path).then(() => true, () => false)
    await (await Fs.open(path, "a")).close()
    if (!existed) await Fs.rm(path)
  })

/** Writes the report. */
export const write = (path: string, html: string): Effect.Effect<void, ReportNotWritable> =>
  attempt(path, () => Fs.writeFile(path, html))
