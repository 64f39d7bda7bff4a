/**
 * Writing to the two output streams of the process. Either may be closed by its reader at any time, which is no error.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"

/** Hands a text to the stream and waits until it is written, or cannot be. */
export const write = (stream: NodeJS.WriteStream, text: string): Effect.Effect<void> =>
  Effect.callback((resume) => {
    stream.write(text, () => resume(Effect.void))
  })
