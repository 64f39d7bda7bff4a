/**
 * The value of the attribute `error.type` of an error, for spans and metrics: a short word, of which there are few.
 *
 * @since 0.1.0
 */
import { isObject, namesOf, read, readString } from "./SafeRead.ts"

/** A code such as `ECONNREFUSED`, an SQLSTATE, or the name of a class. A text of a peer is no such word. */
const word = /^[\w.-]{1,64}$/

const wordOf = (text: string | undefined): string | undefined =>
  text !== undefined && word.test(text) ? text : undefined

/** How deep an error is searched for a code. */
const mostDepth = 4

const codeIn = (error: unknown, depth: number): string | undefined => {
  if (!isObject(error) || depth > mostDepth) return undefined
  return wordOf(readString(error, "code")) ?? codeIn(read(error, "reason"), depth + 1) ??
    codeIn(read(error, "cause"), depth + 1)
}

const nameOf = (error: unknown, depth: number): string | undefined => {
  if (!isObject(error)) return undefined
  const ofReason = depth > mostDepth ? undefined : nameOf(read(error, "reason"), depth + 1)
  return ofReason ?? namesOf(error).find((name) => word.test(name))
}

/** The code of an error or of its cause, else the tag of its reason, else its own tag or name. Without any it is `_OTHER`. */
export const errorTypeOf = (error: unknown): string => codeIn(error, 0) ?? nameOf(error, 0) ?? "_OTHER"
