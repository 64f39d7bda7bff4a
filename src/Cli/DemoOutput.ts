/**
 * Writing to the two output streams of the process, of which either may be closed by its reader at any time.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

/** Hands a text to the stream and waits until it is written, or cannot be. */
export const write = (stream: NodeJS.WriteStream, text: string): Effect.Effect<void> =>
  Effect.callback((resume) => {
    stream.write(text, () => resume(Effect.void))
  })

/** Until the scope closes, a reader that has gone away (`sluice demo | head -1`) ends nothing but the output. */
export const tolerateClosedReaders: Effect.Effect<void, never, Scope.Scope> = Effect.acquireRelease(
  Effect.sync(() => {
    const ignore = () => {}
    process.stdout.on("error", ignore)
    process.stderr.on("error", ignore)
    return ignore
  }),
  (ignore) =>
    Effect.sync(() => {
      process.stdout.off("error", ignore)
      process.stderr.off("error", ignore)
    })
).pipe(Effect.asVoid)
