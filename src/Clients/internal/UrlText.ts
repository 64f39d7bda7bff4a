/**
 * The parts of a URL that are text.
 *
 * @since 0.1.0
 */

/** Decodes what is percent-encoded. A text with a `%` that begins no code was not encoded, as with a password that was pasted. */
export const decodedPart = (text: string): string => {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
