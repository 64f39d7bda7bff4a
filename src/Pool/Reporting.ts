/**
 * What a pool tells whoever operates the program.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { LeakFacts } from "../Monitor/Leak.ts"
import type { Lease } from "./PoolState.ts"
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

/** Warns of a nested borrow that may wait for itself, once for each place in the program. Those without one are one place. */
export const nestedOnce = (fork: (effect: Effect.Effect<void>) => unknown) => {
  const warned = new Set<string | undefined>()
  return <K, A>(lease: Lease<K, A>): void => {
    const place = lease.site?.text ?? spanOf(lease)
    if (warned.has(place)) return
    warned.add(place)
    fork(Effect.logWarning(
      `ConnectionPool: ${
        borrowerOf(lease)
      } holds a connection and waits for another, to ${lease.owner.label}. If all borrowers ` +
        "do that, all of them wait until their deadlines. Pass the connection on instead of borrowing again, or raise the caps"
    ))
  }
}
