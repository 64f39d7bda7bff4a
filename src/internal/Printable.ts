/**
 * Makes foreign text and bytes harmless for a terminal and short enough for a message.
 *
 * @since 0.1.0
 */

const hex = (code: number): string => code.toString(16).padStart(2, "0")

/** At most `limit` characters of a text, followed by `...` if it was cut. */
export const cut = (text: string, limit: number): string => text.length <= limit ? text : `${text.slice(0, limit)}...`

const escapeCharacter = (character: string): string => {
  const code = character.codePointAt(0) ?? 0
  return code < 256 ? `\\x${hex(code)}` : `\\u{${hex(code)}}`
}

/**
 * Escapes everything that is not shown as itself: control characters (C0, DEL and C1), characters that only change the
 * display (such as its direction), line and paragraph separators, and lone surrogates.
 */
export const printable = (text: string): string => text.replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, escapeCharacter)

const names: Readonly<Record<number, string>> = { 13: "\\r", 10: "\\n", 9: "\\t", 0: "\\0", 92: "\\\\", 34: "\\\"" }

/** Bytes in double quotes. Printable ASCII stays; everything else becomes a C escape. */
export const showBytes = (bytes: Uint8Array): string => {
  const show = (byte: number): string =>
    names[byte] ?? (byte >= 32 && byte < 127 ? String.fromCharCode(byte) : `\\x${hex(byte)}`)
  return `"${Array.from(bytes, show).join("")}"`
}
