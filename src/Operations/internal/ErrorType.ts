/**
 * A short name for an error, for `error.type`.
 *
 * @since 0.1.0
 */
import * as Predicate from "effect/Predicate"
import { safeText } from "../../internal/SafeText.ts"

/** A code or a tag is an identifier. Any other text may be made by a peer, and could have any number of values. */
const identifier = /^[A-Za-z][\w.]{0,63}$|^[0-9A-Z]{5}$/

const named = (error: unknown, field: "code" | "_tag" | "name"): string | undefined => {
  const value = Predicate.hasProperty(error, field) ? error[field] : undefined
  return typeof value === "string" && identifier.test(value) ? safeText(value, 64) : undefined
}

/** The most causes that are searched. */
const mostDepth = 6

const innerOf = (error: unknown): unknown =>
  Predicate.hasProperty(error, "reason") && Predicate.isObject(error.reason)
    ? error.reason
    : Predicate.hasProperty(error, "cause")
    ? error.cause
    : undefined

/** The first code in an error and its causes. */
const codeIn = (error: unknown, depth = 0): string | undefined => {
  if (error === undefined || depth > mostDepth) return undefined
  return named(error, "code") ?? codeIn(innerOf(error), depth + 1)
}

/** The code of an error (`ECONNREFUSED`), its SQLSTATE, its tag or its name: the first one that it or one of its causes has. */
export const errorType = (error: unknown): string => {
  try {
    return codeIn(error) ?? named(error, "_tag") ?? named(error, "name") ?? "unknown"
  } catch {
    // A property of the error throws.
    return "unknown"
  }
}
