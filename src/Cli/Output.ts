/**
 * Writing to the two output streams of the process. A reader that has gone away (`sluice probe ... | head -1`) is no error
 * and ends nothing but the output; anything else that keeps a text from being written is one.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { printableJson } from "./ProbeText.ts"

/** Hands a text to the stream and waits until it is written, or cannot be. */
export const write = (stream: NodeJS.WriteStream, text: string): Effect.Effect<void> =>
  Effect.callback((resume) => {
    stream.write(text, () => resume(Effect.void))
  })

const encode = Schema.encodeEffect(Schema.fromJsonString(Schema.Unknown))

/** Prints a value as one line of JSON in which nothing is left that a terminal could act on. */
export const printJson = (value: object): Effect.Effect<void> =>
  Effect.flatMap(Effect.orDie(encode(value)), (line) => write(process.stdout, `${printableJson(line)}\n`))

const isFailure = (error: NodeJS.ErrnoException): boolean => error.code !== "EPIPE"

/**
 * Makes the process end with status 1, and a line on standard error, when an output cannot be written.
 *
 * These are listeners that stay, because Node reports a failure after the write has been answered, and because help is
 * written by others. The program may have ended with success by then, so the status is set on the process itself.
 */
export const reportFailures = (): void => {
  let said = false
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (!isFailure(error) || said) return
    said = true
    process.exitCode = 1
    process.stderr.write(`sluice: cannot write to standard output: ${error.message}\n`)
  })
  process.stderr.on("error", (error: NodeJS.ErrnoException) => {
    if (isFailure(error)) process.exitCode = 1
  })
}
