/**
 * What errors say of themselves.
 *
 * @since 0.1.0
 */
import { cut } from "../internal/Printable.ts"

/** What an error says, at most so many characters of it. One that cannot say what it is must not make things worse. */
export const textOf = (error: unknown, most = 1000): string => {
  try {
    return cut(error instanceof Error ? error.message || error.name : String(error), most)
  } catch {
    return "an error without a text"
  }
}
