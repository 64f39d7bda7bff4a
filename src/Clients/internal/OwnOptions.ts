/**
 * Options that a client hands on to its pool are options of the client in the error about them.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import { InvalidOption } from "../../internal/InvalidOption.ts"

/** What checks an option that a client has handed on. */
const receivers: ReadonlyArray<string> = ["ConnectionPool", "TcpConnection"]

/** Names the client in an `InvalidOption` of its pool: a program with several clients has the same option several times. */
export const asOwnOptions = (client: string) => <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.catchDefect(effect, (defect) => {
    if (!(defect instanceof InvalidOption) || !receivers.includes(defect.module)) return Effect.die(defect)
    const { option, rule, value } = defect
    return Effect.die(new InvalidOption({ module: client, option, rule, value }))
  })
