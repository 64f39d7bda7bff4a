/**
 * Bytes written as text that a shell passes through: C escapes.
 *
 * @since 0.1.0
 */
import * as Result from "effect/Result"

const escapes: Readonly<Record<string, number>> = { r: 13, n: 10, t: 9, "0": 0, "\\": 92 }

const encoder = new TextEncoder()

/**
 * The bytes of a text in which `\r`, `\n`, `\t`, `\0`, `\\` and `\xNN` stand for one byte each; everything else is UTF-8.
 * Fails with the rule that the text breaks.
 */
export const parseEscapes = (text: string): Result.Result<Uint8Array, string> => {
  const parts: Array<Uint8Array> = []
  let from = 0
  for (let at = text.indexOf("\\"); at >= 0; at = text.indexOf("\\", from)) {
    parts.push(encoder.encode(text.slice(from, at)))
    const hex = /^x([0-9a-fA-F]{2})/.exec(text.slice(at + 1, at + 4))?.[1]
    const byte = hex === undefined ? escapes[text.charAt(at + 1)] : Number.parseInt(hex, 16)
    if (byte === undefined) {
      return Result.fail(
        `one of \\r \\n \\t \\0 \\\\ \\xNN at position ${at}, not ${JSON.stringify(text.slice(at, at + 4))}`
      )
    }
    parts.push(Uint8Array.of(byte))
    from = at + (hex === undefined ? 2 : 4)
  }
  parts.push(encoder.encode(text.slice(from)))
  const bytes = Buffer.concat(parts)
  return bytes.length === 0 ? Result.fail("at least one byte") : Result.succeed(bytes)
}
