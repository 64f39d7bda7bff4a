/**
 * Passwords that are evaluated for each connection.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"

/** A password, or an effect that is run for each connection, such as one that asks for a token that expires. */
export type Password<E = never, R = never> =
  | string
  | Redacted.Redacted
  | Effect.Effect<string | Redacted.Redacted, E, R>

const reveal = (password: string | Redacted.Redacted): string =>
  Redacted.isRedacted(password) ? Redacted.value(password) : password

/** The password for one connection, or `undefined` where none is given. */
export const evaluate = <E, R>(password: Password<E, R> | undefined): Effect.Effect<string | undefined, E, R> => {
  if (password === undefined) return Effect.undefined
  return Effect.isEffect(password) ? Effect.map(password, reveal) : Effect.succeed(reveal(password))
}
