/**
 * Options that a client hands on to its pool are options of the client in the error about them.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import { InvalidOption } from "../../internal/InvalidOption.ts"

/** What checks an option that a client has handed on. `RedisBudget` hands options on to `Redis`. */
const receivers: ReadonlyArray<string> = ["ConnectionPool", "TcpConnection", "Redis"]

/** Names the client in an `InvalidOption` of its receiver: a program with several clients has the same option several times. */
const asOwn = (client: string, error: unknown): unknown => {
  if (!(error instanceof InvalidOption) || !receivers.includes(error.module)) return error
  const { option, rule, value } = error
  return new InvalidOption({ module: client, option, rule, value })
}

/** The `InvalidOption` with which an effect dies is one of the client. */
export const asOwnOptions = (client: string) => <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.catchDefect(effect, (defect) => Effect.die(asOwn(client, defect)))

/** The `InvalidOption` that a check throws is one of the client. */
export const checkOwnOptions = <A>(client: string, check: () => A): A => {
  try {
    return check()
  } catch (error) {
    throw asOwn(client, error)
  }
}
