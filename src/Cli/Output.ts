/**
 * Writes to standard output and standard error. It is no error if the reader has closed its end (`sluice probe ... | head -1`):
 * then the output just ends. Any other failure to write is an error.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { safeText } from "../internal/SafeText.ts"

/** Writes a text, and waits until it is written or has failed. */
export const write = (stream: NodeJS.WriteStream, text: string): Effect.Effect<void> =>
  Effect.callback((resume) => {
    stream.write(text, () => resume(Effect.void))
  })

/** The longest error line. */
const mostChars = 500

/** A message as one short line, without secrets and without control characters. */
export const oneLine = (text: string): string => safeText(text.replace(/\s+/g, " ").trim(), mostChars)

const codeUnits = (text: string): string =>
  text.split("").map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`).join("")

/** JSON in which every control character is escaped. `JSON.stringify` leaves some of them unescaped, such as DEL. */
export const printableJson = (json: string): string => json.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, codeUnits)

const encode = Schema.encodeEffect(Schema.fromJsonString(Schema.Unknown))

/** Prints a value as one line of JSON, safe for a terminal. */
export const printJson = (value: object): Effect.Effect<void> =>
  Effect.flatMap(Effect.orDie(encode(value)), (line) => write(process.stdout, `${printableJson(line)}\n`))

const isFailure = (error: NodeJS.ErrnoException): boolean => error.code !== "EPIPE"

/**
 * Sets exit status 1 and prints a line on standard error when an output cannot be written.
 *
 * The listeners stay, because Node reports a failure after the callback of the write, and because Effect's code writes the
 * help. By then the program may have succeeded, so the status is set on the process itself.
 */
export const reportFailures = (): void => {
  let isReported = false
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (!isFailure(error) || isReported) return
    isReported = true
    process.exitCode = 1
    process.stderr.write(`sluice: cannot write to standard output: ${error.message}\n`)
  })
  process.stderr.on("error", (error: NodeJS.ErrnoException) => {
    if (isFailure(error)) process.exitCode = 1
  })
}
