/**
 * What a pool tells whoever operates the program.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { KeyPool, Lease } from "./PoolState.ts"
import { spanOf } from "./PoolStats.ts"

const borrowerOf = <K, A>(lease: Lease<K, A>): string =>
  [spanOf(lease), lease.site?.text].filter((part) => part !== undefined).join(" ") || "a borrower without a span"

/** Reports a lease that is held for too long, and the same lease when it has come back after all. */
export const lease = <K, A>(lease: Lease<K, A>, what: "Held" | "Returned", millis: number): Effect.Effect<void> => {
  const age = Duration.format(Duration.millis(Math.round(millis)))
  const { label } = lease.owner
  return what === "Held"
    ? Effect.logWarning(`ConnectionPool: a connection to ${label} has been held for ${age} by ${borrowerOf(lease)}`)
    : Effect.logWarning(
      `ConnectionPool: the connection to ${label} that was held too long has come back after ${age} from ${
        borrowerOf(lease)
      }: it was no leak`
    )
}

/** Warns of a nested borrow that may wait for itself, once for each endpoint. */
export const nestedOnce = (fork: (effect: Effect.Effect<void>) => unknown) => {
  const warned = new WeakSet<object>()
  return <K, A>(lease: Lease<K, A>): void => {
    const owner: KeyPool<K, A> = lease.owner
    if (warned.has(owner)) return
    warned.add(owner)
    fork(Effect.logWarning(
      `ConnectionPool: ${
        borrowerOf(lease)
      } holds a connection and waits for another, to ${owner.label}. If all borrowers ` +
        "do that, all of them wait until their deadlines. Pass the connection on instead of borrowing again, or raise the caps"
    ))
  }
}
