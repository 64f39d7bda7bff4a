/**
 * What a pool tells whoever operates the program.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { LeakFacts } from "../Monitor/Leak.ts"
import type { KeyPool, Lease } from "./PoolState.ts"
import { spanOf } from "./PoolStats.ts"

const borrowerOf = <K, A>(lease: Lease<K, A>): string =>
  [spanOf(lease), lease.site?.text].filter((part) => part !== undefined).join(" ") || "a borrower without a span"

/** What a lease is to the monitor: a leak, or the end of what was taken for one. */
export const leakOf = <K, A>(lease: Lease<K, A>, what: "Held" | "Returned" | "Lost", millis: number): LeakFacts => ({
  _tag: what,
  kind: "Lease",
  label: lease.owner.label,
  site: lease.site?.text,
  span: spanOf(lease),
  age: Duration.millis(millis)
})

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
