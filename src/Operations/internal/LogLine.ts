/**
 * A line of the log with its annotations, safe to print.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import { safeText } from "../../internal/SafeText.ts"

export interface LogLine {
  readonly level: "Info" | "Warn" | "Error"
  readonly message: string
  readonly annotations: Readonly<Record<string, string | number>>
}

/** The longest text of an annotation. */
const most = 300

/** Effect's loggers print annotations as they are, so that these are made safe like the message. */
const safe = (annotations: LogLine["annotations"]): Record<string, string | number> =>
  Object.fromEntries(
    Object.entries(annotations).map(([key, value]) => [key, typeof value === "string" ? safeText(value, most) : value])
  )

/** Logs a line. Its message has to be safe already. */
export const writeLine = ({ annotations, level, message }: LogLine): Effect.Effect<void> =>
  Effect.annotateLogs(Effect.logWithLevel(level)(message), safe(annotations))
